# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by scenarios that run beside dpdk-testpmd in a machine with two ports that are joined to each other: a burst
# sent once on each port goes round for ever.  Both sides forward on processor 1, from rings of 512 descriptors, in
# bursts of 32; everything else runs on processor 0.
taskset -p 1 $$ >/dev/null
forwarder=$MPNET_BUILD/tests/vm/vm_forward
[ ${#pci[@]} = 2 ] || fail "there are ${#pci[@]} igb ports instead of two"
for i in 0 1; do bind_to "${pci[$i]}" vfio-pci || fail "port $i cannot be bound to vfio-pci"; done
counts=$MPNET_OUT/instructions

# Each leaves packets a second in $rate, and with "counted" the packets in $packets, instructions in $counts.
run_mpnet() { # SECONDS
  timeout 60 taskset 3 "$forwarder" --lcores 0@1 --file-prefix versus -a "${pci[0]}" -a "${pci[1]}" -- "$1" >/tmp/mpnet.out 2>&1 </dev/null ||
    { cat /tmp/mpnet.out; fail "vm_forward failed"; }
  grep ^packets /tmp/mpnet.out
  read -r packets rate < <(awk '/^packets/ {print $2, $4}' /tmp/mpnet.out)
}

tell_testpmd() { echo "$1" >&9; }
shown() { [ "$(grep -c 'NIC statistics for port 1' /tmp/testpmd.out)" -ge "$1" ]; }
run_testpmd() { # SECONDS
  start_testpmd --rxd=512 --txd=512
  "$forwarder" -- mark begin
  tell_testpmd "start tx_first 1"
  wait_for 10 said testpmd "io packet forwarding" || { show testpmd; fail "testpmd does not forward"; }
  sleep_for 1
  tell_testpmd "show port stats all"
  wait_for 10 shown 1
  sleep_for "$1"
  tell_testpmd "show port stats all"
  wait_for 10 shown 2
  tell_testpmd stop
  wait_for 10 said testpmd "Accumulated forward statistics" && wait_for 10 said testpmd "^Done" || { show testpmd; fail "testpmd does not stop"; }
  "$forwarder" -- mark end
  rate=$(awk '/Rx-pps:/ {r[++n] = $2} END {printf "%d", r[3] + r[4]}' /tmp/testpmd.out)
  packets=$(awk '/Accumulated forward/ {on = 1} on && /RX-packets:/ {print $2; exit}' /tmp/testpmd.out)
  stop_testpmd
}
sleep_for() { read -rt "$1" <> <(:) || :; }

median() { printf '%s\n' "$@" | sort -g | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

compare_rates() { # ROUNDS SECONDS
  local ours=() theirs=() ratios=() r
  for ((r = 0; r < $1; ++r)); do
    run_mpnet "$2"
    ours+=("$rate")
    run_testpmd "$2"
    theirs+=("$rate")
    [ "${theirs[r]}" -gt 0 ] || { show testpmd; fail "testpmd forwarded nothing"; }
    echo "round $r: mpnet ${ours[r]}, testpmd ${theirs[r]}"
    ratios+=("$(awk -v a="${ours[r]}" -v b="${theirs[r]}" 'BEGIN {printf "%.3f", a / b}')")
  done
  say "packets a second, medians of $1 rounds: mpnet $(median "${ours[@]}"), testpmd $(median "${theirs[@]}"); mpnet / testpmd $(median "${ratios[@]}") (${ratios[*]})"
}

# The user space's instructions on processor 1 between the last two marks, a packet.
instructions_a_packet() {
  awk -v packets="$packets" '$1 == 1 {from = $4} $1 == 2 {to = $4} END {printf "%.1f", (to - from) / packets}' "$counts"
}
compare_instructions() { # SECONDS
  run_mpnet "$1"
  local ours theirs
  ours=$(instructions_a_packet)
  run_testpmd "$1"
  theirs=$(instructions_a_packet)
  cat "$counts"
  say "user space's instructions a forwarded packet: mpnet $ours, testpmd $theirs"
  awk -v a="$ours" -v b="$theirs" 'BEGIN {exit !(a > 5 && a < b)}' || fail "mpnet needs $ours instructions a packet, testpmd $theirs"
}
