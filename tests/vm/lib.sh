# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by scenarios, in the guest.  Ports 0 and 1 are user space's, 2 and 3 the kernel's, in namespaces left and right.
set -u
[ ! -e "$MPNET_OUT/environment" ] || . "$MPNET_OUT/environment" # the MPNET_VM_… of whoever started the machine
PATH=$(find "$MPNET_BUILD/examples" "$MPNET_BUILD/tools" "$MPNET_BUILD/bench" -maxdepth 1 -type d -printf "%p:" 2>/dev/null)$PATH

fail() { echo "failed: $*"; exit 1; }
skip() { echo "$*"; exit 77; }
say() { echo "$*"; echo "$*" >>/tmp/say; }

# The igb functions in the order in which QEMU was given them: the bus number grows with the root port.
igb_addresses() { grep -l 0x10c9 /sys/bus/pci/devices/*/device | xargs -n 1 dirname | xargs -n 1 basename | sort; }
mapfile -t pci < <(igb_addresses)

driver_of() { basename "$(readlink "/sys/bus/pci/devices/$1/driver" 2>/dev/null)"; }
bind_to() { # ADDRESS DRIVER ('' for none)
  [ "$(driver_of "$1")" = "$2" ] && return 0
  [ ! -e "/sys/bus/pci/devices/$1/driver" ] || echo "$1" >"/sys/bus/pci/devices/$1/driver/unbind"
  echo "$2" >"/sys/bus/pci/devices/$1/driver_override"
  [ -z "$2" ] || echo "$1" >/sys/bus/pci/drivers_probe
  [ "$(driver_of "$1")" = "$2" ]
}

wait_for() { # SECONDS COMMAND...: until it succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    read -rt 0.2 <> <(:) || :
  done
}

pids=()
start() { # NAME COMMAND...: in the background; its output in /tmp/NAME.out
  local name=$1
  shift
  : >"/tmp/$name.out" # now, not when the child gets to it: what an earlier one said must not count
  "$@" >"/tmp/$name.out" 2>&1 </dev/null &
  pids+=($!)
  echo $! >>/tmp/started
  eval "pid_$name=$!"
}
said() { grep -q "$2" "/tmp/$1.out"; } # NAME TEXT
end_all() {
  local p
  for p in "${pids[@]}"; do kill -INT "$p" 2>/dev/null; done
  for p in "${pids[@]}"; do wait "$p" 2>/dev/null; done
  pids=()
}
show() { for f in "$@"; do echo "== $f"; cat "/tmp/$f.out"; done; }

# QEMU's monitor is the other end of the second serial port.  The empty line ends whatever noise the port carried before.
monitor() {
  stty -F /dev/ttyS1 raw -echo
  printf '\r%s\r' "$*" >/dev/ttyS1
}

# What crosses a port's wire, as QEMU sees it: both directions, in $MPNET_OUT/wireN.pcap until release_wire.
tap_wire() { # PORT...
  local p
  for p in "$@"; do
    monitor "object_add filter-dump,id=wire$p,netdev=h$p,file=$MPNET_VM_HOST_OUT/wire$p.pcap"
    wait_for 5 test -s "$MPNET_OUT/wire$p.pcap" || fail "QEMU does not capture port $p"
  done
}
release_wire() { local p; for p in "$@"; do monitor "object_del wire$p"; done; }

net_of() { ls "/sys/bus/pci/devices/$1/net" 2>/dev/null | head -n 1; }

# Kernel peers in namespaces of their own, user space's ports on vfio-pci.
set_up_ports() {
  local i ns dev
  for i in 0 1; do bind_to "${pci[$i]}" vfio-pci || fail "port $i cannot be bound to vfio-pci"; done
  for i in 2 3; do
    ns=$([ $i = 2 ] && echo left || echo right)
    ip netns list | grep -q "^$ns" && continue
    bind_to "${pci[$i]}" igb || fail "port $i cannot be bound to igb"
    wait_for 5 test -n "$(net_of "${pci[$i]}")" || fail "port $i has no interface"
    dev=$(net_of "${pci[$i]}")
    ip netns add $ns
    ip link set "$dev" netns $ns name eth
    ip -n $ns link set lo up
    ip -n $ns addr add "10.9.0.$((i - 1))/24" dev eth
    ip -n $ns addr add "fd09::$((i - 1))/64" dev eth nodad
    ip -n $ns link set eth up
  done
  wait_for 10 carrier left && wait_for 10 carrier right || fail "the kernel's ports have no link"
}
carrier() { ip -n "$1" link show eth | grep -q LOWER_UP; }
in_left() { ip netns exec left "$@"; }
in_right() { ip netns exec right "$@"; }

# symmetric_mp as process ID of COUNT on both ports; name sym_ID.
start_symmetric() { # COUNT ID [EAL ARGUMENTS]
  local count=$1 id=$2
  shift 2
  start "sym_$id" symmetric_mp --lcores "$id@$((id % $(nproc)))" --proc-type=auto --file-prefix vm "$@" -- -p 3 \
    --num-procs "$count" --proc-id "$id"
}
use_both_ports=()
[ ${#pci[@]} -lt 2 ] || use_both_ports=(-a "${pci[0]}" -a "${pci[1]}")
forwarding() { in_left ping -c 1 -W 1 10.9.0.2 >/dev/null; }
# All four flows of the peers must be able to reach a queue that somebody drives; ARP and the like land on queue 0.
start_symmetrics() { # COUNT
  local i
  for ((i = 0; i < $1; ++i)); do
    if [ $i = 0 ]; then start_symmetric "$1" 0 "${use_both_ports[@]}"; else start_symmetric "$1" $i; fi
    wait_for 40 said "sym_$i" "orwarding" || { show "sym_$i"; fail "process $i did not start"; }
  done
  wait_for 40 forwarding || { for ((i = 0; i < $1; ++i)); do show "sym_$i"; done; fail "no ping goes through"; }
}
not_forwarding() { ! forwarding; }

# dpdk-testpmd on the same two ports; commands to it go to descriptor 9, and it ends when that does.
start_testpmd() { # [TESTPMD'S ARGUMENTS]
  rm -f /tmp/stdin
  mkfifo /tmp/stdin && exec 9<>/tmp/stdin
  start testpmd sh -c "exec taskset 3 stdbuf -oL dpdk-testpmd -l 0,1 -m 128 ${use_both_ports[*]} -- --forward-mode=io --no-mlockall \
    --total-num-mbufs=4096 $* -i </tmp/stdin"
  wait_for 60 said testpmd 'testpmd>' || { show testpmd; fail "testpmd did not start"; }
}
stop_testpmd() {
  kill "$pid_testpmd"
  wait "$pid_testpmd" 2>/dev/null
  exec 9>&-
  rm -f /tmp/stdin
}
unbound() { [ "$(driver_of "$1")" = "" ]; }
