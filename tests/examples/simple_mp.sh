#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# simple_mp both ways through pipes: messages arrive; either side may quit, be killed, and come back.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/simple_mp_lib.sh"

open_side primary
open_side secondary
expect "the primary says which core it starts" has "$work/primary.log" '^(simple_mp > )?Starting core 1$'
expect "the prompt is there" has "$work/secondary.log" '^simple_mp > '

type_in primary "send hello secondary"
expect "a message from the primary arrives on lcore 3" arrives secondary "hello secondary"
expect "with the lcore that received it" has "$work/secondary.log" "core 3: Received 'hello secondary'"
type_in secondary "send hello primary"
expect "a message from the secondary arrives" arrives primary "hello primary"
type_in primary "help"
expect "help lists the commands" wait_for_line "$work/primary.log" 'send TEXT' $patience
type_in primary "dance"
expect "an unknown command is named" wait_for_line "$work/primary.log" "no command 'dance'" $patience
type_in primary "send $(printf 'x%.0s' {1..300})"
expect "a message that is too long is refused" wait_for_line "$work/primary.log" 'not sent: a message has at most' $patience

for round in 1 2 3; do
  kill_app "${pid[secondary]}"
  type_in primary "send while you were dead $round"
  open_side secondary
  expect "killed and back ($round): it gets what was sent meanwhile" arrives secondary "while you were dead $round"
  type_in secondary "send I am back $round"
  expect "killed and back ($round): the primary hears it" arrives primary "I am back $round"
done

type_in secondary "quit"
expect "quit ends the secondary with 0" ends_with_0 "${pid[secondary]}"
open_side secondary
type_in primary "send after quit"
expect "a secondary that comes after one that quit gets its messages" arrives secondary "after quit"

# into_ring SIDE WORD: twenty messages, of which the stopped peer has taken none; all are in the ring when this returns.
into_ring() {
  local i
  for i in {1..20}; do type_in "$1" "send $2 $i"; done
  type_in "$1" "$2-are-sent"
  wait_for_line "$work/$1.log" "no command '$2-are-sent'" $patience "${pid[$1]}"
}
twenty() { [ "$(received "$1" "$2")" = "$(seq 20)" ]; }
kill -STOP "${pid[secondary]}"
expect "twenty messages of the primary wait in the ring" into_ring primary down
kill_app "${pid[primary]}"
kill -CONT "${pid[secondary]}"
expect "the primary is dead: all of them arrive, in order" until_true twenty secondary down
open_side primary
kill -STOP "${pid[primary]}"
expect "twenty messages to the primary wait in the ring" into_ring secondary up
kill_app "${pid[primary]}"
open_side primary
expect "the primary was killed and is back: all of them arrive, in order" until_true twenty primary up
type_in primary "send primary again"
expect "and its messages flow at once" arrives secondary "primary again"
expect "no message is lost or in two places" audited MSG_POOL

expect "a second primary is refused, with its pid" \
  refuses simple_mp 1 "${pid[primary]}" "${common[@]}" --lcores '7@0,8@0' --proc-type=primary
expect "an lcore of the other is refused, with its pid" \
  refuses simple_mp 1 "${pid[primary]}" "${common[@]}" --lcores '1@0,8@0' --proc-type=secondary
expect "one lcore is too few" refuses simple_mp 2 'two lcores' "${common[@]}" --lcores '7@0' --proc-type=secondary
expect "an argument that is none" refuses simple_mp 2 'hello' "${common[@]}" --lcores '7@0,8@0' --proc-type=secondary -- hello

printf 'send the last line\n' | "$apps/simple_mp/simple_mp" "${common[@]}" --lcores 10@0,11@0 --proc-type=secondary >"$work/third.log" 2>&1
expect "the end of input ends a process with 0" [ $? = 0 ]
expect "what it sent before has arrived" arrives primary "the last line"
for side in primary secondary; do expect "SIGINT ends the $side with 0" stop_app "${pid[$side]}"; done
expect "nothing is left behind" nothing_left
expect "a secondary without a group is refused" \
  refuses simple_mp 1 '[Pp]rimary|group' "${common[@]}" --lcores '2@0,3@0' --proc-type=secondary
expect "nothing is left behind by that" nothing_left

# On a terminal: a line typed there is edited, and Tab completes.
if ! command -v script >/dev/null; then
  echo "not tried: a terminal (needs script)"
else
  mkfifo "$work/keys"
  script -qec "$apps/simple_mp/simple_mp ${common[*]} --lcores 0@0,1@0 --proc-type=primary" /dev/null \
    <>"$work/keys" >"$work/terminal.log" 2>&1 &
  net_pids+=($!)
  terminal=$!
  wait_for_line "$work/terminal.log" 'simple_mp > ' $patience "$terminal"
  printf 'dancf\177e\r' >"$work/keys" # backspace
  expect "on a terminal a line can be edited" wait_for_line "$work/terminal.log" "no command 'dance'" $patience "$terminal"
  printf 'hel\t\r' >"$work/keys"
  expect "on a terminal Tab completes a command" wait_for_line "$work/terminal.log" 'sends TEXT to the other' $patience "$terminal"
  printf '\033[A\r' >"$work/keys"
  expect "on a terminal there is a history" until_true count_is_over "$work/terminal.log" 'sends TEXT to the other' 1
  printf 'quit\r' >"$work/keys"
  expect "quit ends it" ends_with_0 "$terminal"
  expect "nothing is left behind by the terminal's" nothing_left
fi
exit $((problems > 0))
