# SPDX-License-Identifier: BSD-3-Clause
# One process forwards between two igb ports: ping without loss, iperf3.
set_up_ports
start_symmetrics 1
in_left ping -c 100 -i 0.02 10.9.0.2 >/tmp/ping
tail -n 2 /tmp/ping
grep -q ' 0% packet loss' /tmp/ping || { show sym_0; fail "pings were lost"; }
in_right iperf3 -s -1 -D
in_left iperf3 -c 10.9.0.2 -t 3 >/tmp/iperf || { cat /tmp/iperf; show sym_0; fail "iperf3 failed"; }
say "mpnet: $(grep receiver /tmp/iperf | awk '{print $7, $8}'), $(grep -o 'rtt.*' /tmp/ping)"
end_all
show sym_0
