# SPDX-License-Identifier: BSD-3-Clause
# A pulled cable is news in every process: each is told by its own event thread.
# seconds: 90
probe=$MPNET_BUILD/tests/vm/vm_probe
set_up_ports
start first "$probe" --lcores 0@0 --proc-type=auto --file-prefix probe -a "${pci[0]}" -- link 9
wait_for 40 said first '^ready' || { show first; fail "the first process did not start"; }
start second "$probe" --lcores 1@1 --proc-type=auto --file-prefix probe -- link 9
wait_for 40 said second '^ready' || { show first second; fail "the second process did not start"; }
monitor set_link igb0 off
for p in first second; do wait_for 10 said $p "^link down" || { end_all; show first second; grep -i "vfio\|msi" /proc/interrupts; fail "process $p does not know"; }; done
monitor set_link igb0 on
for p in first second; do wait_for 10 said $p "^link back" || { show first second; fail "process $p does not know that it is back"; }; done
say "both processes saw the cable pulled and put back"
