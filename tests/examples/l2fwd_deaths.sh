#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# l2fwd_fork, one death at a time, under traffic between namespaces: a partner that answers STOP and one that cannot, a
# worker that dies again and again, floating workers, counts that go on, and resources that cannot be had any more.
. "$(dirname "$0")/lib.sh"
no_sanitizer
namespaces
macs_for_l2fwd
members_of l2fwd_fork
log=$work/main.log
worker() { pgrep -P "${member_pid[main]}" -x "l2fwd-$1"; }
# The workers are named once they run; until then they carry the main process's name.
both_run() { [ -n "$(worker 3)" ] && [ -n "$(worker 4)" ]; }
says() { wait_for_line "$log" "$1" $patience "${member_pid[main]}"; }
start_main() { # OPTIONS…
  member_command[main]=${l2fwd_command/-T 0/$*}
  start_member main || fail "the main process did not start"
  until_true both_run || fail "the workers did not start"
}
l2fwd_command=${member_command[main]}
processors_of() { sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "/proc/$1/status"; }

start_main -T 1
expect "traffic flows" reaches
expect "ps shows the main process by name" [ "$(cat "/proc/${member_pid[main]}/comm")" = l2fwd_fork ]
expect "and each worker" both_run
expect "a worker is pinned" [ "$(processors_of "$(worker 3)")" = 0 ]
expect "counts are printed" says '^total: received [1-9]'

three=$(worker 3) four=$(worker 4)
kill -KILL "$four"
expect "a worker's death is told" says 'l2fwd-4 was killed by signal 9'
expect "its partner stops when it is asked to" says "l2fwd-3 \(pid $three\) stopped as asked"
until_true both_run
expect "traffic flows again" reaches
three=$(worker 3) four=$(worker 4)
kill -STOP "$four"
kill -KILL "$three"
expect "a partner that cannot answer is killed" says "l2fwd-4 \(pid $four\) did not answer STOP within 200 ms and was killed"
until_true both_run
expect "traffic flows again" reaches
expect "counts went on over all this" eval "sed -nE 's/^total: received ([0-9]+).*/\1/p' '$log' | sort -nc"

killed_as_soon_as_it_is_there() {
  local pid
  pid=$(worker 3)
  [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null
  has "$log" 'l2fwd-3 died [0-9]+ ms after its start, [2-9] times in a row; it starts again in [1-9][0-9]* ms'
}
expect "a worker that dies at each start has to wait, and that is said" until_true killed_as_soon_as_it_is_there
until_true both_run
expect "traffic flows in the end" reaches
expect "no packet buffer is lost or in two places" audited "$members_pool"

in_net middle ip link del m0
kill -KILL "$(worker 4)"
says "cannot recreate 'net_af_packet0' of l2fwd-3: .*; stopping all workers" || fail "a port that is gone is not named"
main=${member_pid[main]}
all_gone() { ! kill -0 "$main" 2>/dev/null; }
until_true all_gone
wait "$main"
expect "and ends everything with 1" [ $? = 1 ]
forget "$main"
expect "nothing is left behind" nothing_left
net_down

net_up || fail "the network namespaces could not be made again"
offloads_off
macs_for_l2fwd
start_main -T 0 -f
expect "floating workers: traffic flows" reaches
for id in 3 4; do
  expect "worker $id floats over all processors" [ "$(processors_of "$(worker $id)")" = "$(processors_of $$)" ]
done
kill -KILL "$(worker 3)"
until_true both_run
expect "after a death, too" reaches
expect "-T 0 prints no counts" eval "! has '$log' '^total:'"
expect "the main process leaves with 0" stop_member main
expect "but for the last ones" has "$log" '^total: received [1-9]'
ids_in_use() { grep -oE 'cur lcore_id = [0-9]+$' "$log" | sort -u | wc -l; }
expect "lcore ids are given back: four workers in turn had two" [ "$(ids_in_use)" = 2 ]
expect "nothing is left behind" nothing_left

run_app l2fwd_fork "$work/four.log" --lcores 2@0,3@0,4@0,5@0,6@0 -n 4 --file-prefix "$prefix" --no-huge -m 64 \
  --vdev net_null0 --vdev net_null1 --vdev net_null2 --vdev net_null3 -- -p f -T 0
main=$started
of_four() { pgrep -P "$main" -x "l2fwd-$1"; }
started_of_four() { [ "$(grep -c "Supervisor: l2fwd-[3-6] started" "$work/four.log")" -ge "$1" ]; }
until_true started_of_four 4 || fail "four workers did not start"
until_true of_four 6 >/dev/null
others="$(of_four 5) $(of_four 6)"
kill -KILL "$(of_four 3)"
expect "two pairs: the dead worker and its partner start again" until_true started_of_four 6
expect "the other pair has seen nothing of it" [ "$(of_four 5) $(of_four 6)" = "$others" ]
for pair in "3 and 4" "5 and 6"; do expect "lcores $pair are partners" has "$work/four.log" "^lcore $pair paired"; done
expect "all leave with 0" stop_app "$main"
expect "nothing is left behind at the end" nothing_left
exit $((problems > 0))
