# SPDX-License-Identifier: BSD-3-Clause
# Processes that sleep on their queue's interrupt, the primary and a secondary, are woken by packets of their own queue.
# seconds: 90
sleeper=$MPNET_BUILD/tests/vm/vm_sleep
set_up_ports
for i in 0 1; do
  arguments=(--lcores "$i@$i" --proc-type=auto --file-prefix sleep)
  [ $i = 0 ] && arguments+=(-a "${pci[0]}")
  start "sleep_$i" "$sleeper" "${arguments[@]}" -- $i 2 5
  wait_for 40 said "sleep_$i" '^ready' || { show "sleep_$i"; fail "process $i did not start"; }
done
wait_for 10 carrier left || fail "the peer has no link"
mac=52:54:00:00:00:00
ip -n left neigh replace 10.9.0.77 lladdr $mac dev eth
# A packet at a time, each of another flow: RSS deals the flows out to both queues.
awake() { said sleep_0 'woken.*' && [ "$(grep -c '^woken' /tmp/sleep_0.out)" -ge 5 ] && [ "$(grep -c '^woken' /tmp/sleep_1.out)" -ge 5 ]; }
port=1000
one_packet() { port=$((port + 1)); in_left bash -c "echo x >/dev/udp/10.9.0.77/$port"; awake; }
wait_for 40 one_packet || { end_all; show sleep_0 sleep_1; grep -i vfio /proc/interrupts; fail "a process slept on"; }
for i in 0 1; do
  eval "wait \$pid_sleep_$i" || { show "sleep_$i"; fail "process $i ended badly"; }
done
pids=()
show sleep_0 sleep_1
grep -i 'vfio-msix' /proc/interrupts
say "primary and secondary woken five times each, by packets alone"
