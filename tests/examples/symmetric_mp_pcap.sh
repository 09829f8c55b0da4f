#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# symmetric_mp as two processes over net_pcap: what the captures hold goes out of the partner port, byte for byte.
. "$(dirname "$0")/lib.sh"
pcaps=$(dirname "$0")/pcaps.py

for port in 0 1; do
  for queue in 0 1; do "$pcaps" make "$work/in$port$queue.pcap" 500 $((10 * port + queue)); done
done
vdev() { # PORT: two queues, each with a capture in and one out
  echo "net_pcap$1,rx_pcap=$work/in${1}0.pcap,rx_pcap=$work/in${1}1.pcap,tx_pcap=$work/out${1}0.pcap,tx_pcap=$work/out${1}1.pcap"
}
pids=()
for id in 0 1; do
  run_app symmetric_mp "$work/process$id.log" --lcores "$id@0" -n 4 --proc-type=auto --file-prefix "$prefix" --no-huge -m 64 \
    --vdev "$(vdev 0)" --vdev "$(vdev 1)" -- -p 3 --num-procs 2 --proc-id $id
  pids[id]=$started
  wait_for_line "$work/process$id.log" '^forwarding' $patience "$started" || fail "process $id did not start"
done
enough() { # each process has sent its 500 frames out of both ports
  local port queue
  for port in 0 1; do
    for queue in 0 1; do [ "$("$pcaps" count "$work/out$port$queue.pcap" 2>/dev/null || echo 0)" = 500 ] || return 1; done
  done
}
end=$((SECONDS + patience))
until enough || [ $SECONDS -ge $end ]; do sleep 0.1; done
signals=(INT TERM)
for id in 0 1; do
  expect "process $id leaves with 0 on SIG${signals[id]}" stop_app "${pids[id]}" "${signals[id]}"
  for port in 0 1; do
    expect "process $id, port $port: all received and sent are counted" \
      has "$work/process$id.log" "^port $port: received 500, sent 500, dropped 0"
  done
done
for queue in 0 1; do
  expect "queue $queue: port 1 sent what port 0 received" "$pcaps" same "$work/out1$queue.pcap" "$work/in0$queue.pcap"
  expect "queue $queue: port 0 sent what port 1 received" "$pcaps" same "$work/out0$queue.pcap" "$work/in1$queue.pcap"
done
expect "nothing is left behind" nothing_left
