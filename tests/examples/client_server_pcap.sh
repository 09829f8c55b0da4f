#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# client_server_mp over net_pcap: two clients together send what the server received, byte for byte, each in order.
. "$(dirname "$0")/lib.sh"
pcaps=$(dirname "$0")/pcaps.py
# 200 packets a client in all: they fit into its ring, however long it takes to start.
for port in 0 1; do "$pcaps" make "$work/in$port.pcap" 200 $((port + 1)); done
vdev() { echo "net_pcap$1,rx_pcap=$work/in$1.pcap,tx_pcap=$work/out${1}0.pcap,tx_pcap=$work/out${1}1.pcap"; }
common=(-n 4 --no-huge -m 64 --file-prefix "$prefix")

run_app client_server_mp/mp_server "$work/server.log" --lcores '1@0,2@0' "${common[@]}" --proc-type=primary \
  --vdev "$(vdev 0)" --vdev "$(vdev 1)" -- -p 3 -n 2
server=$started
wait_for_line "$work/server.log" '^serving' $patience "$server" || fail "the server did not start"
for id in 0 1; do
  run_app client_server_mp/mp_client "$work/client$id.log" --lcores "$((3 + id))@0" "${common[@]}" --proc-type=auto -- -n $id
  clients[id]=$started
  wait_for_line "$work/client$id.log" 'forwards$' $patience "$started" || fail "client $id did not start"
done
for port in 0 1; do
  expect "port $port: all packets were received and sent, says the server" \
    wait_for_line "$work/server.log" "^port $port: received 200, sent 200, dropped 0" $patience "$server"
done
for id in 0 1; do
  expect "client $id had its half" has "$work/server.log" "^client $id: received 200, sent 200, dropped 0, refused 0"
  expect "client $id leaves with 0 on SIGINT" stop_app "${clients[id]}"
done
kill -TERM "$server"
wait "$server"
expect "the server leaves with 0 on SIGTERM" [ $? = 0 ]
forget "$server"
expect "port 1 sent what port 0 received" "$pcaps" same "$work/in0.pcap" "$work/out10.pcap" "$work/out11.pcap"
expect "port 0 sent what port 1 received" "$pcaps" same "$work/in1.pcap" "$work/out00.pcap" "$work/out01.pcap"
expect "nothing is left behind" nothing_left
