#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# symmetric_mp: whichever process was killed, the first one included, it comes back with --proc-type=auto, secondary, or,
# where the role is free, primary, takes the queues of its proc-id over, and traffic flows through both.
. "$(dirname "$0")/lib.sh"
namespaces
members_of symmetric_mp
as() { member_command[process-$1]=${member_command[process-$1]/--proc-type=[a-z]*([a-z])/--proc-type=$2}; } # ID TYPE
shopt -s extglob
role() { mpnet_ps | awk -v pid="${member_pid[process-$1]}" '$0 ~ "\"pid\":" pid "[,}]" { print }' | grep -o '"role":"[a-z]*"'; }
mpnet_ps() { "$BUILD/tools/mpnet" ps --json --file-prefix "$prefix"; }

back() { # ID TYPE ROLE: killed and started with that type, it has that role, and traffic flows
  kill_member "process-$1"
  as "$1" "$2"
  expect "process $1 was killed: it comes back as $2" start_member "process-$1"
  expect "  with the role of $3" [ "$(role "$1")" = "\"role\":\"$3\"" ]
  expect "  and traffic flows" reaches
  # Both queues are driven: each process sees some of many flows.
  in_net left iperf3 -c 10.66.0.2 -P 8 -n 1M >"$work/iperf.log" 2>&1 || expect "  on both queues" false
}
start_in right "$work/iperf-server.log" iperf3 -s --forceflush
wait_for_line "$work/iperf-server.log" listening $patience "$started" || fail "iperf3 did not start"
as 1 primary # the first process may have any proc-id
start_member process-1 || fail "the first process did not start"
start_member process-0 || fail "the second process did not start"
expect "traffic flows" reaches
expect "the first process is the primary" [ "$(role 1)" = '"role":"primary"' ]
back 0 secondary secondary
back 1 secondary secondary # the first one: nobody has the role now
back 0 primary primary     # it is free
back 0 auto primary        # free again
back 1 auto secondary      # taken
member_command[third]=${member_command[process-1]/--proc-type=auto/--proc-type=primary}
member_ready[third]='^forwarding'
expect "a second primary is refused" eval '! start_member third'
wait "${member_pid[third]}" 2>/dev/null
forget "${member_pid[third]}"
expect "with the pid of the first" has "$work/third.log" "${member_pid[process-0]}"
in_net middle timeout $patience "$apps/symmetric_mp/symmetric_mp" --lcores 0@0 -n 4 --file-prefix "$prefix-other" \
  --vdev net_af_packet0,iface=m0 --vdev net_af_packet1,iface=m1 -- -p 3 --num-procs 1 --proc-id 0 >"$work/other.log" 2>&1
expect "another group cannot have its interfaces" [ $? = 1 ]
expect "and hears which and who has it" has "$work/other.log" "'m0'.*$prefix.*(${member_pid[process-0]}|${member_pid[process-1]})"
expect "no packet buffer is lost or in two places" audited "$members_pool"
for name in process-0 process-1; do
  expect "$name leaves with 0" stop_member $name
  expect "$name has forwarded" has "$work/$name.log" '^total: received [1-9]'
done
expect "nothing is left behind" nothing_left
exit $((problems > 0))
