#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# kills.sh APPLICATION COUNT: members of it are killed in turn by chance under traffic, and started again with the same
# command.  Traffic must flow after each kill, and at the end no object of its pool may be missing.
case $1 in
  simple_mp) exec "$(dirname "$0")/simple_mp_kills.sh" "${2:-20}" ;;
  l2fwd_fork) exec "$(dirname "$0")/l2fwd_kills.sh" "${2:-20}" ;;
esac
. "$(dirname "$0")/lib.sh"
application=$1 count=${2:-20}
namespaces
members_of "$application"
for name in "${members[@]}"; do start_member "$name" || fail "$name did not start"; done
reaches || fail "no traffic before the first kill"
ping_flood
answers() { wc -l <"$work/flood"; }
more_answers() { [ "$(answers)" -ge $((before + 3)) ]; }
for ((i = 1; i <= count; ++i)); do
  before=$(answers)
  until_true more_answers || fail "no traffic after kill $((i - 1))"
  victim=${members[RANDOM % ${#members[@]}]}
  kill_member "$victim"
  start_member "$victim" || fail "$victim did not come back after kill $i"
done
flood_figures "$count kills"
expect "traffic flows after the last kill" reaches
expect "no packet buffer is lost or in two places" audited "$members_pool"
for name in "${members[@]}"; do expect "$name leaves with 0" stop_member "$name"; done
expect "nothing is left behind" nothing_left
