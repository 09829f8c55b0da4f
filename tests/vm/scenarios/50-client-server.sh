# SPDX-License-Identifier: BSD-3-Clause
# client_server_mp over igb: the server receives from both ports and deals out, two clients send, each on its own queue.
# seconds: 90
set_up_ports
start server mp_server --lcores 0@0,1@0 --file-prefix cs "${use_both_ports[@]}" -- -p 3 -n 2
wait_for 40 said server "received\|orwarding\|eceiving" || { show server; fail "the server did not start"; }
for i in 0 1; do
  start "client_$i" mp_client --lcores "$((i + 2))@1" --proc-type=auto --file-prefix cs -- -n $i
done
wait_for 40 forwarding || { show server client_0 client_1; fail "no ping goes through"; }
in_left ping -c 100 -i 0.02 10.9.0.2 >/tmp/ping
tail -n 2 /tmp/ping
grep -q ' 0% packet loss' /tmp/ping || { show server client_0 client_1; fail "pings were lost"; }
end_all
show server client_0 client_1
say "server and two clients: $(grep -o 'rtt.*' /tmp/ping)"
