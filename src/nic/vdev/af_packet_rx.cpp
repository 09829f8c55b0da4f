// SPDX-License-Identifier: BSD-3-Clause
// net_af_packet's receive burst: no system call; frames are copied out and handed back to the kernel.  Hot.
#include <cstring>

#include "nic/vdev/af_packet.hpp"
#include "nic/vdev/vnet_header.hpp"

namespace mpnet::nic {
namespace {

constexpr std::uint32_t tag_bytes = 4;
constexpr std::uint32_t addresses_bytes = 12;

enum class frame_outcome { taken, dropped, no_mbuf };

/// The kernel took the VLAN tag out of the frame: it goes back in behind the addresses.
void fill_with_tag(mbuf* m, const tpacket2_hdr* h, const std::byte* frame, std::uint32_t len) noexcept {
  std::byte* to = m->data();
  const std::uint16_t tpid = (h->tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? h->tp_vlan_tpid : 0x8100;
  const std::array<std::byte, tag_bytes> tag{std::byte(tpid >> 8), std::byte(tpid & 0xff),
                                             std::byte(h->tp_vlan_tci >> 8), std::byte(h->tp_vlan_tci & 0xff)};
  std::memcpy(to, frame, addresses_bytes);
  std::memcpy(to + addresses_bytes, tag.data(), tag_bytes);
  // The rest, segment by segment, starting in the first behind what is there.
  const std::uint32_t head = addresses_bytes + tag_bytes;
  std::uint32_t done = addresses_bytes;
  std::uint32_t at = head;
  for (mbuf* s = m; s != nullptr && done < len; s = s->next, at = 0) {
    const std::uint32_t part = std::min<std::uint32_t>(s->data_len - at, len - done);
    std::memcpy(s->data() + at, frame + done, part);
    done += part;
  }
  m->vlan_tci = h->tp_vlan_tci;
  m->flags |= mbuf_flag::rx_vlan;
}

frame_outcome take_frame(const af_packet_queue& q, tpacket2_hdr* h, std::uint32_t status, mbuf*& out) noexcept {
  const std::uint32_t len = h->tp_snaplen;
  if (len < h->tp_len || len < 14) [[unlikely]]
    return frame_outcome::dropped;  // longer than a frame of the ring
  const bool tagged = (status & TP_STATUS_VLAN_VALID) != 0;
  const std::uint32_t shift = tagged ? tag_bytes : 0;
  mbuf* m = alloc_packet(q.pool, len + shift);
  if (m == nullptr) [[unlikely]]
    return frame_outcome::no_mbuf;
  if (m->data_len < 64 && m->data_len < len + shift) [[unlikely]] {  // no pool for packets
    free_mbuf(m);
    return frame_outcome::dropped;
  }
  const std::byte* frame = reinterpret_cast<const std::byte*>(h) + h->tp_mac;
  if (tagged) [[unlikely]] {
    fill_with_tag(m, h, frame, len);
  } else {
    fill_packet(m, frame, len);
  }
  m->port = q.port;
  if (q.vnet) {
    vnet_header header;
    std::memcpy(&header, frame - sizeof header, sizeof header);
    if (!vnet_to_mbuf(header, *m, m->data(), m->data_len, shift)) [[unlikely]] {
      free_mbuf(m);
      return frame_outcome::dropped;
    }
  } else if ((status & TP_STATUS_CSUMNOTREADY) != 0) {
    if (m->segment_count != 1 || !complete_checksum(m->data(), m->data_len)) [[unlikely]] {
      free_mbuf(m);
      return frame_outcome::dropped;
    }
  } else if ((status & TP_STATUS_CSUM_VALID) != 0) {
    m->flags |= mbuf_flag::rx_l4_checksum_good;
  }
  out = m;
  return frame_outcome::taken;
}

}  // namespace

std::size_t af_packet_rx(void* queue, mbuf** packets, std::size_t count) noexcept {
  auto& q = *static_cast<af_packet_queue*>(queue);
  std::uint32_t at = q.next;
  std::size_t got = 0;
  std::uint64_t bytes = 0, dropped = 0;
  std::uint32_t frames = 0;
  while (got < count && frames < q.ring.frames) {
    tpacket2_hdr* h = q.ring.frame(at);
    const std::uint32_t status = frame_status(h);
    if ((status & TP_STATUS_USER) == 0) break;
    const frame_outcome outcome = take_frame(q, h, status, packets[got]);
    if (outcome == frame_outcome::no_mbuf) [[unlikely]] {  // the frame stays: the next burst tries again
      add_relaxed(q.counters->nombuf, 1);
      break;
    }
    if (outcome == frame_outcome::taken) {
      bytes += packets[got]->packet_len;
      ++got;
    } else {
      ++dropped;
    }
    at = q.ring.after(at);
    ++frames;
  }
  if (frames == 0) return 0;
  // The index first, then the frames: after a death in between, frames that are still marked tell where to go on.
  // relaxed: read by the next driver of the queue, after this process's death or its release of the claim.
  q.shared_next->store(at, std::memory_order_relaxed);
  for (std::uint32_t i = q.next; frames > 0; --frames, i = q.ring.after(i)) {
    set_frame_status(q.ring.frame(i), TP_STATUS_KERNEL);
  }
  q.next = at;
  add_relaxed(q.counters->packets, got);
  add_relaxed(q.counters->bytes, bytes);
  if (dropped > 0) [[unlikely]]
    add_relaxed(q.counters->errors, dropped);
  return got;
}

}  // namespace mpnet::nic
