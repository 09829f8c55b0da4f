// SPDX-License-Identifier: BSD-3-Clause
// Between mbufs and flat frames.  Hot.
#include <algorithm>
#include <cstring>

#include "nic/vdev/vdev.hpp"

namespace mpnet::nic {

mbuf* alloc_packet(const mbuf_pool& pool, std::uint32_t len) noexcept {
  mbuf* first = pool.alloc();
  if (first == nullptr) return nullptr;
  const auto take = [&](mbuf* segment, std::uint32_t left) {
    segment->data_len = static_cast<std::uint16_t>(std::min<std::uint32_t>(left, segment->tailroom()));
    return left - segment->data_len;
  };
  std::uint32_t left = take(first, len);
  std::uint16_t segments = 1;
  for (mbuf* last = first; left > 0; ++segments) {
    mbuf* next = pool.alloc();
    if (next == nullptr || next->buffer_len == 0) [[unlikely]] {
      free_mbuf(next);
      free_mbuf(first);
      return nullptr;
    }
    next->data_offset = 0;  // headroom is for headers: only the first segment has any
    left = take(next, left);
    last->next = next;
    last = next;
  }
  first->packet_len = len;
  first->segment_count = segments;
  return first;
}

void fill_packet(mbuf* packet, const std::byte* from, std::uint32_t len) noexcept {
  for (mbuf* segment = packet; segment != nullptr && len > 0; segment = segment->next) {
    const std::uint32_t part = std::min<std::uint32_t>(len, segment->data_len);
    std::memcpy(segment->data(), from, part);
    from += part;
    len -= part;
  }
}

void gather_packet(const mbuf* packet, std::byte* to) noexcept {
  for (const mbuf* segment = packet; segment != nullptr; segment = segment->next) {
    std::memcpy(to, segment->data(), segment->data_len);
    to += segment->data_len;
  }
}

void insert_vlan_tag(std::byte* frame, std::size_t len, std::uint16_t vlan_tci) noexcept {
  std::memmove(frame + 16, frame + 12, len - 12);
  const std::array<std::byte, 4> tag{std::byte{0x81}, std::byte{0}, std::byte(vlan_tci >> 8),
                                     std::byte(vlan_tci & 0xff)};
  std::memcpy(frame + 12, tag.data(), tag.size());
}

std::uint32_t flatten_packet(const mbuf& packet, std::byte* to) noexcept {
  gather_packet(&packet, to);
  finish_checksums(packet, to, packet.packet_len);
  if ((packet.flags & mbuf_flag::tx_vlan) == 0 || packet.packet_len < 12) return packet.packet_len;
  insert_vlan_tag(to, packet.packet_len, packet.vlan_tci);
  return packet.packet_len + 4;
}

std::uint64_t add_checksum(const std::byte* bytes, std::size_t len, std::uint64_t sum) noexcept {
  // 32 bits at a time into 64: no carry is lost for less than 16 GiB.
  for (; len >= 4; bytes += 4, len -= 4) {
    std::uint32_t word;
    std::memcpy(&word, bytes, 4);
    sum += word;
  }
  std::uint32_t rest = 0;
  std::memcpy(&rest, bytes, len);
  return sum + rest;
}

std::uint16_t end_checksum(std::uint64_t sum) noexcept {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void finish_checksums(const mbuf& packet, std::byte* frame, std::size_t len) noexcept {
  const std::size_t l3 = packet.tx.l2_len;
  const std::size_t l4 = l3 + packet.tx.l3_len;
  const auto compute = [&](std::size_t start, std::size_t end, std::size_t at, bool zero_first) {
    if (end > len || at + 2 > end || start > end) return;
    if (zero_first) std::memset(frame + at, 0, 2);
    std::uint16_t sum = end_checksum(add_checksum(frame + start, end - start));
    if (sum == 0 && !zero_first && at == start + 6) sum = 0xffff;  // UDP: 0 would mean "none"
    std::memcpy(frame + at, &sum, 2);
  };
  // The l4 field holds the pseudo header's sum already, so it takes part.
  const std::uint64_t l4_kind = packet.flags & mbuf_flag::tx_l4_mask;
  if (l4_kind == mbuf_flag::tx_tcp_checksum) compute(l4, len, l4 + 16, false);
  if (l4_kind == mbuf_flag::tx_udp_checksum) compute(l4, len, l4 + 6, false);
  if ((packet.flags & mbuf_flag::tx_ip_checksum) != 0) compute(l3, l4, l3 + 10, true);
}

}  // namespace mpnet::nic
