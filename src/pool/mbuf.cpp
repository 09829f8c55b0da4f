// SPDX-License-Identifier: BSD-3-Clause
// Packets as chains of segments: room in front and behind, clones, copies.  Hot; the owner of the packet.
#include <mpnet/detail/lease.hpp>
#include <mpnet/mbuf.hpp>

#include <algorithm>
#include <cstring>

#include "pool/mbuf_refs.hpp"

namespace mpnet {

std::byte* mbuf::prepend(std::uint16_t len) noexcept {
  if (len > data_offset) return nullptr;
  data_offset = static_cast<std::uint16_t>(data_offset - len);
  data_len = static_cast<std::uint16_t>(data_len + len);
  packet_len += len;
  return data();
}

std::byte* mbuf::append(std::uint16_t len) noexcept {
  mbuf* last = last_segment();
  if (len > last->tailroom()) return nullptr;
  std::byte* tail = last->data(last->data_len);
  last->data_len = static_cast<std::uint16_t>(last->data_len + len);
  packet_len += len;
  return tail;
}

std::byte* mbuf::adjust(std::uint16_t len) noexcept {
  if (len > data_len) return nullptr;
  data_offset = static_cast<std::uint16_t>(data_offset + len);
  data_len = static_cast<std::uint16_t>(data_len - len);
  packet_len -= len;
  return data();
}

bool mbuf::trim(std::uint16_t len) noexcept {
  mbuf* last = last_segment();
  if (len > last->data_len) return false;
  last->data_len = static_cast<std::uint16_t>(last->data_len - len);
  packet_len -= len;
  return true;
}

bool mbuf::chain(mbuf* tail) noexcept {
  if (segment_count + tail->segment_count > 0xffff) return false;
  last_segment()->next = tail;
  segment_count = static_cast<std::uint16_t>(segment_count + tail->segment_count);
  packet_len += tail->packet_len;
  tail->packet_len = tail->data_len;
  tail->segment_count = 1;
  return true;
}

bool mbuf::linearise() noexcept {
  if (next == nullptr) return true;
  const std::uint32_t more = packet_len - data_len;
  if (more > tailroom()) return false;
  std::byte* to = data(data_len);
  for (mbuf* m = next; m != nullptr; m = m->next) {
    std::memcpy(to, m->data(), m->data_len);
    to += m->data_len;
  }
  data_len = static_cast<std::uint16_t>(data_len + more);
  mbuf* rest = next;
  next = nullptr;
  segment_count = 1;
  free_mbuf(rest);
  return true;
}

const std::byte* mbuf::read(std::size_t offset, std::size_t len, void* buf) const noexcept {
  if (offset + len < offset || offset + len > packet_len) return nullptr;
  const mbuf* m = this;
  while (offset >= m->data_len && m->next != nullptr) {
    offset -= m->data_len;
    m = m->next;
  }
  if (offset + len <= m->data_len) return m->data(offset);
  auto* to = static_cast<std::byte*>(buf);
  while (len != 0 && m != nullptr) {
    const std::size_t now = std::min<std::size_t>(len, m->data_len - offset);
    std::memcpy(to, m->data(offset), now);
    to += now;
    len -= now;
    offset = 0;
    m = m->next;
  }
  return len == 0 ? static_cast<const std::byte*>(buf) : nullptr;
}

mbuf* mbuf_pool::clone(mbuf* packet) const noexcept {
  mbuf* first = nullptr;
  mbuf** link = &first;
  for (mbuf* of = packet; of != nullptr; of = of->next) {
    mbuf* m = alloc();
    if (m == nullptr) {
      free_mbuf(first);
      return nullptr;
    }
    attach_mbuf(*m, *of);
    *link = m;
    link = &m->next;
  }
  first->packet_len = packet->packet_len;
  first->segment_count = packet->segment_count;
  return first;
}

mbuf* mbuf_pool::copy(const mbuf* packet, std::size_t offset, std::size_t len) const noexcept {
  if (offset > packet->packet_len) return nullptr;
  if (len == SIZE_MAX) len = packet->packet_len - offset;
  if (len > packet->packet_len - offset) return nullptr;
  mbuf* first = alloc();
  if (first == nullptr) return nullptr;
  first->flags = packet->flags & ~mbuf_flag::indirect;
  first->packet_type = packet->packet_type;
  first->rss_hash = packet->rss_hash;
  first->port = packet->port;
  first->vlan_tci = packet->vlan_tci;
  first->vlan_tci_outer = packet->vlan_tci_outer;
  first->tx = packet->tx;
  first->timestamp = packet->timestamp;
  const mbuf* from = packet;
  while (offset >= from->data_len && from->next != nullptr) {
    offset -= from->data_len;
    from = from->next;
  }
  mbuf* to = first;
  for (std::size_t left = len; left != 0;) {
    if (to->tailroom() == 0) {
      mbuf* more = alloc();
      if (more == nullptr || first->segment_count == 0xffff) {
        free_mbuf(more);
        free_mbuf(first);
        return nullptr;
      }
      to->next = more;
      to = more;
      ++first->segment_count;
    }
    const std::size_t now = std::min({left, std::size_t{to->tailroom()}, from->data_len - offset});
    std::memcpy(to->data(to->data_len), from->data(offset), now);
    to->data_len = static_cast<std::uint16_t>(to->data_len + now);
    left -= now;
    offset += now;
    while (left != 0 && offset == from->data_len) {
      offset = 0;
      from = from->next;
    }
  }
  first->packet_len = static_cast<std::uint32_t>(len);
  return first;
}

void free_mbufs(std::span<mbuf* const> packets) noexcept {
  constexpr std::size_t batch = 64;
  mbuf* ready[batch];
  std::size_t n = 0;
  const auto give_back = [&] {
    detail::pool_header& pool = *ready[0]->pool;
    detail::cache_put(pool, detail::thread_cache(pool), reinterpret_cast<void**>(ready), n);
    n = 0;
  };
  for (mbuf* packet : packets) {
    while (packet != nullptr) {
      mbuf* next = packet->next;
      if (detail::release_segment(*packet)) {
        if (n == batch || (n != 0 && ready[0]->pool != packet->pool)) give_back();
        if (next != nullptr) packet->next = nullptr;
        ready[n++] = packet;
      }
      packet = next;
    }
  }
  if (n != 0) give_back();
}

void ring_element<mbuf*>::take(mbuf* const* packets, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    for (mbuf* m = packets[i]; m != nullptr; m = m->next) {
      detail::tag_object(*m->pool, detail::object_index(*m->pool, m), detail::process_tag);
    }
  }
}

}  // namespace mpnet
