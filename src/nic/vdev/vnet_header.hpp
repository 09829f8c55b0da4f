// SPDX-License-Identifier: BSD-3-Clause
// Between the kernel's virtio_net_hdr, which says what of a packet's checksums and segmentation is still to be done,
// and an mbuf's offload flags.  A packet that a local TCP gave to an interface with offloads on carries neither a full
// checksum nor a size that fits the wire; who forwards it hands that work on.
#pragma once

#include <mpnet/mbuf.hpp>

#include <cstdint>

namespace mpnet::nic {

/// As the kernel lays it out (virtio specification, 5.1.6); <linux/virtio_net.h> is not C++.
struct vnet_header {
  std::uint8_t flags;
  std::uint8_t gso_type;
  std::uint16_t hdr_len;   // bytes of all headers
  std::uint16_t gso_size;  // payload bytes of each segment
  std::uint16_t csum_start;
  std::uint16_t csum_offset;
};
static_assert(sizeof(vnet_header) == 10);
inline constexpr std::uint8_t vnet_needs_checksum = 1, vnet_checksum_good = 2;
inline constexpr std::uint8_t vnet_gso_none = 0, vnet_gso_tcp4 = 1, vnet_gso_tcp6 = 4, vnet_gso_udp = 5,
                              vnet_gso_ecn = 0x80;

/// Sets flags and lengths of a received packet (its frame lies at `frame`).  `shift`: bytes that were inserted before
/// the network header (a VLAN tag).  False where the header says what an mbuf cannot: the packet must be dropped.  Hot.
[[nodiscard]] bool vnet_to_mbuf(const vnet_header& header, mbuf& packet, std::byte* frame, std::uint32_t len,
                                std::uint32_t shift) noexcept;

/// Without such a header: completes the checksum of a frame whose l4 field holds the pseudo header's sum alone.  False
/// where it is no TCP or UDP over IP.  Hot.
[[nodiscard]] bool complete_checksum(std::byte* frame, std::uint32_t len) noexcept;

/// The header of a packet to be sent.  Hot.
void mbuf_to_vnet(const mbuf& packet, const std::byte* frame, vnet_header& header) noexcept;

}  // namespace mpnet::nic
