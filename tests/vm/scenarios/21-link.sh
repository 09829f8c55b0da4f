# SPDX-License-Identifier: BSD-3-Clause
# The cable of port 0 is pulled and put back through QEMU's monitor: forwarding stops and comes back by itself.
# seconds: 60
set_up_ports
start_symmetrics 1
monitor set_link igb0 off
wait_for 10 not_forwarding || { fail "packets pass a pulled cable"; }
monitor set_link igb0 on
wait_for 40 forwarding || { show sym_0; fail "no ping after the cable is back"; }
say "cable pulled and put back"
