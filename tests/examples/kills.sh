#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# kills.sh APPLICATION COUNT: members of it are killed in turn by chance under traffic between namespaces, and started
# again with the same command.  Traffic must flow after each kill, and at the end no packet buffer may be missing.
. "$(dirname "$0")/lib.sh"
application=$1 count=${2:-20}
[ "$(id -u)" = 0 ] || skip "needs root: network namespaces and packet sockets"
ip netns add "$net_tag-probe" 2>/dev/null || skip "this machine allows no network namespaces"
ip netns del "$net_tag-probe"
# shellcheck source=scripts/members.sh
. "$here/../../scripts/members.sh"

net_up || fail "the network namespaces could not be made"
offloads_off
members_of "$application"
for name in "${members[@]}"; do start_member "$name" || fail "$name did not start"; done
reaches() { # within two seconds of retries
  in_net left ping -q -c 40 -i 0.05 -W 1 10.66.0.2 >"$work/reach.log" 2>&1
  ! grep -q ' 0 received' "$work/reach.log"
}
reaches || fail "no traffic before the first kill"
start_in left "$work/flood" ping -D -i 0.01 -w 150 10.66.0.2
flood=$started
answers() { wc -l <"$work/flood"; }
for ((i = 1; i <= count; ++i)); do
  before=$(answers) end=$((SECONDS + 20))
  until [ "$(answers)" -ge $((before + 3)) ]; do # traffic flows again after the last kill
    [ $SECONDS -lt $end ] || fail "no traffic after kill $((i - 1))"
    sleep 0.02
  done
  victim=${members[RANDOM % ${#members[@]}]}
  kill_member "$victim"
  start_member "$victim" || fail "$victim did not come back after kill $i"
done
kill -INT "$flood"
wait "$flood"
forget "$flood"
read -r sent received gap < <(ping_figures "$work/flood")
echo "$count kills: $received of $sent pings came back, the longest silence was $gap ms"
expect "traffic flows after the last kill" reaches
expect "no packet buffer is lost or in two places" in_net middle "$BUILD/tests/examples/audit" -n 4 \
  --lcores 90@0 --file-prefix "$prefix" -- "$members_pool"
for name in "${members[@]}"; do expect "$name leaves with 0" stop_member "$name"; done
expect "nothing is left behind" nothing_left
