# shellcheck shell=bash disable=SC2154,SC2034  # variables of lib.sh and of those who source this
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by simple_mp's tests after lib.sh: the two sides, each with a pipe as input.

common=(-n 4 --no-huge -m 64 --file-prefix "$prefix")
declare -A pid=() lcores=([primary]=0@0,1@0 [secondary]=2@0,3@0)

# open_side SIDE: what was not read of its input waits for it; its log goes on.
open_side() {
  local side=$1 before
  [ -p "$work/$side.in" ] || mkfifo "$work/$side.in"
  before=$(cat "$work/$side.log" 2>/dev/null | grep -c 'Starting core')
  # Open both ways, so that no end of file comes when nobody writes for a while.
  "$apps/simple_mp/simple_mp" "${common[@]}" --lcores "${lcores[$side]}" --proc-type="$side" \
    <>"$work/$side.in" >>"$work/$side.log" 2>&1 &
  pid[$side]=$!
  net_pids+=("${pid[$side]}")
  until_true count_is_over "$work/$side.log" 'Starting core' "$before" || fail "the $side did not start"
}
count_is_over() { [ -e "$1" ] && [ "$(grep -cE -- "$2" "$1")" -gt "$3" ]; } # FILE PATTERN COUNT
type_in() { echo "$2" >"$work/$1.in"; }
arrives() { wait_for_line "$work/$1.log" "core [0-9]+: Received '$2'" $patience "${pid[$1]}"; }
# received SIDE WORD: the numbers after WORD in what it received, a line each.
received() { sed -nE "s/.*core [0-9]+: Received '$2 ([0-9]+)'.*/\1/p" "$work/$1.log"; }
ascending() { awk 'NR > 1 && $1 <= last { bad = 1 } { last = $1 } END { exit bad }'; }
