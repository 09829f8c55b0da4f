#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# l2fwd_fork over net_pcap: what a capture holds goes out of the partner port with that port's addresses, whether the
# ports of a pair have a worker each or share one, pinned or floating.
. "$(dirname "$0")/lib.sh"
no_sanitizer
pcaps=$(dirname "$0")/pcaps.py
for port in 0 1; do "$pcaps" make "$work/in$port.pcap" 500 "$port"; done

both_ways() { # TEXT OPTIONS…
  local text=$1 end main port
  shift
  rm -f "$work"/out?.pcap
  run_app l2fwd_fork "$work/$text.log" --lcores 2@0,3@1,4@0 -n 4 --file-prefix "$prefix" --no-huge -m 64 \
    --vdev "net_pcap0,rx_pcap=$work/in0.pcap,tx_pcap=$work/out0.pcap" \
    --vdev "net_pcap1,rx_pcap=$work/in1.pcap,tx_pcap=$work/out1.pcap" -- -p 3 "$@"
  main=$started end=$((SECONDS + patience))
  until [ "$("$pcaps" count "$work/out0.pcap" 2>/dev/null)" = 500 ] && [ "$("$pcaps" count "$work/out1.pcap" 2>/dev/null)" = 500 ]; do
    [ $SECONDS -lt $end ] || break
    sleep 0.1
  done
  expect "$text: leaves with 0 on SIGINT" stop_app "$main"
  for port in 0 1; do
    expect "$text: port $port sent the other's frames with its own addresses" \
      "$pcaps" routed "$work/out$port.pcap" "02:00:00:00:00:0$port" "$work/in$((1 - port)).pcap"
  done
  expect "$text: all are counted" has "$work/$text.log" '^total: received 1000, sent 1000, dropped 0'
  expect "$text: nothing is left behind" nothing_left
}
both_ways "a worker each" -T 0
expect "the partners are named" has "$work/a worker each.log" '^lcore 3 and 4 paired'
both_ways "one worker" -q 2
both_ways "floating" -f
expect "floating workers have unused lcore ids" has "$work/floating.log" '^Org lcore_id = 3, cur lcore_id = [0-9]+'
if has "$work/floating.log" 'cur lcore_id = (2|3|4)$'; then fail "a floating worker took an lcore id of the command line"; fi
exit $((problems > 0))
