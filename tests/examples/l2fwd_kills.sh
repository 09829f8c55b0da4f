#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# l2fwd_kills.sh COUNT: workers are killed in turn under traffic between namespaces; both workers of the pair run again
# each time, no packet buffer is lost, and when the main process is killed its workers end and nothing is left.
. "$(dirname "$0")/lib.sh"
[ -z "${SANITIZE:-}" ] || skip "the sanitizers' runtimes do not survive a fork of a process with threads"
count=${1:-20}
[ "$(id -u)" = 0 ] || skip "needs root: network namespaces and packet sockets"
ip netns add "$net_tag-probe" 2>/dev/null || skip "this machine allows no network namespaces"
ip netns del "$net_tag-probe"
net_up || fail "the network namespaces could not be made"
for side in left right; do
  in_net $side ethtool -K veth0 tx off tso off gso off gro off >/dev/null 2>&1
done
# Frames leave port PP for 02:00:00:00:00:PP.
in_net left ip link set veth0 address 02:00:00:00:00:00
in_net right ip link set veth0 address 02:00:00:00:00:01

start_in middle "$work/main.log" "$apps/l2fwd_fork/l2fwd_fork" --lcores 2@0,3@1,4@0 -n 4 --file-prefix "$prefix" \
  --vdev net_af_packet0,iface=m0 --vdev net_af_packet1,iface=m1 -- -p 3 -T 1
main=$started
started_workers() { grep -c 'Supervisor: l2fwd-[34] started' "$work/main.log"; }
wait_for_workers() { # COUNT
  local end=$((SECONDS + 20))
  until [ "$(started_workers)" -ge "$1" ]; do
    [ $SECONDS -lt $end ] || fail "no restart: $(started_workers) workers were started, $1 should be"
    sleep 0.02
  done
}
reaches() { ! in_net left ping -q -c "${1:-40}" -i 0.05 -W 1 10.66.0.2 2>&1 | grep -q ' 0 received'; }
wait_for_workers 2
expect "traffic flows" reaches
start_in left "$work/flood" ping -D -i 0.01 -w 600 10.66.0.2
flood=$started
for ((i = 1; i <= count; ++i)); do
  victim=$(pgrep -P "$main" -x "l2fwd-$((3 + RANDOM % 2))")
  kill -KILL "$victim"
  wait_for_workers $((2 + 2 * i))
  reaches 10 || fail "no traffic after kill $i"
done
kill -INT "$flood"
wait "$flood"
forget "$flood"
read -r sent received gap < <(ping_figures "$work/flood")
echo "$count kills: $received of $sent pings came back, the longest silence was $gap ms"
expect "traffic flows after the last kill" reaches
expect "no packet buffer is lost or in two places" in_net middle "$BUILD/tests/examples/audit" -n 4 --lcores 90@0 \
  --file-prefix "$prefix" -- MBUF_POOL
workers=$(pgrep -P "$main")
kill_app "$main"
for pid in $workers; do
  end=$((SECONDS + 10))
  while kill -0 "$pid" 2>/dev/null; do
    [ $SECONDS -lt $end ] || fail "worker $pid outlives its main process"
    sleep 0.02
  done
done
expect "the workers of a killed main process end, and nothing is left behind" nothing_left
exit $((problems > 0))
