// SPDX-License-Identifier: BSD-3-Clause
// net_af_packet's send burst: packets are copied into frames, which one system call hands to the kernel.  Hot.
#include <errno.h>
#include <sys/socket.h>

#include <cstring>

#include "nic/vdev/af_packet.hpp"
#include "nic/vdev/vnet_header.hpp"

namespace mpnet::nic {
namespace {

constexpr std::size_t data_at = TPACKET2_HDRLEN - sizeof(sockaddr_ll);

bool can_send(const af_packet_queue& q, const mbuf& m, std::uint32_t mtu) noexcept {
  const std::uint32_t max_frame_bytes = mtu + 14;
  const bool segmented = q.vnet && (m.flags & mbuf_flag::tx_tcp_segmentation) != 0;
  const std::uint32_t tag = (m.flags & mbuf_flag::tx_vlan) != 0 ? 4 : 0;
  // A tagged frame may be longer by its tag.
  const std::uint32_t limit = segmented ? q.room_bytes : std::min(q.room_bytes, max_frame_bytes + 4);
  if (m.packet_len < 14 || m.packet_len + tag > limit || m.data_len < 14) return false;
  if (segmented || m.packet_len + tag <= max_frame_bytes) return true;
  return tag != 0 || (m.data()[12] == std::byte{0x81} && m.data()[13] == std::byte{0});
}

void write_frame(const af_packet_queue& q, const mbuf& m, tpacket2_hdr* h) noexcept {
  std::byte* to = reinterpret_cast<std::byte*>(h) + data_at;
  std::byte* const frame = q.vnet ? to + sizeof(vnet_header) : to;
  gather_packet(&m, frame);
  std::uint32_t len = m.packet_len;
  vnet_header header{};
  if (q.vnet) {
    if ((m.flags & mbuf_flag::tx_ip_checksum) != 0) {  // cheap, and the kernel does not do it
      const std::uint16_t zero = 0;
      std::byte* const field = frame + m.tx.l2_len + 10;
      std::memcpy(field, &zero, 2);
      const std::uint16_t sum = end_checksum(add_checksum(frame + m.tx.l2_len, m.tx.l3_len));
      std::memcpy(field, &sum, 2);
    }
    mbuf_to_vnet(m, frame, header);
  } else {
    finish_checksums(m, frame, len);
  }
  if ((m.flags & mbuf_flag::tx_vlan) != 0) [[unlikely]] {
    insert_vlan_tag(frame, len, m.vlan_tci);
    len += 4;
    if (header.flags != 0) header.csum_start = static_cast<std::uint16_t>(header.csum_start + 4);
    if (header.gso_type != 0) header.hdr_len = static_cast<std::uint16_t>(header.hdr_len + 4);
  }
  if (q.vnet) {
    std::memcpy(to, &header, sizeof header);
    len += sizeof header;
  }
  h->tp_len = len;
}

/// The kernel did not take what the ring holds though nothing is in its way: it stands elsewhere.
void heal(af_packet_queue& q) noexcept {
  const std::uint32_t lost = realign_tx(q);
  add_relaxed(q.counters->errors, lost);
}

}  // namespace

long kick_tx(const af_packet_queue& q) noexcept {
  const long sent = ::send(q.fd, nullptr, 0, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent < 0 ? -errno : sent;
}

std::size_t af_packet_tx(void* queue, mbuf** packets, std::size_t count) noexcept {
  auto& q = *static_cast<af_packet_queue*>(queue);
  const std::uint32_t mtu = q.mtu->load(std::memory_order_relaxed);  // relaxed: a word of its own
  std::size_t taken = 0;
  std::uint64_t bytes = 0, errors = 0;
  std::uint32_t frames = 0, at = q.next;
  for (; taken < count; ++taken) {
    mbuf* const m = packets[taken];
    if (!can_send(q, *m, mtu)) [[unlikely]] {
      ++errors;
      continue;
    }
    tpacket2_hdr* h = q.ring.frame(at);
    if (frames == q.ring.frames || frame_status(h) != TP_STATUS_AVAILABLE) break;
    write_frame(q, *m, h);
    bytes += m->packet_len;
    at = q.ring.after(at);
    ++frames;
  }
  // Ascending, so that after a death in between, the marked frames are a run that starts where the kernel stands.
  for (std::uint32_t i = q.next, left = frames; left > 0; --left, i = q.ring.after(i)) {
    set_frame_status(q.ring.frame(i), TP_STATUS_SEND_REQUEST);
  }
  q.next = at;
  // Before the kernel may move on.  relaxed: read by the next driver of the queue only.
  q.shared_next->store(at, std::memory_order_relaxed);
  tpacket2_hdr* const last = q.ring.frame(q.ring.before(at));
  if (frames > 0 || frame_status(last) == TP_STATUS_SEND_REQUEST) {
    const long sent = kick_tx(q);
    if (sent == 0 && frame_status(last) == TP_STATUS_SEND_REQUEST) [[unlikely]]
      heal(q);
  }
  free_mbufs({packets, taken});
  add_relaxed(q.counters->packets, frames);
  add_relaxed(q.counters->bytes, bytes);
  if (errors > 0) [[unlikely]]
    add_relaxed(q.counters->errors, errors);
  return taken;
}

}  // namespace mpnet::nic
