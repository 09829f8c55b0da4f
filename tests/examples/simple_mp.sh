#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# simple_mp both ways through pipes: messages arrive; either side may quit, be killed, and come back.
. "$(dirname "$0")/lib.sh"
common=(-n 4 --no-huge -m 64 --file-prefix "$prefix")

# open_app NAME ARGUMENTS…: simple_mp with a pipe as input, whose writing end is in ${to[NAME]}.
declare -A to=() pid=()
open_app() {
  local name=$1
  shift
  rm -f "$work/$name.in"
  mkfifo "$work/$name.in"
  : >"$work/$name.log"
  ( # without the other applications' pipes: they would not end while somebody could write
    for fd in "${to[@]}"; do eval "exec $fd>&-"; done
    exec "$apps/simple_mp/simple_mp" "${common[@]}" "$@" <"$work/$name.in" >"$work/$name.log" 2>&1
  ) &
  pid[$name]=$!
  net_pids+=("${pid[$name]}")
  exec {fd}>"$work/$name.in"
  to[$name]=$fd
  wait_for_line "$work/$name.log" 'Starting core' $patience "${pid[$name]}" || fail "$name did not start"
}
type_in() { echo "$2" >&"${to[$1]}"; }
close_app() { eval "exec ${to[$1]}>&-"; }
arrives() { wait_for_line "$work/$1.log" "core [0-9]+: Received '$2'" 10 "${pid[$1]}"; }

open_app primary --lcores '0@0,1@0' --proc-type=primary
open_app secondary --lcores '2@0,3@0' --proc-type=secondary
expect "the primary says which core it starts" has "$work/primary.log" '^(simple_mp > )?Starting core 1$'
expect "the prompt is there" has "$work/secondary.log" '^simple_mp > '

type_in primary "send hello secondary"
expect "a message from the primary arrives on lcore 3" arrives secondary "hello secondary"
expect "with the lcore that received it" has "$work/secondary.log" "core 3: Received 'hello secondary'"
type_in secondary "send hello primary"
expect "a message from the secondary arrives" arrives primary "hello primary"
type_in primary "help"
expect "help lists the commands" wait_for_line "$work/primary.log" 'send TEXT' 5
type_in primary "dance"
expect "an unknown command is named" wait_for_line "$work/primary.log" "no command 'dance'" 5

for round in 1 2 3; do
  kill_app "${pid[secondary]}"
  close_app secondary
  type_in primary "send while you were dead $round"
  open_app secondary --lcores '2@0,3@0' --proc-type=secondary
  expect "killed and back ($round): it gets what was sent meanwhile" arrives secondary "while you were dead $round"
  type_in secondary "send I am back $round"
  expect "killed and back ($round): the primary hears it" arrives primary "I am back $round"
done

type_in secondary "quit"
wait "${pid[secondary]}"
expect "quit ends the secondary with 0" [ $? = 0 ]
forget "${pid[secondary]}"
close_app secondary
open_app secondary --lcores '2@0,3@0' --proc-type=secondary
type_in primary "send after quit"
expect "a secondary that comes after one that quit gets its messages" arrives secondary "after quit"

kill_app "${pid[primary]}"
close_app primary
type_in secondary "send kept in the ring"
open_app primary --lcores '0@0,1@0' --proc-type=primary
expect "the primary was killed and is back: what was in the ring is not lost" arrives primary "kept in the ring"
type_in primary "send primary again"
expect "and its messages flow at once" arrives secondary "primary again"

expect "a second primary is refused, with its pid" \
  refuses simple_mp 1 "${pid[primary]}" "${common[@]}" --lcores '7@0,8@0' --proc-type=primary
expect "one lcore is too few" refuses simple_mp 2 'two lcores' "${common[@]}" --lcores '7@0' --proc-type=secondary

close_app primary
wait "${pid[primary]}"
expect "the end of input ends the primary with 0" [ $? = 0 ]
forget "${pid[primary]}"
expect "SIGINT ends the secondary with 0" stop_app "${pid[secondary]}"
close_app secondary
expect "nothing is left behind" nothing_left
expect "a secondary without a group is refused" \
  refuses simple_mp 1 '[Pp]rimary|group' "${common[@]}" --lcores '2@0,3@0' --proc-type=secondary
expect "nothing is left behind by that" nothing_left
