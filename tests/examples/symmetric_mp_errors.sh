#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# symmetric_mp: each mistake on its command line has an answer of its own, and leaves nothing behind.
. "$(dirname "$0")/lib.sh"
eal=(-n 4 --no-huge -m 64 --proc-type=auto --file-prefix "$prefix" --vdev net_null0 --vdev net_null1)

no() { # TEXT CODE PATTERN ARGUMENTS…
  local text=$1
  shift
  expect "$text" refuses symmetric_mp "$1" "$2" --lcores 5@0 "${eal[@]}" "${@:3}"
}
no "no port mask" 2 '-p' -- --num-procs 2 --proc-id 0
no "a port mask that is none" 2 '-p.*xyz|xyz.*' -- -p xyz --num-procs 2 --proc-id 0
no "no --num-procs" 2 'num-procs' -- -p 3 --proc-id 0
no "no --proc-id" 2 'proc-id' -- -p 3 --num-procs 2
no "an unknown option" 2 'bogus' -- -p 3 --num-procs 2 --proc-id 0 --bogus
no "a proc-id out of range" 2 'proc-id 2.*the last one is 1' -- -p 3 --num-procs 2 --proc-id 2
no "an odd number of ports" 1 'cannot be paired' --vdev net_null2 -- -p 7 --num-procs 2 --proc-id 0
no "a port that does not exist" 1 'port 2 does not exist' -- -p f --num-procs 2 --proc-id 0
no "more processes than an af_packet or null port has queues" '[12]' 'queues|num-procs' -- -p 3 --num-procs 99 --proc-id 0
no "an interface that does not exist" 1 'mpnet-none' --vdev net_af_packet2,iface=mpnet-none -- -p 3 --num-procs 2 --proc-id 0
no "a capture that does not exist" 1 "$work/none.pcap" --vdev "net_pcap2,rx_pcap=$work/none.pcap" -- -p 3 --num-procs 2 --proc-id 0
printf '\324\303\262\241\002' >"$work/short.pcap"
no "a capture that ends in its header" 1 "$work/short.pcap" --vdev "net_pcap2,rx_pcap=$work/short.pcap" -- \
  -p 3 --num-procs 2 --proc-id 0
no "a device of a kind that there is not" 1 'net_magic' --vdev net_magic0 -- -p 3 --num-procs 2 --proc-id 0
no "an EAL option that is unknown" 2 'wrong-option' --wrong-option -- -p 3 --num-procs 2 --proc-id 0
expect "nothing is left behind" nothing_left

run_app symmetric_mp "$work/first.log" --lcores 0@0 "${eal[@]}" -- -p 3 --num-procs 2 --proc-id 1
first=$started
wait_for_line "$work/first.log" '^forwarding' $patience "$first" || fail "the first process did not start (with proc-id 1)"
no "a proc-id that is taken, naming the holder" 1 "proc-id 1.*$first" -- -p 3 --num-procs 2 --proc-id 1
no "another number of processes" 1 'num-procs: this process says 3, those that run say 2' -- -p 3 --num-procs 3 --proc-id 0
no "other ports than the first process" 1 'cannot be paired|-p ' -- -p 1 --num-procs 2 --proc-id 0
expect "the first process has seen nothing of it" kill -0 "$first"
expect "it leaves with 0" stop_app "$first"
expect "and says what it did" has "$work/first.log" '^total: received'
expect "nothing is left behind" nothing_left
