# SPDX-License-Identifier: BSD-3-Clause
# Devices that change hands: one that another program has is refused; one that is unbound while it is in use stays with
# its group until that ends, and is refused afterwards with the command that binds it.
# seconds: 120
set_up_ports
refused() { # TEXT
  timeout 20 symmetric_mp --lcores 7@0 --file-prefix other "${use_both_ports[@]}" -- -p 3 --num-procs 1 --proc-id 0 \
    >/tmp/refused.out 2>&1 </dev/null
  local rc=$?
  [ $rc = 1 ] && grep -q "$1" /tmp/refused.out || { cat /tmp/refused.out; fail "exit code $rc, and no '$1'"; }
  tail -n 1 /tmp/refused.out
}
if command -v dpdk-testpmd >/dev/null; then
  start_testpmd
  refused "another program has the device"
  stop_testpmd
fi
start_symmetrics 1
(echo "${pci[0]}" >/sys/bus/pci/drivers/vfio-pci/unbind) & # returns when the device is free
unbinding=$!
echo $unbinding >>/tmp/started
in_left ping -c 20 -i 0.02 10.9.0.2 >/tmp/ping
grep -q ' 0% packet loss' /tmp/ping || fail "a device in use was disturbed by unbinding it"
kill -0 $unbinding 2>/dev/null || echo "the kernel let it go at once"
end_all
wait_for 20 unbound "${pci[0]}" || fail "the device stays bound after its group has ended"
refused "driverctl set-override ${pci[0]} vfio-pci"
bind_to "${pci[0]}" vfio-pci || fail "the device cannot be bound again"
start_symmetrics 1
say "held by testpmd: refused; unbound in use: forwarding goes on, then refused, bound again, forwarding"
