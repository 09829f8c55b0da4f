#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# client_server_mp: counts go on over the deaths of clients and of the server; a terminal gets statistics in place, a pipe
# plain lines; idle clients sleep.
. "$(dirname "$0")/lib.sh"
common=(-n 4 --no-huge -m 64 --file-prefix "$prefix")
declare -A pid=()

start_server() { # VDEV…
  local vdevs=() v
  for v in "$@"; do vdevs+=(--vdev "$v"); done
  run_app client_server_mp/mp_server "$work/server.log" --lcores 1@0,2@0 "${common[@]}" "${vdevs[@]}" -- -p 3 -n 2
  pid[server]=$started
  wait_for_line "$work/server.log" '^serving' $patience "$started" || fail "the server did not start"
}
start_client() { # ID ARGUMENTS…
  local id=$1
  shift
  run_app client_server_mp/mp_client "$work/client-$id.log" --lcores "$((3 + id))@$((1 % $(nproc)))" "${common[@]}" --proc-type=auto -- -n "$id" "$@"
  pid[client-$id]=$started
  wait_for_line "$work/client-$id.log" 'forwards$' $patience "$started" || fail "client $id did not start"
}
# figure WHO WHAT: from the server's last statistics.
figure() { sed -nE "s/^$1: .*$2 ([0-9]+).*/\1/p" "$work/server.log" | tail -n 1; }
above() { [ "$(figure "$1" "$2")" -gt "$3" ] 2>/dev/null; }
never_less() { sed -nE "s/^$1: .*$2 ([0-9]+).*/\1/p" "$work/server.log" | awk '$1 < last { bad = 1 } { last = $1 } END { exit bad }'; }

# --- Counts.  A net_null port always has packets.
start_server net_null0 net_null1
start_client 0
start_client 1
expect "client 0 receives and sends" until_true above "client 0" sent 0
expect "client 1 receives and sends" until_true above "client 1" sent 0
kill_app "${pid[client-0]}"
before=$(figure "client 0" received) other=$(figure "client 1" received)
expect "a client was killed: the other one goes on" until_true above "client 1" received $((other + 500))
expect "what the dead one's ring has no room for is counted" until_true above "client 0" refused 0
start_client 0
expect "started again it goes on" until_true above "client 0" received $((before + 500))
for what in received sent dropped refused; do expect "its count of $what went on, too" never_less "client 0" $what; done

mv "$work/server.log" "$work/server-before.log" # the server writes on to it
kill_app "${pid[server]}"
before=$(sed -nE 's/^client 1: received ([0-9]+).*/\1/p' "$work/server-before.log" | tail -n 1)
port_before=$(sed -nE 's/^port 1: received ([0-9]+).*/\1/p' "$work/server-before.log" | tail -n 1)
start_server net_null0 net_null1
expect "the server was killed: started again, the counts of clients go on" until_true above "client 1" received "$before"
expect "and those of ports" until_true above "port 1" received "$port_before"
expect "no counts began anew" [ "$(sed -nE 's/^client 1: received ([0-9]+).*/\1/p' "$work/server.log" | head -n 1)" -ge "$before" ]
expect "statistics in a pipe are plain lines" [ "$(grep -c "$(printf '\033')" "$work/server.log")" = 0 ]
for id in 0 1; do expect "client $id leaves with 0" stop_app "${pid[client-$id]}"; done
expect "no packet buffer is lost or in two places" audited MBUF_POOL
expect "the server leaves with 0" stop_app "${pid[server]}"
expect "nothing is left behind" nothing_left

# --- Idle.  Nothing comes in from an empty capture.
"$(dirname "$0")/pcaps.py" make "$work/empty.pcap" 0 0
silent=()
for port in 0 1; do silent+=("net_pcap$port,rx_pcap=$work/empty.pcap,tx_pcap=$work/out${port}0,tx_pcap=$work/out${port}1"); done
processor_ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }
start_server "${silent[@]}"
start_client 0
start_client 1 --busy
busy=$(processor_ticks "${pid[client-1]}") idle=$(processor_ticks "${pid[client-0]}")
has_used_a_second() { [ $(($(processor_ticks "${pid[client-1]}") - busy)) -ge "$(getconf CLK_TCK)" ]; }
expect "a client with --busy spins" until_true has_used_a_second
used=$(($(processor_ticks "${pid[client-0]}") - idle))
echo "while a busy client used a second of processor time, an idle one used $used ticks"
expect "an idle client sleeps" [ $used -lt $(($(getconf CLK_TCK) / 5)) ]
for who in client-0 client-1 server; do expect "$who leaves with 0" stop_app "${pid[$who]}"; done

# --- A terminal.
if ! command -v script >/dev/null; then
  echo "not tried: a terminal (needs script)"
else
  script -qec "$apps/client_server_mp/mp_server --lcores 1@0,2@0 ${common[*]} --vdev ${silent[0]} --vdev ${silent[1]} -- -p 3 -n 2" \
    /dev/null </dev/null >"$work/terminal.log" 2>&1 &
  terminal=$!
  net_pids+=("$terminal")
  expect "on a terminal statistics are refreshed in place" wait_for_line "$work/terminal.log" \
    "$(printf '\033')\[H$(printf '\033')\[Jport 0: received 0, sent 0, dropped 0" $patience "$terminal"
  kill -INT "$(pgrep -P "$terminal" -x mp_server || pgrep -P "$(pgrep -P "$terminal")" -x mp_server)"
  expect "the server on a terminal leaves with 0" ends_with_0 "$terminal"
fi
expect "nothing is left behind at the end" nothing_left
exit $((problems > 0))
