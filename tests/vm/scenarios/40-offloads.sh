# SPDX-License-Identifier: BSD-3-Clause
# Receive: checksums good and bad, a VLAN tag, a jumbo frame in several buffers, and hashes that equal Microsoft's
# vectors (IPv4 and IPv6, TCP and UDP).  Send: checksums, a tag, TCP segmentation, a frame of several pieces; the kernel's
# port captures and checks each.  QEMU captures the wire at both devices beside them, and both captures are checked too.
# seconds: 120
set_up_ports
peer=$MPNET_SOURCE/tests/vm/peer.py
probe=$MPNET_BUILD/tests/vm/vm_probe
wires=("$MPNET_OUT/wire0.pcap" "$MPNET_OUT/wire2.pcap")
on_the_wire() { python3 "$MPNET_SOURCE/tests/vm/wire.py" "$1" "${wires[@]}"; }
tap_wire 0 2
ip -n left link set eth mtu 9000 promisc on  # else the tag, which nobody registered, is filtered
in_left ethtool -K eth gro off rxvlan off tso off gso off tx off >/dev/null 2>&1
n=$(python3 "$peer" count)
start probe "$probe" --lcores 0@0 --file-prefix probe -a "${pci[0]}" -- receive 1000
wait_for 40 said probe '^ready' || { show probe; fail "vm_probe did not start"; }
wait_for 10 carrier left || fail "the peer has no link"
# The peer's driver re-initialises itself after ethtool, some seconds late: the first frames may be lost on its side.
all_received() {
  in_left python3 "$peer" send eth || return 1
  wait_for 2 done_receiving && python3 "$peer" check-received /tmp/probe.out >/tmp/checked
}
done_receiving() { [ "$(grep -c '^packet' /tmp/probe.out)" -ge "$n" ]; }
wait_for 20 all_received || { end_all; show probe; cat /tmp/checked; fail "the device's word differs from the frames"; }
end_all
show probe
on_the_wire received || fail "the frames on the wire are not those that were sent"
start capture in_left python3 "$peer" capture eth
wait_for 10 said capture '^ready' || { show capture; fail "no capture"; }
start probe2 "$probe" --lcores 0@0 --file-prefix probe -a "${pci[0]}" -- send
wait_for 40 said probe2 '^sent' || { show probe2; fail "vm_probe did not send"; }
wait "$pid_capture"
rc=$?
show capture probe2
[ $rc = 0 ] || fail "what came over the wire is not what was asked for"
on_the_wire sent || fail "what was captured on the wire is not what was asked for"
release_wire 0 2
say "$n frames received as expected, 16 of them with Microsoft's hashes; checksums, tag, segmentation and pieces sent"
ip -n left link set eth mtu 1500 promisc off
in_left ethtool -K eth gro on rxvlan on tso on gso on tx on >/dev/null 2>&1 || true
