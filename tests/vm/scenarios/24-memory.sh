# SPDX-License-Identifier: BSD-3-Clause
# Memory grows and shrinks under traffic: a secondary adds a pool again and again, the device sends packets out of it,
# and the pages go back.  No ping is lost, and no page trickles away.
# seconds: 120
set_up_ports
member=$MPNET_BUILD/tests/vm/vm_memory
start_symmetric 2 0 "${use_both_ports[@]}"
wait_for 40 said sym_0 "orwarding" || { show sym_0; fail "no forwarder"; }
wait_for 40 forwarding || { show sym_0; fail "no ping goes through"; }
free_pages() { cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages; }
ip netns exec left tcpdump -i eth -n -Q in ether proto 0x88b5 -w /tmp/grown.pcap >/tmp/tcpdump.out 2>&1 &
tcpdump_pid=$!
echo $tcpdump_pid >>/tmp/started
: >>/tmp/tcpdump.out
wait_for 15 grep -q "listening on" /tmp/tcpdump.out || { cat /tmp/tcpdump.out; fail "no tcpdump"; }
: >/tmp/ping
ip netns exec left ping -i 0.05 10.9.0.2 >/tmp/ping &
ping_pid=$!
echo $ping_pid >>/tmp/started
resting=()
for round in 1 2 3 4 5; do
  timeout 40 "$member" --lcores 9@1 --proc-type=secondary --file-prefix vm -- 0 1 8000 >/tmp/member 2>&1 ||
    { cat /tmp/member; show sym_0; fail "round $round"; }
  tail -n 1 /tmp/member
  read -r _ grown last <<<"$(grep -o '[0-9]* before, [0-9]* with the pool, [0-9]* after' /tmp/member | tr -dc '0-9 ')"
  [ "$grown" -lt "$last" ] || fail "the memory did not grow and shrink: $grown pages were free with the pool, $last after it"
  resting+=("$(free_pages)")
done
# The first round may leave a page that is partly used, the later ones find room in it.
[ "${resting[4]}" = "${resting[0]}" ] || fail "memory trickles away: ${resting[*]} pages were free after each round"
kill -INT $ping_pid
wait $ping_pid
grep -q ' 0% packet loss' /tmp/ping || { tail -n 3 /tmp/ping; fail "pings were lost while memory came and went"; }
kill -INT $tcpdump_pid
wait $tcpdump_pid
tail -n 3 /tmp/tcpdump.out
frames=$(awk '/packets captured/ {print $1}' /tmp/tcpdump.out)
[ "${frames:-0}" -gt 0 ] || fail "the peer saw no packet out of the new memory"
end_all
dmesg 2>/dev/null | grep -i "DMAR.*fault" && fail "the IOMMU reported faults"
say "five times $grown free pages with the added pool, $last without; the peer's kernel saw $frames of 40000 packets sent out of it, no ping lost"
