# SPDX-License-Identifier: BSD-3-Clause
# Address filters, multicast, promiscuous and all-multicast mode, VLAN filter, flow control, descriptor states, register
# dump: what the port is told, the peer checks with frames.
# seconds: 120
set_up_ports
mkfifo /tmp/commands && exec 8<>/tmp/commands
start filter bash -c "exec '$MPNET_BUILD/tests/vm/vm_filter' --lcores 0@0 --file-prefix filter -a ${pci[0]} </tmp/commands"
wait_for 40 said filter '^ready up' || { show filter; fail "vm_filter did not start"; }
wait_for 10 carrier left || fail "the peer has no link"
in_left ethtool -K eth txvlan off >/dev/null 2>&1
timeout 90 ip netns exec left python3 "$MPNET_SOURCE/tests/vm/filters.py" eth /tmp/commands /tmp/filter.out >/tmp/filters 2>&1
rc=$?
cat /tmp/filters
rm -f /tmp/commands
[ $rc = 0 ] || { show filter; fail "a filter let the wrong frames through"; }
say "$(grep -c '^ok' /tmp/filters) checks of filters, flow control, descriptors and registers"
