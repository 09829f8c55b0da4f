#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# client_server_mp: each mistake has an answer of its own, and nothing is initialised by it.
. "$(dirname "$0")/lib.sh"
common=(-n 4 --no-huge -m 64 --file-prefix "$prefix")
ports=(--vdev net_null0 --vdev net_null1 --vdev net_null2 --vdev net_null3)
server_refuses() { refuses client_server_mp/mp_server "$1" "$2" "${@:3}"; }
client_refuses() { refuses client_server_mp/mp_client "$1" "$2" --lcores '8@0' "${common[@]}" "${@:3}"; }

expect "a client before its server" client_refuses 1 'no process of it lives|start mp_server' --proc-type=auto -- -n 0
expect "nothing is initialised by it" nothing_left
expect "a server without ports" server_refuses 1 'port 0 does not exist' --lcores '1@0' "${common[@]}" -- -p 3 -n 2
expect "a server without a port mask" server_refuses 2 '-p' --lcores '1@0' "${common[@]}" "${ports[@]}" -- -n 2
expect "a server without a number of clients" server_refuses 2 '-n' --lcores '1@0' "${common[@]}" "${ports[@]}" -- -p 3
expect "an odd number of ports" server_refuses 1 'paired' --lcores '1@0' "${common[@]}" "${ports[@]}" -- -p 1 -n 2
expect "nothing is left behind" nothing_left

run_app client_server_mp/mp_server "$work/server.log" --lcores '1@0,2@0' "${common[@]}" "${ports[@]}" -- -p 3 -n 2
server=$started
wait_for_line "$work/server.log" '^serving' $patience "$server" || fail "the server did not start"
run_app client_server_mp/mp_client "$work/client.log" --lcores '3@0' "${common[@]}" --proc-type=auto -- -n 1
client=$started
wait_for_line "$work/client.log" 'forwards$' $patience "$client" || fail "the client did not start"

expect "a client id in use, naming the holder" client_refuses 1 "$client" -- -n 1
expect "a client id out of range" client_refuses 2 'clients 0 to 1' -- -n 2
expect "a client without an id" client_refuses 2 '-n' --
expect "a second server, naming the first" server_refuses 1 "$server" --lcores '9@0' "${common[@]}" -- -p 3 -n 2
expect "a server started as secondary" \
  server_refuses 2 'must be the primary' --lcores '9@0' "${common[@]}" --proc-type=secondary -- -p 3 -n 2
kill_app "$server"
expect "a server that comes back with other clients" \
  server_refuses 1 'this process says 3, those that run say 2' --lcores '1@0' "${common[@]}" "${ports[@]}" -- -p 3 -n 3
expect "a server that comes back with other ports" \
  server_refuses 1 'this process says 0xc, those that run say 0x3' --lcores '1@0' "${common[@]}" "${ports[@]}" -- -p c -n 2
expect "a server that comes back with other devices" \
  server_refuses 1 'net_null9.* differ from' --lcores '1@0' "${common[@]}" "${ports[@]}" --vdev net_null9 -- -p 3 -n 2
expect "and without ports" server_refuses 2 '-p' --lcores '1@0' "${common[@]}" "${ports[@]}" -- -n 2
run_app client_server_mp/mp_server "$work/again.log" --lcores '1@0,2@0' "${common[@]}" "${ports[@]}" -- -p 3 -n 2
server=$started
expect "nothing was initialised by any of them: the right server starts" \
  wait_for_line "$work/again.log" '^serving' $patience "$server"
expect "and serves the client" wait_for_line "$work/again.log" '^client 1: received [1-9]' $patience "$server"
expect "the server leaves with 0" stop_app "$server"
expect "the client has seen nothing of all this" kill -0 "$client"
expect "the client leaves with 0" stop_app "$client"
expect "nothing is left behind" nothing_left
