// SPDX-License-Identifier: BSD-3-Clause
#include "nic/vdev/vnet_header.hpp"

#include <cstring>

#include "nic/vdev/vdev.hpp"

namespace mpnet::nic {
namespace {

constexpr std::uint16_t tcp_checksum_at = 16, udp_checksum_at = 6;
constexpr std::uint8_t tcp_flags_at = 13, congestion_window_reduced = 0x80;

std::uint16_t ethernet_type(const std::byte* frame, std::uint32_t len, std::uint32_t& l2) noexcept {
  const auto type_at = [&](std::uint32_t at) {
    return static_cast<std::uint16_t>(std::to_integer<unsigned>(frame[at]) << 8 |
                                      std::to_integer<unsigned>(frame[at + 1]));
  };
  l2 = 14;
  if (len < 14) return 0;
  std::uint16_t type = type_at(12);
  while ((type == 0x8100 || type == 0x88a8) && l2 + 4 <= len && l2 < 22) {
    type = type_at(l2 + 2);
    l2 += 4;
  }
  return type;
}

}  // namespace

bool vnet_to_mbuf(const vnet_header& header, mbuf& packet, std::byte* frame, std::uint32_t len,
                  std::uint32_t shift) noexcept {
  packet.tx = {};
  if ((header.flags & vnet_checksum_good) != 0) packet.flags |= mbuf_flag::rx_l4_checksum_good;
  const unsigned gso = header.gso_type & ~unsigned{vnet_gso_ecn};
  if ((header.flags & vnet_needs_checksum) == 0) return gso == vnet_gso_none;

  const std::uint32_t start = header.csum_start + shift;
  const std::uint32_t at = start + header.csum_offset;
  std::uint32_t l2 = 14;
  const std::uint16_t type = ethernet_type(frame, len, l2);
  if (at + 2 > len || start < l2) return false;
  const bool tcp = header.csum_offset == tcp_checksum_at;
  const bool udp = header.csum_offset == udp_checksum_at;
  const bool fits = start - l2 < 512 && (tcp || udp) && (type == 0x0800 || type == 0x86dd);
  if (!fits) {
    // Nothing that an mbuf's flags could say: do it here, over the first segment alone.
    if (gso != vnet_gso_none || packet.segment_count != 1) return false;
    const std::uint16_t sum = end_checksum(add_checksum(frame + start, len - start));
    std::memcpy(frame + at, &sum, 2);
    return true;
  }
  packet.tx.l2_len = l2 & 0x7f;
  packet.tx.l3_len = (start - l2) & 0x1ff;
  packet.flags |= (type == 0x0800 ? mbuf_flag::tx_ipv4 : mbuf_flag::tx_ipv6) |
                  (tcp ? mbuf_flag::tx_tcp_checksum : mbuf_flag::tx_udp_checksum) | mbuf_flag::rx_l4_checksum_good;
  if (gso == vnet_gso_none) return true;
  const bool known = tcp ? gso == vnet_gso_tcp4 || gso == vnet_gso_tcp6 : gso == vnet_gso_udp;
  if (!known || header.gso_size == 0) return false;
  packet.tx.l4_len = (tcp && start + 13 <= len ? (std::to_integer<unsigned>(frame[start + 12]) >> 4) * 4U : 8U) & 0xff;
  packet.tx.segment_bytes = header.gso_size;
  packet.flags |= mbuf_flag::tx_tcp_segmentation | mbuf_flag::rx_lro;
  return true;
}

bool complete_checksum(std::byte* frame, std::uint32_t len) noexcept {
  std::uint32_t l2 = 14;
  const std::uint16_t type = ethernet_type(frame, len, l2);
  std::uint32_t l4 = l2;
  unsigned protocol = 0;
  if (type == 0x0800 && l2 + 20 <= len) {
    l4 += (std::to_integer<unsigned>(frame[l2]) & 0xf) * 4;
    protocol = std::to_integer<unsigned>(frame[l2 + 9]);
  } else if (type == 0x86dd && l2 + 40 <= len) {
    l4 += 40;  // extension headers: not followed
    protocol = std::to_integer<unsigned>(frame[l2 + 6]);
  }
  const std::uint32_t at = l4 + (protocol == 6 ? tcp_checksum_at : udp_checksum_at);
  if ((protocol != 6 && protocol != 17) || at + 2 > len) return false;
  std::uint16_t sum = end_checksum(add_checksum(frame + l4, len - l4));
  if (sum == 0 && protocol == 17) sum = 0xffff;
  std::memcpy(frame + at, &sum, 2);
  return true;
}

void mbuf_to_vnet(const mbuf& packet, const std::byte* frame, vnet_header& header) noexcept {
  header = {};
  const std::uint64_t l4 = packet.flags & mbuf_flag::tx_l4_mask;
  const bool tcp = l4 == mbuf_flag::tx_tcp_checksum;
  if (!tcp && l4 != mbuf_flag::tx_udp_checksum) return;
  const auto start = static_cast<std::uint16_t>(packet.tx.l2_len + packet.tx.l3_len);
  if (start + (tcp ? tcp_checksum_at : udp_checksum_at) + 2U > packet.packet_len) return;
  header.flags = vnet_needs_checksum;
  header.csum_start = start;
  header.csum_offset = tcp ? tcp_checksum_at : udp_checksum_at;
  if ((packet.flags & mbuf_flag::tx_tcp_segmentation) == 0) return;
  header.hdr_len = static_cast<std::uint16_t>(start + packet.tx.l4_len);
  header.gso_size = static_cast<std::uint16_t>(packet.tx.segment_bytes);
  const std::uint8_t kind = (packet.flags & mbuf_flag::tx_ipv4) != 0 ? vnet_gso_tcp4 : vnet_gso_tcp6;
  header.gso_type = tcp ? kind : vnet_gso_udp;
  if (tcp && (std::to_integer<unsigned>(frame[start + tcp_flags_at]) & congestion_window_reduced) != 0) {
    header.gso_type |= vnet_gso_ecn;
  }
}

}  // namespace mpnet::nic
