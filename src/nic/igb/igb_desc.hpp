// SPDX-License-Identifier: BSD-3-Clause
// The advanced descriptors of the 82576: receive (datasheet §7.1.5), transmit data and context (§7.2.2).  Plain data,
// little endian, 16 bytes each, shared between the driver and the device by DMA.
#pragma once

#include <cstdint>

namespace mpnet::nic::igb {

/// §7.1.5: what the driver writes; the device overwrites it with rx_writeback.
struct rx_read {
  std::uint64_t packet_iova;
  std::uint64_t header_iova;  // bit 0 is the done bit after write-back: must be 0
};

struct rx_writeback {
  std::uint16_t packet_info;  // RSS type 3:0, packet type 16:4
  std::uint16_t header_info;
  std::uint32_t rss_hash;
  std::uint32_t status_error;  // bits 19:0 status, 31:20 errors
  std::uint16_t length;        // bytes in this buffer
  std::uint16_t vlan;
};

union rx_desc {
  rx_read read;
  rx_writeback wb;
};
static_assert(sizeof(rx_desc) == 16);

namespace rxd {  // status_error, §7.1.5.2
inline constexpr std::uint32_t dd = 1U << 0, eop = 1U << 1, vp = 1U << 3, udpcs = 1U << 4, l4cs = 1U << 5,
                               ipcs = 1U << 6;
inline constexpr std::uint32_t l4e = 1U << 29, ipe = 1U << 30, rxe = 1U << 31;
// packet_info: the RSS type, then one bit for each header found
inline constexpr std::uint16_t rss_type_mask = 0xf, ipv4 = 1U << 4, ipv4_ext = 1U << 5, ipv6 = 1U << 6,
                               ipv6_ext = 1U << 7, tcp = 1U << 8, udp = 1U << 9, sctp = 1U << 10, etqf = 1U << 15;
}  // namespace rxd

struct tx_data {
  std::uint64_t buffer_iova;
  std::uint32_t cmd_type_len;
  std::uint32_t olinfo_status;  // after write-back: bit 0 is done
};

struct tx_context {
  std::uint32_t vlan_macip_lens;
  std::uint32_t seqnum_seed;
  std::uint32_t type_tucmd;
  std::uint32_t mss_l4len_idx;
};

union tx_desc {
  tx_data data;
  tx_context context;
};
static_assert(sizeof(tx_desc) == 16);

namespace txd {  // §7.2.2.2 and §7.2.2.3
inline constexpr std::uint32_t dtyp_context = 2U << 20, dtyp_data = 3U << 20;
inline constexpr std::uint32_t eop = 1U << 24, ifcs = 1U << 25, rs = 1U << 27, dext = 1U << 29, vle = 1U << 30,
                               tse = 1U << 31;
inline constexpr std::uint32_t dd = 1U << 0, idx_shift = 4, ixsm = 1U << 8, txsm = 1U << 9, paylen_shift = 14;
// context
inline constexpr std::uint32_t maclen_shift = 9, vlan_shift = 16, tucmd_ipv4 = 1U << 10, tucmd_tcp = 1U << 11,
                               tucmd_sctp = 1U << 12, l4len_shift = 8, mss_shift = 16;
inline constexpr std::uint32_t paylen_max = (1U << 18) - 1;
}  // namespace txd

}  // namespace mpnet::nic::igb
