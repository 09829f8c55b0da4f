# shellcheck shell=bash disable=SC2154,SC2034  # variables of those who source it
# SPDX-License-Identifier: BSD-3-Clause
# Sourced after testnet.sh by the demo and by tests: which processes each sample application consists of between the
# namespaces, and how to start, kill and stop one of them.  Uses $apps (folder of the built examples), $prefix, $work.

members=()      # names, in the order to start them
members_pool=   # the application's pool of packet buffers
declare -A member_command=() member_ready=() member_pid=()

members_of() {
  local cpus id
  cpus=$(nproc)
  local eal="-n 4 --file-prefix $prefix" ports
  ports="--vdev net_af_packet0,iface=m0,qpairs=2 --vdev net_af_packet1,iface=m1,qpairs=2"
  case $1 in
    symmetric_mp)
      members=(process-0 process-1) members_pool=MBUF_POOL
      for id in 0 1; do
        member_command[process-$id]="$apps/symmetric_mp/symmetric_mp --lcores $id@$((id % cpus)) $eal --proc-type=auto $ports
          -- -p 3 --num-procs 2 --proc-id $id"
        member_ready[process-$id]='^forwarding'
      done
      ;;
    client_server_mp)
      members=(server client-0 client-1) members_pool=MBUF_POOL
      member_command[server]="$apps/client_server_mp/mp_server --lcores 1@0,2@0 $eal $ports -- -p 3 -n 2"
      member_ready[server]='^serving'
      for id in 0 1; do
        member_command[client-$id]="$apps/client_server_mp/mp_client --lcores $((3 + id))@$((1 % cpus)) $eal
          --proc-type=auto -- -n $id"
        member_ready[client-$id]='forwards$'
      done
      ;;
    l2fwd_fork)
      members=(main) members_pool=MBUF_POOL
      member_command[main]="$apps/l2fwd_fork/l2fwd_fork --lcores 2@0,3@0,4@$((1 % cpus)) $eal $ports -- -p 3 -T 0"
      member_ready[main]='lcore 3 and 4 paired'
      ;;
    *) return 1 ;;
  esac
}

# start_member NAME: and wait until it says that it is ready.  Its log is $work/NAME.log, the last one's only.
start_member() {
  # shellcheck disable=SC2086  # a command is a list of words
  start_in middle "$work/$1.log" ${member_command[$1]}
  member_pid[$1]=$started
  wait_for_line "$work/$1.log" "${member_ready[$1]}" $patience "$started"
}

# kill_member NAME: SIGKILL, and until it is gone.
kill_member() {
  kill -KILL "${member_pid[$1]}"
  wait "${member_pid[$1]}" 2>/dev/null
  forget "${member_pid[$1]}"
}

# stop_member NAME: SIGINT; fails unless it leaves with 0.
stop_member() {
  kill -INT "${member_pid[$1]}"
  ends_with_0 "${member_pid[$1]}"
}

# Offloads would leave checksums and segmentation to a device, and a packet socket is none: what it receives would go out
# with checksums that nobody filled in, or longer than a frame.
offloads_off() {
  local side
  for side in left right; do
    in_net "$side" ethtool -K veth0 tx off tso off gso off gro off >/dev/null 2>&1
  done
}

# l2fwd sends everything to 02:00:00:00:00:PP, where PP is the port that it leaves by.
macs_for_l2fwd() {
  ip -n "$net_tag-left" link set veth0 address 02:00:00:00:00:00
  ip -n "$net_tag-right" link set veth0 address 02:00:00:00:00:01
}
