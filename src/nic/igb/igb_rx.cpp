// SPDX-License-Identifier: BSD-3-Clause
// Receive, hot: 82576 datasheet §7.1.5 to §7.1.7.  Nothing that the device wrote is believed: a length is checked
// against the buffer, a packet without end is dropped, and counted.  One thread a queue.
#include "igb_queues.hpp"

#include <array>
#include <cstring>
#include <utility>

#include "nic/device.hpp"

namespace mpnet::nic::igb {
namespace {

/// The two halves of a written-back descriptor.
struct completion {
  std::uint64_t low;   // packet_info, header_info, rss_hash
  std::uint64_t high;  // status_error, length, vlan
  [[nodiscard]] std::uint32_t status() const noexcept { return static_cast<std::uint32_t>(high); }
  [[nodiscard]] std::uint16_t length() const noexcept { return static_cast<std::uint16_t>(high >> 32); }
  [[nodiscard]] std::uint16_t vlan() const noexcept { return static_cast<std::uint16_t>(high >> 48); }
  [[nodiscard]] std::uint32_t info() const noexcept { return static_cast<std::uint32_t>(low) & 0xffff; }
  [[nodiscard]] std::uint32_t hash() const noexcept { return static_cast<std::uint32_t>(low >> 32); }
};

/// False while the device owns the descriptor.
[[nodiscard]] inline bool fetch(const rx_desc& d, completion& c) noexcept {
  const auto* half = reinterpret_cast<const volatile std::uint64_t*>(&d);
  c.high = half[1];  // one load: done bit, length and tag belong together
  if ((c.status() & rxd::dd) == 0) return false;
  dma_rmb();  // the other half, and the data, are not older than the done bit
  c.low = half[0];
  return true;
}

/// By bits 4-10 of packet_info: ipv4, its options, ipv6, its extensions, tcp, udp, sctp.
constexpr std::array<std::uint32_t, 128> packet_types = [] {
  std::array<std::uint32_t, 128> t{};
  for (std::uint32_t i = 0; i < 128; ++i) {
    const std::uint32_t info = i << 4;
    std::uint32_t p = packet_type::l2_ether;
    if ((info & rxd::ipv4) != 0) p |= (info & rxd::ipv4_ext) != 0 ? packet_type::l3_ipv4_ext : packet_type::l3_ipv4;
    if ((info & rxd::ipv6) != 0) p |= (info & rxd::ipv6_ext) != 0 ? packet_type::l3_ipv6_ext : packet_type::l3_ipv6;
    if ((p & packet_type::l3_mask) != 0) {
      if ((info & rxd::tcp) != 0)
        p |= packet_type::l4_tcp;
      else if ((info & rxd::udp) != 0)
        p |= packet_type::l4_udp;
      else if ((info & rxd::sctp) != 0)
        p |= packet_type::l4_sctp;
    }
    t[i] = p;
  }
  return t;
}();

[[nodiscard]] constexpr std::uint32_t flag_index(std::uint32_t status) noexcept {
  // vp (bit 3), l4cs, ipcs (5, 6), l4e, ipe (29, 30)
  return (status >> 3 & 1) | (status >> 4 & 6) | (status >> 26 & 24);
}
constexpr std::array<std::uint64_t, 32> status_flags = [] {
  std::array<std::uint64_t, 32> t{};
  for (std::uint32_t i = 0; i < 32; ++i) {
    std::uint64_t f = 0;
    if ((i & 1) != 0) f |= mbuf_flag::rx_vlan | mbuf_flag::rx_vlan_stripped;
    if ((i & 2) != 0) f |= (i & 8) != 0 ? mbuf_flag::rx_l4_checksum_bad : mbuf_flag::rx_l4_checksum_good;
    if ((i & 4) != 0) f |= (i & 16) != 0 ? mbuf_flag::rx_ip_checksum_bad : mbuf_flag::rx_ip_checksum_good;
    t[i] = f;
  }
  return t;
}();

// Four 8-byte stores fill what lies between data_offset and references.
static_assert(offsetof(mbuf, data_offset) == 16 && offsetof(mbuf, data_len) == 18 && offsetof(mbuf, packet_len) == 20);
static_assert(offsetof(mbuf, flags) == 24 && offsetof(mbuf, packet_type) == 32 && offsetof(mbuf, rss_hash) == 36);
static_assert(offsetof(mbuf, port) == 40 && offsetof(mbuf, segment_count) == 42 && offsetof(mbuf, vlan_tci) == 44);

inline void store64(mbuf& m, std::size_t offset, std::uint64_t value) noexcept {
  std::memcpy(reinterpret_cast<std::byte*>(&m) + offset, &value, sizeof(value));
}

inline void describe(mbuf& m, const completion& c, const rx_context& x, std::uint16_t length) noexcept {
  const std::uint64_t rss = (c.info() & rxd::rss_type_mask) != 0 ? x.rss_flag : 0;
  store64(m, 16, mbuf_headroom | std::uint64_t{length} << 16 | std::uint64_t{length} << 32);
  store64(m, 24, status_flags[flag_index(c.status())] | rss);
  store64(m, 32, packet_types[c.info() >> 4 & 0x7f] | c.low >> 32 << 32);
  store64(m, 40, x.port | 1ULL << 16 | std::uint64_t{c.vlan()} << 32);
}

void drop(rx_context& x, mbuf* m) noexcept {
  m->next = nullptr;
  free_segment(m);
  add_relaxed(x.counters->errors, 1);
}

/// A descriptor that is not a whole, sound packet: counted once a packet, its buffer goes back.
[[gnu::noinline, gnu::cold]] void reject(rx_context& x, std::uint32_t index, std::uint32_t status) noexcept {
  rx_queue& q = *x.queue;
  mbuf* m = q.slots[index];
  if (q.skipping == 0) {
    drop(x, m);
  } else {
    m->next = nullptr;
    free_segment(m);
  }
  q.skipping = (status & rxd::eop) != 0 ? 0 : 1;
}

inline void count(rx_context& x, std::size_t packets, std::uint64_t bytes) noexcept {
  if (packets == 0) return;
  add_relaxed(x.counters->packets, packets);
  add_relaxed(x.counters->bytes, bytes);
}

[[nodiscard]] inline std::uint64_t buffer_address(const rx_context& x, const mbuf& m) noexcept {
  return device_address(x.pages, m.buffer_iova + mbuf_headroom, x.buffer_bytes);
}

/// Without an IOMMU: exchanges buffers that lie across the end of a page for others, and keeps them, since a pool would
/// hand them out again.  False, and nothing taken, where the pool has no more.
[[gnu::noinline]] bool exchange_split(rx_context& x, mbuf** buffers) noexcept {
  for (std::uint32_t i = 0; i < refill_batch; ++i) {
    while (buffer_address(x, *buffers[i]) == 0) {
      buffers[i]->next = std::exchange(x.aside, buffers[i]);
      detail::pool_cache* cache = detail::thread_cache(*x.pool);
      if (detail::cache_get(*x.pool, cache, reinterpret_cast<void**>(buffers + i), 1, true) == 1) continue;
      for (std::uint32_t k = 0; k < refill_batch; ++k) {
        if (k != i) free_segment(buffers[k]);
      }
      return false;
    }
  }
  return true;
}

}  // namespace

void refill(rx_context& x) noexcept {
  rx_queue& q = *x.queue;
  // Relaxed: this thread is the only writer.
  const std::uint32_t next = q.next.load(std::memory_order_relaxed);
  std::uint32_t posted = q.posted.load(std::memory_order_relaxed);
  const std::uint32_t before = posted;
  while (x.mask - ((posted - next) & x.mask) >= refill_batch) {
    mbuf** slots = q.slots + posted;
    detail::pool_cache* cache = detail::thread_cache(*x.pool);
    if (detail::cache_get(*x.pool, cache, reinterpret_cast<void**>(slots), refill_batch, true) == 0 ||
        (x.pages != nullptr && !exchange_split(x, slots))) {
      add_relaxed(x.counters->nombuf, 1);
      break;
    }
    for (std::uint32_t i = 0; i < refill_batch; ++i) {
      rx_desc& d = q.ring[posted + i];
      d.read.packet_iova = buffer_address(x, *slots[i]);
      d.read.header_iova = 0;
    }
    posted = (posted + refill_batch) & x.mask;
  }
  if (posted == before) return;
  dma_wmb();
  // Release: after a death, what the index covers is there.  Recovery reads it when this process is gone; no partner
  // in a running process.
  q.posted.store(static_cast<std::uint16_t>(posted), std::memory_order_release);
  *x.doorbell = posted;
}

std::size_t rx_burst(void* context, mbuf** packets, std::size_t count_wanted) noexcept {
  rx_context& x = *static_cast<rx_context*>(context);
  rx_queue& q = *x.queue;
  // Relaxed: this thread is the only writer.
  std::uint32_t next = q.next.load(std::memory_order_relaxed);
  const std::uint32_t posted = q.posted.load(std::memory_order_relaxed);
  std::uint32_t left = (posted - next) & x.mask;
  std::size_t n = 0;
  std::uint64_t bytes = 0;
  completion c;
  while (n < count_wanted && left != 0 && fetch(q.ring[next], c)) {
    mbuf* m = q.slots[next];
    __builtin_prefetch(q.slots[(next + 3) & x.mask]);
    const std::uint16_t length = c.length();
    const bool sound =
        (c.status() & (rxd::eop | rxd::rxe)) == rxd::eop && length != 0 && length <= x.buffer_bytes && q.skipping == 0;
    if (sound) [[likely]] {
      describe(*m, c, x, length);
      packets[n++] = m;
      bytes += length;
    } else {
      reject(x, next, c.status());
    }
    next = (next + 1) & x.mask;
    --left;
  }
  // Release: as in refill().
  q.next.store(static_cast<std::uint16_t>(next), std::memory_order_release);
  count(x, n, bytes);
  if (x.mask - left >= x.refill_room) refill(x);
  return n;
}

std::size_t rx_burst_scattered(void* context, mbuf** packets, std::size_t count_wanted) noexcept {
  rx_context& x = *static_cast<rx_context*>(context);
  rx_queue& q = *x.queue;
  // Relaxed: this thread is the only writer.
  std::uint32_t next = q.next.load(std::memory_order_relaxed);
  const std::uint32_t posted = q.posted.load(std::memory_order_relaxed);
  std::size_t n = 0;
  std::uint64_t bytes = 0;
  while (n < count_wanted) {
    // The index moves only past whole packets: one whose end has not come yet is looked at again by the next burst.
    std::uint32_t at = next, left = (posted - next) & x.mask, segments = 0, total = 0;
    bool sound = q.skipping == 0, ended = false;
    completion c{};
    mbuf *first = nullptr, *last = nullptr;
    while (!ended && segments < max_segments && left != 0 && fetch(q.ring[at], c)) {
      mbuf* m = q.slots[at];
      const std::uint16_t length = c.length();
      if (length == 0 || length > x.buffer_bytes || (c.status() & rxd::rxe) != 0) sound = false;
      describe(*m, c, x, length);
      m->next = nullptr;
      if (last != nullptr) last->next = m;
      if (first == nullptr) first = m;
      last = m;
      total += length;
      ++segments;
      --left;
      at = (at + 1) & x.mask;
      ended = (c.status() & rxd::eop) != 0;
    }
    const bool endless = !ended && segments == max_segments;
    if (!ended && !endless) break;
    if (sound && ended && total <= max_frame_bytes) {
      const std::uint16_t length = first->data_len;
      describe(*first, c, x, length);  // only the last descriptor tells flags, types and hash, §7.1.5.2
      first->packet_len = total;
      first->segment_count = static_cast<std::uint16_t>(segments);
      packets[n++] = first;
      bytes += total;
    } else {
      if (q.skipping == 0) add_relaxed(x.counters->errors, 1);
      free_mbuf(first);
      q.skipping = ended ? 0 : 1;
    }
    next = at;
  }
  // Release: as in refill().
  q.next.store(static_cast<std::uint16_t>(next), std::memory_order_release);
  count(x, n, bytes);
  if (x.mask - ((posted - next) & x.mask) >= x.refill_room) refill(x);
  return n;
}

}  // namespace mpnet::nic::igb
