#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# simple_mp_kills.sh COUNT: both sides send numbered messages all the time while one or the other, by chance, is killed and
# started again.  Messages go on both ways after each kill, none comes twice or out of order, and at the end every message
# of the pool is in exactly one place.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/simple_mp_lib.sh"
count=${1:-20}
open_side primary
open_side secondary
# About 200 messages a second each way: neither side's input ends because nobody writes, see open_side.
(
  for ((i = 1; ; ++i)); do
    [ ! -e "$work/enough" ] || break
    echo "send down $i" >&3
    echo "send up $i" >&4
    sleep 0.005
  done
  echo $((i - 1)) >"$work/sent"
) 3<>"$work/primary.in" 4<>"$work/secondary.in" &
writer=$!
net_pids+=("$writer")
both_hear() {
  [ "$(received secondary down | wc -l)" -gt $((down + 2)) ] && [ "$(received primary up | wc -l)" -gt $((up + 2)) ]
}
traffic_flows() {
  down=$(received secondary down | wc -l) up=$(received primary up | wc -l)
  until_true both_hear
}
for ((kill_number = 1; kill_number <= count; ++kill_number)); do
  traffic_flows || fail "messages do not flow both ways after kill $((kill_number - 1))"
  victim=primary
  [ $((RANDOM % 2)) = 0 ] || victim=secondary
  kill_app "${pid[$victim]}"
  open_side $victim
done
expect "messages flow both ways after the last kill" traffic_flows
touch "$work/enough"
wait "$writer"
forget "$writer"
type_in primary "send the end"
type_in secondary "send the end"
expect "the last message of the primary arrives" arrives secondary "the end"
expect "the last message of the secondary arrives" arrives primary "the end"
for way in "secondary down" "primary up"; do
  # shellcheck disable=SC2086  # two words
  received $way >"$work/numbers"
  # The others were typed to one that died before it read them, were in its hands, or found a full ring.
  echo "$count kills: $(wc -l <"$work/numbers") of $(cat "$work/sent") messages reached the ${way% *}"
  expect "none of them came twice or out of order" ascending <"$work/numbers"
done
expect "no message is lost or in two places" audited MSG_POOL
for side in primary secondary; do expect "SIGINT ends the $side with 0" stop_app "${pid[$side]}"; done
expect "nothing is left behind" nothing_left
exit $((problems > 0))
