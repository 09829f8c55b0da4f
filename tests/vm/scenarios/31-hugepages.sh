# SPDX-License-Identifier: BSD-3-Clause
# A start without hugepages says that there are none and how to get some, and the ports forward on small pages all the
# same; so they do with --no-huge.  Some pings are lost: the emulated device drops a packet to send whose data crosses from
# one 4 KiB page of the IOMMU to the next (one mbuf in 16 lies so), which hardware does not.  Most must pass.
# seconds: 120
set_up_ports
echo 0 >/proc/sys/vm/nr_hugepages
forwards() { # WORDS [EAL ARGUMENTS]: and says these words
  local words=$1
  shift
  start_symmetric 1 0 "${use_both_ports[@]}" "$@"
  wait_for 40 said sym_0 "orwarding" && wait_for 40 forwarding || { show sym_0; problem="no forwarding: $*"; return 1; }
  in_left ping -c 20 -i 0.02 10.9.0.2 >/tmp/ping
  end_all
  show sym_0
  tail -n 2 /tmp/ping
  [ "$(grep -c 'icmp_seq' /tmp/ping)" -ge 14 ] || { problem="most pings were lost: $*"; return 1; }
  said sym_0 "$words" || { problem="not a word of '$words': $*"; return 1; }
}
problem=
forwards "No free hugepages: running on 4 kB pages; reserve some with: echo" && forwards "orwarding" --no-huge -m 64
echo 256 >/proc/sys/vm/nr_hugepages # for those who come after
[ -z "$problem" ] || fail "$problem"
say "forwarding on small pages, after a word about it"
