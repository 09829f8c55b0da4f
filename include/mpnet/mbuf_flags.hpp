// SPDX-License-Identifier: BSD-3-Clause
// What the bits of an mbuf's flags and packet type mean, and the lengths that transmit offloads need.  Meanings follow
// rte_mbuf_core.h and rte_mbuf_ptype.h.
#pragma once

#include <cstdint>

namespace mpnet {

/// Flags in mbuf::flags; meanings follow RTE_MBUF_F_*.
namespace mbuf_flag {
using type = std::uint64_t;
// Receive: what the device found out.
inline constexpr type rx_vlan = 1ULL << 0;      // vlan_tci is valid
inline constexpr type rx_rss_hash = 1ULL << 1;  // rss_hash is valid
inline constexpr type rx_fdir = 1ULL << 2;      // rss_hash holds a flow director match
inline constexpr type rx_l4_checksum_bad = 1ULL << 3;
inline constexpr type rx_ip_checksum_bad = 1ULL << 4;
inline constexpr type rx_outer_ip_checksum_bad = 1ULL << 5;
inline constexpr type rx_vlan_stripped = 1ULL << 6;  // the tag is in vlan_tci and no more in the data
inline constexpr type rx_ip_checksum_good = 1ULL << 7;
inline constexpr type rx_l4_checksum_good = 1ULL << 8;  // neither good nor bad: unknown
inline constexpr type rx_ieee1588_ptp = 1ULL << 9;
inline constexpr type rx_ieee1588_timestamp = 1ULL << 10;
inline constexpr type rx_timestamp = 1ULL << 11;  // timestamp is valid
inline constexpr type rx_lro = 1ULL << 16;
inline constexpr type rx_qinq = 1ULL << 20;
inline constexpr type rx_qinq_stripped = 1ULL << 15;
// Transmit: what the device shall do.
inline constexpr type tx_tcp_segmentation = 1ULL << 50;  // needs l2_len, l3_len, l4_len, segment_bytes
inline constexpr type tx_ieee1588_timestamp = 1ULL << 51;
inline constexpr type tx_tcp_checksum = 1ULL << 52;  // the l4 checksum field holds the pseudo header's sum
inline constexpr type tx_sctp_checksum = 2ULL << 52;
inline constexpr type tx_udp_checksum = 3ULL << 52;
inline constexpr type tx_l4_mask = 3ULL << 52;
inline constexpr type tx_ip_checksum = 1ULL << 54;
inline constexpr type tx_ipv4 = 1ULL << 55;
inline constexpr type tx_ipv6 = 1ULL << 56;
inline constexpr type tx_vlan = 1ULL << 57;  // insert vlan_tci
inline constexpr type tx_outer_ip_checksum = 1ULL << 58;
inline constexpr type tx_outer_ipv4 = 1ULL << 59;
inline constexpr type tx_outer_ipv6 = 1ULL << 60;
// State.
inline constexpr type indirect = 1ULL << 62;  // a clone: its data lies in `origin`
}  // namespace mbuf_flag

/// Bits of mbuf::packet_type; layers follow RTE_PTYPE_*.
namespace packet_type {
inline constexpr std::uint32_t unknown = 0;
inline constexpr std::uint32_t l2_ether = 0x1, l2_ether_timesync = 0x2, l2_ether_arp = 0x3, l2_ether_lldp = 0x4;
inline constexpr std::uint32_t l2_ether_vlan = 0x6, l2_ether_qinq = 0x7, l2_mask = 0xf;
inline constexpr std::uint32_t l3_ipv4 = 0x10, l3_ipv4_ext = 0x30, l3_ipv6 = 0x40, l3_ipv4_ext_unknown = 0x90;
inline constexpr std::uint32_t l3_ipv6_ext = 0xc0, l3_ipv6_ext_unknown = 0xe0, l3_mask = 0xf0;
inline constexpr std::uint32_t l4_tcp = 0x100, l4_udp = 0x200, l4_fragment = 0x300, l4_sctp = 0x400, l4_icmp = 0x500;
inline constexpr std::uint32_t l4_nonfragment = 0x600, l4_mask = 0xf00;
}  // namespace packet_type

/// Lengths that transmit offloads need, as one word.
struct tx_offload_lengths {
  std::uint64_t l2_len : 7 = 0;
  std::uint64_t l3_len : 9 = 0;
  std::uint64_t l4_len : 8 = 0;
  std::uint64_t segment_bytes : 16 = 0;  // payload of each TCP segment
  std::uint64_t outer_l3_len : 9 = 0;
  std::uint64_t outer_l2_len : 7 = 0;
  std::uint64_t spare : 8 = 0;
};

}  // namespace mpnet
