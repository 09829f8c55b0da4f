# SPDX-License-Identifier: BSD-3-Clause
# l2fwd_fork over igb: a forked worker a port; frames leave by the partner port with the destination 02:00:00:00:00:PP.
# One worker is killed: it is forked again, and frames go on.
# seconds: 90
set_up_ports
start l2fwd l2fwd_fork --lcores 0@0,1@0,2@1 --file-prefix l2 "${use_both_ports[@]}" -- -p 3 -T 1
workers() { pgrep -P "$pid_l2fwd"; }
two_workers() { [ "$(workers | wc -l)" = 2 ]; }
wait_for 20 two_workers || { show l2fwd; fail "there are no workers"; }
crosses() { # a frame sent left arrives right
  : >/tmp/tcpdump.out
  ip netns exec right timeout 5 tcpdump -i eth -n -c 1 -Q in ether dst 02:00:00:00:00:01 and udp >/tmp/seen 2>/tmp/tcpdump.out &
  local watcher=$!
  wait_for 5 grep -q "listening on" /tmp/tcpdump.out || return 1
  for _ in 1 2 3 4 5; do in_left bash -c "echo x >/dev/udp/10.9.0.77/1234"; done
  wait $watcher && grep -q UDP /tmp/seen
}
in_left ip link set eth promisc on
in_right ip link set eth promisc on
ip -n left neigh replace 10.9.0.77 lladdr 52:54:00:00:00:00 dev eth
wait_for 20 crosses || { show l2fwd; cat /tmp/tcpdump.out; fail "no frame crosses"; }
cat /tmp/seen
victim=$(workers | tail -n 1)
kill -9 "$victim"
replaced() { two_workers && ! workers | grep -q "^$victim$"; }
wait_for 20 replaced || { show l2fwd; fail "the dead worker was not forked again"; }
wait_for 20 crosses || { show l2fwd; cat /tmp/tcpdump.out; fail "no frame crosses after a worker's death"; }
end_all
in_left ip link set eth promisc off
in_right ip link set eth promisc off
said l2fwd "started" || fail "nothing was started"
say "frames cross with the forwarder's addresses, before and after a worker's death"
