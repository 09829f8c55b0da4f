# SPDX-License-Identifier: BSD-3-Clause
# Members die under traffic, the primary in turn with a secondary, MPNET_VM_KILLS times in a row (50): the others keep
# forwarding, and whoever is started again takes the dead one's queues over without a reset of the device.
# seconds: 300
set_up_ports
start_symmetrics 2
ip netns exec left ping -i 0.05 10.9.0.2 >/tmp/background 2>&1 &
echo $! >>/tmp/started
in_right iperf3 -s -1 -D
ip netns exec left iperf3 -u -c 10.9.0.2 -b 3M -l 1000 -P 4 -t 1000 >/tmp/iperf 2>&1 &
echo $! >>/tmp/started
kills=${MPNET_VM_KILLS:-50}
for ((k = 0; k < kills; ++k)); do
  victim=$((k % 2)) other=$(((k + 1) % 2))
  eval "pid=\$pid_sym_$victim"
  kill -9 "$pid"
  wait "$pid" 2>/dev/null
  eval "kill -0 \$pid_sym_$other" || { show sym_$other; fail "the survivor died too, at kill $k"; }
  if [ $victim = 0 ]; then start_symmetric 2 0 "${use_both_ports[@]}"; else start_symmetric 2 1; fi
  wait_for 40 said sym_$victim "orwarding" || { show sym_$victim sym_$other; fail "process $victim did not come back after kill $k"; }
  wait_for 40 forwarding || { show sym_0 sym_1; fail "no ping goes through after kill $k"; }
done
in_left ping -c 40 -i 0.02 10.9.0.2 >/tmp/ping
grep -q ' 0% packet loss' /tmp/ping || { tail -n 2 /tmp/ping; fail "pings are lost after the last kill"; }
end_all
show sym_0 sym_1
say "$kills deaths, first process and second in turn; forwarding after each"
