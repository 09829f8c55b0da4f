# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the demo and by tests: two network namespaces "left" and "right" whose only way to each other is an mpnet
# application, which runs in a third one, "middle", on the far ends of their veth pairs:
#
#   left  10.66.0.1 veth -- veth m0 [ the application ] m1 veth -- veth 10.66.0.2  right
#
# Nothing of this is visible outside these namespaces.  Names carry the shell's pid, so that several may run at once.

net_tag=mpnet-$$
net_pids=()     # what must be ended at the end, by pid
patience=60     # seconds until something that should happen at once counts as not happening: machines can be busy

net_up() {
  local side other=0
  for side in left right middle; do ip netns add "$net_tag-$side" || return 1; done
  for side in left right; do
    ip -n "$net_tag-$side" link add veth0 type veth peer name m$other netns "$net_tag-middle" || return 1
    ip -n "$net_tag-$side" addr add 10.66.0.$((other + 1))/24 dev veth0
    ip -n "$net_tag-$side" link set lo up
    # Nobody answers router solicitations here, and they would blur the counts.
    in_net "$side" sysctl -qw net.ipv6.conf.veth0.disable_ipv6=1
    in_net middle sysctl -qw net.ipv6.conf.m$other.disable_ipv6=1
    ip -n "$net_tag-middle" link set m$other up
    ip -n "$net_tag-$side" link set veth0 up
    other=$((other + 1))
  done
}

net_down() {
  local pid side
  for pid in "${net_pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
  for pid in "${net_pids[@]}"; do wait "$pid" 2>/dev/null; done
  net_pids=()
  for side in left right middle; do
    [ -e "/run/netns/$net_tag-$side" ] && ip netns del "$net_tag-$side"
  done
  return 0
}

# remove_groups PREFIX: what groups of that name, or of one that begins with it and a dash, left when all of them were
# killed: the next member of such a group would tidy up, and there will be none.
remove_groups() {
  local place
  for place in /run/mpnet/ "/dev/shm/mpnet-$(id -u)_run_mpnet/" /dev/hugepages/mpnet-; do
    rm -rf "$place$1" "$place$1"-*
  done
}

# in_net SIDE COMMAND…
in_net() { local side=$1; shift; ip netns exec "$net_tag-$side" "$@"; }

# start_in SIDE LOGFILE COMMAND…: in the background; the pid is in $started.
start_in() {
  local side=$1 log=$2
  shift 2
  : >"$log" # now, not when the new process gets to it: what the last one said must not be taken for its words
  ip netns exec "$net_tag-$side" "$@" </dev/null >"$log" 2>&1 &
  started=$!
  net_pids+=("$started")
}

# forget PID: it has ended and been waited for.
forget() {
  local pid left=()
  for pid in "${net_pids[@]}"; do [ "$pid" = "$1" ] || left+=("$pid"); done
  net_pids=("${left[@]}")
}

# ends_with_0 PID: it was asked to leave, and does, with exit code 0.
ends_with_0() {
  local end=$((SECONDS + patience)) rc
  while kill -0 "$1" 2>/dev/null; do
    [ $SECONDS -lt $end ] || { echo "process $1 does not end"; kill -KILL "$1"; }
    sleep 0.02
  done
  wait "$1"
  rc=$?
  forget "$1"
  [ $rc = 0 ]
}

# wait_for_line FILE PATTERN SECONDS [PID]: until the file has such a line; fails when time is over or PID has ended.
wait_for_line() {
  local end=$((SECONDS + $3))
  until grep -qE -- "$2" "$1" 2>/dev/null; do
    [ $SECONDS -lt $end ] || return 1
    if [ -n "${4:-}" ] && ! kill -0 "$4" 2>/dev/null; then grep -qE -- "$2" "$1"; return; fi
    sleep 0.02
  done
}

# ping_figures FILE: "SENT RECEIVED LONGEST_GAP_MS" from the output of ping -D.
ping_figures() {
  awk '/icmp_seq=/ && /time=/ { t = substr($1, 2) + 0; if (last && t - last > gap) gap = t - last; last = t }
       /packets transmitted/ { sent = $1; received = $4 }
       END { printf "%d %d %d\n", sent, received, gap * 1000 + 0.5 }' "$1"
}

# ping_window FILE FROM TO: "LOST GAP_MS" of what ping -D wrote between two times (seconds since the epoch).
ping_window() {
  awk -v from="$2" -v to="$3" '
    /icmp_seq=/ && /time=/ {
      t = substr($1, 2) + 0; match($0, /icmp_seq=[0-9]+/); seq = substr($0, RSTART + 9, RLENGTH - 9) + 0
      if (t >= from && t <= to && last) { if (t - last > gap) gap = t - last; lost += seq - last_seq - 1 }
      last = t; last_seq = seq }
    END { printf "%d %d\n", lost, gap * 1000 + 0.5 }' "$1"
}

# iperf_figures FILE: "RECEIVED_BYTES MBIT_PER_S" of an iperf3 -J report.
iperf_figures() {
  python3 - "$1" <<'PY'
import json, sys
try:
    end = json.load(open(sys.argv[1]))["end"]["sum_received"]
    print(int(end["bytes"]), round(end["bits_per_second"] / 1e6))
except (ValueError, KeyError, OSError):
    print(0, 0)
PY
}
