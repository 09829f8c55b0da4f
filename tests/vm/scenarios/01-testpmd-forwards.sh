# SPDX-License-Identifier: BSD-3-Clause
# The baseline: DPDK's own driver forwards between the two kernel peers on this very machine.
# seconds: 60
command -v dpdk-testpmd >/dev/null || skip "dpdk-testpmd is not installed"
set_up_ports
start_testpmd --auto-start
wait_for 15 in_left ping -c 1 -W 1 10.9.0.2 || { show testpmd; fail "no ping through testpmd"; }
in_left ping -c 20 -i 0.05 10.9.0.2 | tee /tmp/ping | tail -n 3
grep -q ' 0% packet loss' /tmp/ping || fail "pings were lost"
in_right iperf3 -s -1 -D
in_left iperf3 -c 10.9.0.2 -t 3 >/tmp/iperf || fail "iperf3 failed"
say "testpmd: $(grep receiver /tmp/iperf | awk '{print $7, $8}')"
stop_testpmd
