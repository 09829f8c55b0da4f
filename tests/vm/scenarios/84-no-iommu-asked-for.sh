# SPDX-License-Identifier: BSD-3-Clause
# Without an IOMMU, the kernel's switch on: not asked for, the device is refused; asked for, two processes forward, each of
# them dies in turn and comes back, the primary without asking again; a secondary's new memory reaches the device.
# machine: no-iommu
# seconds: 150
switch=/sys/module/vfio/parameters/enable_unsafe_noiommu_mode
[ -e $switch ] || skip "the guest's kernel has no no-IOMMU mode; MPNET_VM_NOIOMMU=1 builds its modules"
echo 1 >$switch || fail "no-IOMMU mode cannot be switched on"
set_up_ports
timeout 30 symmetric_mp --lcores 0@0 --file-prefix vm "${use_both_ports[@]}" -- -p 3 --num-procs 1 --proc-id 0 >/tmp/out 2>&1 </dev/null
rc=$?
cat /tmp/out
[ $rc = 1 ] || fail "not asked for: exit code $rc instead of 1"
grep -q "no IOMMU stands between.*enable_unsafe_noiommu_mode.*-a ${pci[0]},no_iommu=1" /tmp/out || fail "the refusal does not say how to ask"

start_symmetric 2 0 -a "${pci[0]},no_iommu=1" -a "${pci[1]},no_iommu=1"
wait_for 40 said sym_0 "orwarding" || { show sym_0; fail "the first process did not start"; }
said sym_0 "the device can read and write all of memory" || fail "no warning"
start_symmetric 2 1
wait_for 40 said sym_1 "orwarding" || { show sym_1; fail "the second process did not start"; }
wait_for 40 forwarding || { show sym_0 sym_1; fail "no ping goes through"; }
in_right iperf3 -s -D
for victim in 0 1 0 1; do
  eval "pid=\$pid_sym_$victim"
  in_left iperf3 -u -c 10.9.0.2 -b 20M -l 1400 -P 2 -t 1 >/tmp/iperf 2>&1 || { cat /tmp/iperf; show sym_0 sym_1; fail "no traffic"; }
  kill -9 "$pid"
  wait "$pid" 2>/dev/null
  if [ $victim = 0 ]; then start_symmetric 2 0; else start_symmetric 2 1; fi
  wait_for 40 said sym_$victim "orwarding" || { show sym_0 sym_1; fail "process $victim did not come back"; }
  wait_for 40 forwarding || { show sym_0 sym_1; fail "no ping goes through after the death of process $victim"; }
done
in_left ping -c 20 -i 0.02 -s 1400 10.9.0.2 >/tmp/ping
grep -q ' 0% packet loss' /tmp/ping || { cat /tmp/ping; fail "pings are lost after the last kill"; }

kill -INT "$pid_sym_1" # its transmit queue is the sender's now
wait "$pid_sym_1"
ip netns exec left tcpdump -i eth -n -Q in ether proto 0x88b5 -w /tmp/grown.pcap >/tmp/tcpdump.out 2>&1 &
tcpdump_pid=$!
echo $tcpdump_pid >>/tmp/started
wait_for 15 grep -qs "listening on" /tmp/tcpdump.out || fail "no tcpdump"
timeout 40 "$MPNET_BUILD/tests/vm/vm_memory" --lcores 9@1 --proc-type=secondary --file-prefix vm -- 0 1 8000 >/tmp/member 2>&1 ||
  { cat /tmp/member; show sym_0 sym_1; fail "a secondary could not add memory"; }
kill -INT $tcpdump_pid
wait $tcpdump_pid
frames=$(awk '/packets captured/ {print $1}' /tmp/tcpdump.out)
[ "${frames:-0}" -gt 0 ] || fail "the peer saw no packet out of the new memory"
end_all
show sym_0 sym_1
say "forwarded by physical addresses over four deaths; $frames of 8000 packets sent out of added memory were seen"
