// SPDX-License-Identifier: BSD-3-Clause
// net_pcap's bursts.  Hot.
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstring>

#include "nic/vdev/pcap.hpp"

namespace mpnet::nic {
namespace {

mbuf* packet_from(const pcap_queue& q, const std::byte* bytes, std::uint32_t len) noexcept {
  mbuf* m = alloc_packet(q.pool, len);
  if (m == nullptr) [[unlikely]]
    return nullptr;
  fill_packet(m, bytes, len);
  m->port = q.port;
  return m;
}

struct live_burst {
  pcap_queue& q;
  mbuf** packets;
  std::size_t got = 0;
  std::uint64_t bytes = 0;
};

void take_live(u_char* context, const pcap_pkthdr* head, const u_char* bytes) noexcept {
  auto& b = *reinterpret_cast<live_burst*>(context);
  if (head->caplen < head->len) {
    add_relaxed(b.q.counters->errors, 1);
    return;
  }
  mbuf* m = packet_from(b.q, reinterpret_cast<const std::byte*>(bytes), head->caplen);
  if (m == nullptr) {
    add_relaxed(b.q.counters->nombuf, 1);
    return;
  }
  b.packets[b.got++] = m;
  b.bytes += m->packet_len;
}

}  // namespace

std::size_t pcap_file_rx(void* queue, mbuf** packets, std::size_t count) noexcept {
  auto& q = *static_cast<pcap_queue*>(queue);
  std::uint64_t at = q.shared_word->load(std::memory_order_relaxed);  // relaxed: this process alone writes it
  std::size_t got = 0;
  std::uint64_t bytes = 0;
  while (got < count) {
    if (at >= q.packets.count()) {
      if (!q.infinite || q.packets.count() == 0) break;
      at = 0;
    }
    const std::size_t start = q.packets.starts[at];
    mbuf* m =
        packet_from(q, q.packets.bytes.data() + start, static_cast<std::uint32_t>(q.packets.starts[at + 1] - start));
    if (m == nullptr) [[unlikely]] {
      add_relaxed(q.counters->nombuf, 1);
      break;
    }
    packets[got++] = m;
    bytes += m->packet_len;
    ++at;
  }
  if (got == 0) return 0;
  q.shared_word->store(at, std::memory_order_relaxed);  // relaxed: read by the next driver only
  add_relaxed(q.counters->packets, got);
  add_relaxed(q.counters->bytes, bytes);
  return got;
}

std::size_t pcap_live_rx(void* queue, mbuf** packets, std::size_t count) noexcept {
  auto& q = *static_cast<pcap_queue*>(queue);
  live_burst b{q, packets};
  (void)::pcap_dispatch(q.live.get(), static_cast<int>(count), &take_live, reinterpret_cast<u_char*>(&b));
  add_relaxed(q.counters->packets, b.got);
  add_relaxed(q.counters->bytes, b.bytes);
  return b.got;
}

std::size_t pcap_file_tx(void* queue, mbuf** packets, std::size_t count) noexcept {
  auto& q = *static_cast<pcap_queue*>(queue);
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  std::size_t taken = 0, used = 0;
  std::uint64_t bytes = 0, errors = 0, written = 0;
  for (; taken < count; ++taken) {
    const mbuf& m = *packets[taken];
    const std::size_t needed = sizeof(record_head) + m.packet_len + 4;
    if (needed > q.arena.size()) [[unlikely]] {
      ++errors;
      continue;
    }
    if (used + needed > q.arena.size()) break;
    const std::uint32_t len = flatten_packet(m, q.arena.data() + used + sizeof(record_head));
    const record_head head{static_cast<std::uint32_t>(now.tv_sec), static_cast<std::uint32_t>(now.tv_nsec / 1000), len,
                           len};
    std::memcpy(q.arena.data() + used, &head, sizeof head);
    used += sizeof head + len;
    bytes += len;
    ++written;
  }
  const std::uint64_t at = q.shared_word->load(std::memory_order_relaxed);  // relaxed: this process alone writes it
  if (::pwrite(q.fd, q.arena.data(), used, static_cast<off_t>(at)) == static_cast<ssize_t>(used)) [[likely]] {
    q.shared_word->store(at + used, std::memory_order_relaxed);  // relaxed: read by the next driver only
    add_relaxed(q.counters->packets, written);
    add_relaxed(q.counters->bytes, bytes);
  } else {
    errors += written;  // the disk is full, say; what was written in part is overwritten or cut off
  }
  free_mbufs({packets, taken});
  if (errors > 0) [[unlikely]]
    add_relaxed(q.counters->errors, errors);
  return taken;
}

std::size_t pcap_live_tx(void* queue, mbuf** packets, std::size_t count) noexcept {
  auto& q = *static_cast<pcap_queue*>(queue);
  constexpr std::size_t most = 64;
  std::array<mmsghdr, most> messages;
  std::array<iovec, most> places;
  std::size_t filled = 0, used = 0;
  for (; filled < std::min(count, most); ++filled) {
    const mbuf& m = *packets[filled];
    if (used + m.packet_len + 4 > q.arena.size()) break;
    const std::uint32_t len = flatten_packet(m, q.arena.data() + used);
    places[filled] = {q.arena.data() + used, len};
    messages[filled] = {};
    messages[filled].msg_hdr.msg_iov = &places[filled];
    messages[filled].msg_hdr.msg_iovlen = 1;
    used += len;
  }
  if (filled == 0 && count > 0) {  // one that fits no frame
    free_mbuf(packets[0]);
    add_relaxed(q.counters->errors, 1);
    return 1;
  }
  const int sent = ::sendmmsg(q.fd, messages.data(), static_cast<unsigned>(filled), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent <= 0) {
    if (errno == EAGAIN || errno == ENOBUFS || count == 0) return 0;
    free_mbuf(packets[0]);  // refused: too long, say
    add_relaxed(q.counters->errors, 1);
    return 1;
  }
  std::uint64_t bytes = 0;
  for (int i = 0; i < sent; ++i) bytes += places[static_cast<std::size_t>(i)].iov_len;
  free_mbufs({packets, static_cast<std::size_t>(sent)});
  add_relaxed(q.counters->packets, static_cast<std::uint64_t>(sent));
  add_relaxed(q.counters->bytes, bytes);
  return static_cast<std::size_t>(sent);
}

std::size_t pcap_drop_tx(void* queue, mbuf** packets, std::size_t count) noexcept {
  auto& q = *static_cast<pcap_queue*>(queue);
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < count; ++i) bytes += packets[i]->packet_len;
  free_mbufs({packets, count});
  add_relaxed(q.counters->packets, count);
  add_relaxed(q.counters->bytes, bytes);
  return count;
}

}  // namespace mpnet::nic
