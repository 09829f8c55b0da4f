# SPDX-License-Identifier: BSD-3-Clause
# Two processes share both ports: each sees its share of the flows, nothing is lost at a low rate.
# seconds: 120
set_up_ports
start_symmetrics 2
in_left ping -c 50 -i 0.02 10.9.0.2 >/tmp/ping
tail -n 2 /tmp/ping
grep -q ' 0% packet loss' /tmp/ping || { show sym_0 sym_1; fail "pings were lost"; }
in_right iperf3 -s -1 -D
in_left iperf3 -c 10.9.0.2 -t 3 -P 16 >/tmp/iperf || { cat /tmp/iperf; show sym_0 sym_1; fail "iperf3 failed"; }
rate=$(grep 'SUM.*receiver' /tmp/iperf | awk '{print $6, $7}')
end_all
show sym_0 sym_1
shares=()
for i in 0 1; do shares+=("$(awk '/^total: received/ {print $3 + 0}' /tmp/sym_$i.out)"); done
say "two processes: $rate; packets received ${shares[*]}"
total=$((shares[0] + shares[1]))
[ "$total" -gt 0 ] || fail "nobody received anything"
for s in "${shares[@]}"; do [ $((s * 10)) -ge $total ] || fail "a process got less than a tenth: ${shares[*]}"; done
