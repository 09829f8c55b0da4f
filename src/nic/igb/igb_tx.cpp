// SPDX-License-Identifier: BSD-3-Clause
// Transmit, hot: 82576 datasheet §7.2.  Descriptors are filled in batches; only a batch's last one asks for a report,
// and its done bit gives the buffers of the whole batch back.  One thread a queue.
#include "igb_queues.hpp"

#include <algorithm>
#include <cstring>

#include "nic/device.hpp"

namespace mpnet::nic::igb {
namespace {

constexpr std::uint32_t batch_descriptors = 32;
constexpr std::uint64_t offload_flags =
    mbuf_flag::tx_tcp_segmentation | mbuf_flag::tx_l4_mask | mbuf_flag::tx_ip_checksum | mbuf_flag::tx_vlan;
constexpr std::uint32_t data_command = txd::dtyp_data | txd::dext | txd::ifcs;

/// Gives segments back, runs of one pool at a time.
void free_segments(mbuf** segments, std::size_t count) noexcept {
  void* run[64];
  std::size_t n = 0;
  detail::pool_header* pool = nullptr;
  const auto flush = [&] {
    if (n != 0) detail::cache_put(*pool, detail::thread_cache(*pool), run, n);
    n = 0;
  };
  for (std::size_t i = 0; i < count; ++i) {
    mbuf* m = segments[i];
    if (m == nullptr || !detail::release_segment(*m)) continue;  // a context descriptor; shared with others
    m->next = nullptr;
    if (m->pool != pool || n == 64) {
      flush();
      pool = m->pool;
    }
    run[n++] = m;
  }
  flush();
}

/// What the caller asks of the device for one packet.
struct request {
  std::uint32_t command = data_command;
  std::uint32_t options = 0;  // olinfo_status without the length
  std::uint32_t payload = 0;
  tx_context context{};
  bool needs_context = false;
};

[[nodiscard]] bool translate(const mbuf& m, std::uint32_t context_index, request& r) noexcept {
  r.payload = m.packet_len;
  if ((m.flags & offload_flags) == 0) return true;
  r.needs_context = true;
  const auto& t = m.tx;
  std::uint32_t type = txd::dtyp_context | txd::dext;
  std::uint32_t options = context_index;
  const std::uint64_t l4 = m.flags & mbuf_flag::tx_l4_mask;
  const bool tso = (m.flags & mbuf_flag::tx_tcp_segmentation) != 0;
  if ((m.flags & (mbuf_flag::tx_ip_checksum | mbuf_flag::tx_ipv4)) != 0) type |= txd::tucmd_ipv4;
  if ((m.flags & mbuf_flag::tx_ip_checksum) != 0) options |= txd::ixsm;
  if (tso || l4 == mbuf_flag::tx_tcp_checksum) type |= txd::tucmd_tcp;
  if (!tso && l4 == mbuf_flag::tx_sctp_checksum) type |= txd::tucmd_sctp;
  if (tso || l4 != 0) options |= txd::txsm;
  r.context.mss_l4len_idx = context_index;
  if (tso) {
    const std::uint32_t headers = static_cast<std::uint32_t>(t.l2_len) + static_cast<std::uint32_t>(t.l3_len) +
                                  static_cast<std::uint32_t>(t.l4_len);
    if (t.segment_bytes == 0 || t.l4_len == 0 || headers >= m.packet_len || m.packet_len - headers > txd::paylen_max) {
      return false;
    }
    r.payload = m.packet_len - headers;
    r.command |= txd::tse;
    r.context.mss_l4len_idx |= static_cast<std::uint32_t>(t.l4_len) << txd::l4len_shift |
                               static_cast<std::uint32_t>(t.segment_bytes) << txd::mss_shift;
  }
  r.context.vlan_macip_lens = static_cast<std::uint32_t>(t.l3_len) | static_cast<std::uint32_t>(t.l2_len)
                                                                         << txd::maclen_shift;
  if ((m.flags & mbuf_flag::tx_vlan) != 0) {
    r.command |= txd::vle;
    r.context.vlan_macip_lens |= static_cast<std::uint32_t>(m.vlan_tci) << txd::vlan_shift;
  }
  r.context.type_tucmd = type;
  r.options = options;
  return tso || m.packet_len <= max_frame_bytes;
}

/// Segments of the packet, or 0 where the device cannot send it.
[[nodiscard]] std::uint32_t count_segments(const mbuf& packet, std::uint32_t room) noexcept {
  std::uint32_t n = 0, total = 0;
  for (const mbuf* m = &packet; m != nullptr; m = m->next) {
    if (m->data_len == 0 || ++n > std::min<std::uint32_t>(max_segments, room)) return 0;
    total += m->data_len;
  }
  return total == packet.packet_len && total >= 14 ? n : 0;
}

enum class outcome { sent, full, impossible };

/// A descriptor; without an IOMMU one more where the data crosses into a page that lies elsewhere.  The mbuf belongs to
/// the last, so that it goes back when the device has read both.
inline void put_segment(tx_context_local& x, mbuf* m, const request& r, std::uint32_t& tail) noexcept {
  tx_queue& q = *x.queue;
  const auto start = static_cast<std::uint64_t>(m->data_iova());
  for (std::uint32_t done = 0; done < m->data_len;) {
    const std::uint64_t at = start + done;
    std::uint32_t n = m->data_len - done;
    if (x.pages != nullptr) n = static_cast<std::uint32_t>(x.pages->in_one_piece(at, n));
    done += n;
    const bool last = done == m->data_len;
    q.ring[tail].data = {.buffer_iova = device_address(x.pages, at, n),
                         .cmd_type_len = r.command | n | (last && m->next == nullptr ? txd::eop : 0),
                         .olinfo_status = r.options | r.payload << txd::paylen_shift};
    q.slots[tail] = last ? m : nullptr;
    tail = (tail + 1) & x.mask;
  }
}

/// False where the device has no way to data of the packet.
[[nodiscard]] bool reachable(const dma_pages& pages, const mbuf& packet) noexcept {
  for (const mbuf* m = &packet; m != nullptr; m = m->next) {
    const auto at = static_cast<std::uint64_t>(m->data_iova());
    if (pages.physical(at) == 0 || pages.physical(at + m->data_len - 1) == 0) return false;
  }
  return true;
}

/// The general case: several segments, offloads, data that lies in two pieces.
[[gnu::noinline]] outcome put(tx_context_local& x, mbuf* packet, std::uint32_t& tail, std::uint32_t free) noexcept {
  tx_queue& q = *x.queue;
  request r;
  const std::uint32_t segments = count_segments(*packet, x.mask / 2);
  if (segments == 0 || !translate(*packet, x.context_index, r)) return outcome::impossible;
  if (!r.needs_context && packet->packet_len > max_frame_bytes) return outcome::impossible;
  if (x.pages != nullptr && !reachable(*x.pages, *packet)) return outcome::impossible;
  const bool new_context =
      r.needs_context && (!x.last_valid || std::memcmp(&r.context, &x.last, sizeof(tx_context)) != 0);
  if (segments * (x.pages == nullptr ? 1 : 2) + (new_context ? 1 : 0) > free) return outcome::full;
  if (new_context) {
    q.ring[tail].context = r.context;
    q.slots[tail] = nullptr;
    tail = (tail + 1) & x.mask;
    x.last = r.context;
    x.last_valid = true;
  }
  for (mbuf* m = packet; m != nullptr; m = m->next) put_segment(x, m, r, tail);
  return outcome::sent;
}

}  // namespace

void reclaim_sent(tx_context_local& x) noexcept {
  tx_queue& q = *x.queue;
  // Relaxed: this thread is the only writer of both.
  std::uint32_t clean = q.clean.load(std::memory_order_relaxed);
  const std::uint32_t tail = q.tail.load(std::memory_order_relaxed);
  while (clean != tail) {
    const std::uint32_t end = q.batch_end[clean] & x.mask;
    const auto* status = reinterpret_cast<const volatile std::uint32_t*>(&q.ring[end].data.olinfo_status);
    if ((*status & txd::dd) == 0) break;
    dma_rmb();
    if (end >= clean) {
      free_segments(q.slots + clean, end - clean + 1);
    } else {
      free_segments(q.slots + clean, x.mask + 1 - clean);
      free_segments(q.slots, end + 1);
    }
    clean = (end + 1) & x.mask;
    // Release: after a death, what lies behind the index is in no queue.  No partner in a running process.
    q.clean.store(static_cast<std::uint16_t>(clean), std::memory_order_release);
  }
}

std::size_t tx_burst(void* context, mbuf** packets, std::size_t count) noexcept {
  tx_context_local& x = *static_cast<tx_context_local*>(context);
  tx_queue& q = *x.queue;
  // Relaxed: this thread is the only writer of both.
  const std::uint32_t start = q.tail.load(std::memory_order_relaxed);
  std::uint32_t clean = q.clean.load(std::memory_order_relaxed);
  std::uint32_t free = x.mask - ((start - clean) & x.mask);
  if (free < count || free <= x.mask - 2 * batch_descriptors) {
    reclaim_sent(x);
    clean = q.clean.load(std::memory_order_relaxed);  // relaxed: as above
    free = x.mask - ((start - clean) & x.mask);
  }
  std::uint32_t tail = start, batch = start;
  std::uint64_t bytes = 0, errors = 0;
  std::size_t n = 0;
  for (; n < count; ++n) {
    mbuf* m = packets[n];
    const std::uint32_t before = tail;
    const std::uint64_t address = device_address(x.pages, static_cast<std::uint64_t>(m->data_iova()), m->data_len);
    if ((m->flags & offload_flags) == 0 && m->next == nullptr && m->data_len >= 14 && m->data_len <= max_frame_bytes &&
        address != 0) [[likely]] {
      if (free == 0) break;
      q.ring[tail].data = {.buffer_iova = address,
                           .cmd_type_len = data_command | txd::eop | m->data_len,
                           .olinfo_status = static_cast<std::uint32_t>(m->data_len) << txd::paylen_shift};
      q.slots[tail] = m;
      tail = (tail + 1) & x.mask;
      bytes += m->data_len;
    } else {
      const std::uint32_t packet_bytes = m->packet_len;
      const outcome o = put(x, m, tail, free);
      if (o == outcome::full) break;
      if (o == outcome::impossible) {
        free_mbuf(m);
        ++errors;
        continue;
      }
      bytes += packet_bytes;
    }
    free -= (tail - before) & x.mask;
    if (((tail - batch) & x.mask) >= batch_descriptors) {
      const std::uint32_t end = (tail - 1) & x.mask;
      q.ring[end].data.cmd_type_len |= txd::rs;
      q.batch_end[batch] = static_cast<std::uint16_t>(end);
      batch = tail;
    }
  }
  if (tail != batch) {
    const std::uint32_t end = (tail - 1) & x.mask;
    q.ring[end].data.cmd_type_len |= txd::rs;
    q.batch_end[batch] = static_cast<std::uint16_t>(end);
  }
  if (tail != start) {
    dma_wmb();
    // Release: after a death, what the index covers is in the ring.  No partner in a running process.
    q.tail.store(static_cast<std::uint16_t>(tail), std::memory_order_release);
    *x.doorbell = tail;
    add_relaxed(x.counters->packets, n - errors);
    add_relaxed(x.counters->bytes, bytes);
  }
  if (errors != 0) [[unlikely]]
    add_relaxed(x.counters->errors, errors);
  return n;
}

}  // namespace mpnet::nic::igb
