# SPDX-License-Identifier: BSD-3-Clause
# Two NUMA nodes.
# machine: numa
# seconds: 60
[ -d /sys/devices/system/node/node1 ] || fail "there is one node"
set_up_ports
start_symmetrics 2
in_left ping -c 20 -i 0.02 10.9.0.2 >/tmp/ping
grep -q ' 0% packet loss' /tmp/ping || fail "pings were lost"
say "two NUMA nodes"
