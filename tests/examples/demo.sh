#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# scripts/demo: what it says to wrong command lines, and that Ctrl-C in any of its phases leaves nothing behind.
. "$(dirname "$0")/lib.sh"
demo=$here/../../scripts/demo
answers() { # CODE PATTERN ARGUMENTS…
  "$demo" "${@:3}" >"$work/answer.log" 2>&1
  [ $? = "$1" ] && has "$work/answer.log" "$2"
}
expect "--help tells what there is" answers 0 '^  l2fwd_fork' --help
expect "an unknown demo" answers 2 "no demo 'dance'" dance
expect "an unknown option" answers 2 "no demo '--dance'" --dance
[ -z "${SANITIZE:-}" ] || skip "with sanitizers l2fwd_fork does not run"
namespaces
net_down

hugepages() { cat /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages 2>/dev/null; }
traces() { # of the demo with that pid
  ip netns list | grep "^mpnet-$1-"
  find /run/mpnet /dev/shm /dev/hugepages /tmp/mpnet-demo.* -path "*demo$1-*" 2>/dev/null
  ps -eo pid,args | grep -E "[-]-file-prefix demo$1-"
}
interrupted() { # NAME PATTERN: Ctrl-C once its output has such a line
  local pid before
  before=$(hugepages)
  # In a process group of its own, as a terminal would start it; a background job would ignore the signal.
  BUILD=$BUILD setsid env --default-signal=INT "$demo" --no-build "$1" </dev/null >"$work/demo.log" 2>&1 &
  pid=$!
  net_pids+=("$pid")
  expect "$1: it gets to '$2'" wait_for_line "$work/demo.log" "$2" $patience "$pid"
  kill -INT -- "-$pid"
  wait "$pid"
  expect "  interrupted there it ends with 130" [ $? = 130 ]
  forget "$pid"
  expect "  and leaves nothing behind" [ -z "$(traces "$pid")" ]
  echo "hugepages before and after: $before, $(hugepages)" # others may reserve some meanwhile
}
interrupted symmetric_mp 'symmetric_mp: two namespaces'
interrupted symmetric_mp 'ping: 100'
interrupted client_server_mp 'iperf3: 16'
interrupted l2fwd_fork 'kills, under'
interrupted simple_mp 'the secondary prints'
exit $((problems > 0))
