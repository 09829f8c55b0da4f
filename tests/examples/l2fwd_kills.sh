#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# l2fwd_kills.sh COUNT: workers, and now and then the main process, are killed by chance under traffic between namespaces.
# After a worker's death both workers of the pair run again; after that of the main process its workers end and nothing is
# left of the group.  Traffic flows each time, and no packet buffer is lost.
. "$(dirname "$0")/lib.sh"
no_sanitizer
count=${1:-20}
namespaces
macs_for_l2fwd
members_of l2fwd_fork
started_workers() { [ "$(grep -c 'Supervisor: l2fwd-[34] started' "$work/main.log")" -ge "$1" ]; }
all_gone() { ! kill -0 "$@" 2>/dev/null; }
start_main() {
  start_member main || fail "the main process did not start"
  wanted=2
  until_true started_workers 2 || fail "the workers did not start"
}
start_main
expect "traffic flows" reaches
ping_flood
mains=0 all_lost=0
# For 0.3 s: a worker that dies sooner died at its start for its supervisor, and would have to wait.
more_answers() { [ "$(wc -l <"$work/flood")" -ge $((answers + 30)) ]; }
for ((i = 1; i <= count; ++i)); do
  if ((RANDOM % 10 == 0)); then
    mapfile -t workers < <(pgrep -P "${member_pid[main]}")
    kill_member main
    for pid in "${workers[@]}"; do until_true all_gone "$pid" || fail "worker $pid outlives its main process"; done
    nothing_left || fail "a killed main process leaves something behind"
    start_main
    mains=$((mains + 1)) from=0
  else
    from=$(date +%s.%N)
    kill -KILL "$(pgrep -P "${member_pid[main]}" -x "l2fwd-$((3 + RANDOM % 2))")"
    wanted=$((wanted + 2))
    until_true started_workers $wanted || fail "no restart after kill $i"
  fi
  reaches || fail "no traffic after kill $i"
  answers=$(wc -l <"$work/flood")
  until_true more_answers || fail "the flood's pings find no way after kill $i"
  [ "$from" != 0 ] || continue
  read -r lost gap < <(ping_window "$work/flood" "$from" "$(date +%s.%N)")
  all_lost=$((all_lost + lost))
  echo "$gap" >>"$work/gaps"
done
echo "$((count - mains)) kills of workers: $all_lost pings lost, silences in ms: $(sort -n "$work/gaps" |
  awk '{ all[NR] = $1 } END { printf "median %d, longest %d", all[int((NR + 1) / 2)], all[NR] }')"
flood_figures "with $mains kills of the main process"
expect "traffic flows after the last kill" reaches
expect "no packet buffer is lost or in two places" audited "$members_pool"
mapfile -t workers < <(pgrep -P "${member_pid[main]}")
kill_member main
for pid in "${workers[@]}"; do expect "worker $pid ends with its main process" until_true all_gone "$pid"; done
expect "the workers of a killed main process leave nothing behind" nothing_left
exit $((problems > 0))
