// SPDX-License-Identifier: BSD-3-Clause
// net_af_packet's takeovers.  The kernel keeps its own place in each ring and tells nobody.  A driver that looks at the
// wrong frame receives late and out of order, and sends nothing ever again, so a new driver finds the place out.
// Cold; one process and thread at a time.
#include <time.h>

#include "nic/vdev/af_packet.hpp"

namespace mpnet::nic {
namespace {

bool any_frame(const packet_ring& ring, std::uint32_t status) noexcept {
  for (std::uint32_t i = 0; i < ring.frames; ++i) {
    if ((frame_status(ring.frame(i)) & status) != 0) return true;
  }
  return false;
}

}  // namespace

// A driver stores its index, then hands its frames back in order.  Wherever it died,
//   - frames that are the user's are one run, and its first frame, behind one that is the kernel's, is the oldest;
//   - without such a run all were handed back, and the index is right;
//   - with the ring full of such frames any start is as good, and the index is one.
void resynchronise_rx(af_packet_queue& q) noexcept {
  // relaxed: the claim on the queue made the last driver's stores visible
  const auto stored = static_cast<std::uint32_t>(q.shared_next->load(std::memory_order_relaxed)) % q.ring.frames;
  q.next = stored;
  std::uint32_t at = stored;
  for (std::uint32_t seen = 0; seen < q.ring.frames; ++seen, at = q.ring.after(at)) {
    const bool users = (frame_status(q.ring.frame(at)) & TP_STATUS_USER) != 0;
    const bool kernels_before = (frame_status(q.ring.frame(q.ring.before(at))) & TP_STATUS_USER) == 0;
    if (users && kernels_before) {
      q.next = at;
      break;
    }
  }
  q.shared_next->store(q.next, std::memory_order_relaxed);  // relaxed: as above
}

// Every frame but one is marked with a length that the kernel refuses.  It skips such frames (PACKET_LOSS) from
// wherever it stands up to the one that is not marked, and stays there.  Where it stood there already it skips nothing,
// and the marks are taken away again.  Either way it stands at that frame afterwards.
std::uint32_t realign_tx(af_packet_queue& q) noexcept {
  if (any_frame(q.ring, TP_STATUS_SENDING)) return 0;  // on its way through a device: later
  const std::uint32_t stop = q.ring.before(q.next);
  std::uint32_t given_up = 0;
  for (std::uint32_t i = q.next; i != stop; i = q.ring.after(i)) {
    tpacket2_hdr* h = q.ring.frame(i);
    if (frame_status(h) == TP_STATUS_SEND_REQUEST) ++given_up;
    h->tp_len = 0xffffffff;
    set_frame_status(h, TP_STATUS_SEND_REQUEST);
  }
  if (frame_status(q.ring.frame(stop)) == TP_STATUS_SEND_REQUEST) {
    ++given_up;
    set_frame_status(q.ring.frame(stop), TP_STATUS_AVAILABLE);
  }
  const bool moved = kick_tx(q) >= 0;
  for (std::uint32_t i = q.next; i != stop; i = q.ring.after(i)) {
    if (frame_status(q.ring.frame(i)) == TP_STATUS_SEND_REQUEST) set_frame_status(q.ring.frame(i), TP_STATUS_AVAILABLE);
  }
  if (!moved) return given_up;  // the interface is down, say: the first burst that goes through notices
  q.next = stop;
  q.shared_next->store(stop, std::memory_order_relaxed);  // relaxed: read by the next driver only
  return given_up;
}

void resynchronise_tx(af_packet_queue& q) noexcept {
  // relaxed: the claim on the queue made the last driver's stores visible
  q.next = static_cast<std::uint32_t>(q.shared_next->load(std::memory_order_relaxed)) % q.ring.frames;
  (void)kick_tx(q);  // what the last driver marked is sent first
  for (int i = 0; i < 100 && any_frame(q.ring, TP_STATUS_SENDING); ++i) {
    const timespec pause{.tv_sec = 0, .tv_nsec = 1'000'000};
    nanosleep(&pause, nullptr);
  }
  (void)realign_tx(q);
}

}  // namespace mpnet::nic
