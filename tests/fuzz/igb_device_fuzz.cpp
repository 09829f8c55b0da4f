// SPDX-License-Identifier: BSD-3-Clause
// A hostile device: the input decides what it writes back into receive descriptors, which done bits it sets on transmit
// descriptors, and when.  The driver must neither crash nor hand out a packet that reaches beyond its buffer, and every
// mbuf must come back in the end.
#include <cstdlib>
#include <cstring>

#include "igb/workbench.hpp"

using namespace mpnet;
using namespace mpnet::nic;
using mpnet::test::workbench;

namespace {

/// The rest of the input, byte by byte; zeros behind its end.
class input {
 public:
  input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  std::uint8_t byte() { return at_ < size_ ? data_[at_++] : std::uint8_t{0}; }
  std::uint32_t word() {
    std::uint32_t w = 0;
    for (int i = 0; i < 4; ++i) w = w << 8 | byte();
    return w;
  }
  [[nodiscard]] bool more() const { return at_ < size_; }

 private:
  const std::uint8_t* data_;
  std::size_t size_, at_ = 0;
};

void require(bool ok) {
  if (!ok) std::abort();
}

void check_and_free(mbuf* m) {
  std::uint32_t total = 0, segments = 0;
  for (const mbuf* s = m; s != nullptr; s = s->next) {
    require(s->data_offset + s->data_len <= s->buffer_len);
    total += s->data_len;
    require(++segments <= igb::max_segments);
  }
  require(total == m->packet_len && segments == m->segment_count && total > 0);
  free_mbuf(m);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static workbench w{1024, mbuf_default_data_room, 1, 64};
  static const bool ready = [] {
    w.bring_up({.max_frame_bytes = 9022});
    w.stop_queues();
    return true;
  }();
  require(ready);
  input in{data, size};
  const std::size_t before = w.free_mbufs();
  const bool scattered = (in.byte() & 1) != 0;
  igb::start(w.hw, 0, w.rx[0], w.iova_of(w.rx_shared[0].ring));
  igb::start(w.hw, 0, w.tx[0], w.iova_of(w.tx_shared[0].ring));
  igb::rx_queue& rx = w.rx_shared[0];
  igb::tx_queue& tx = w.tx_shared[0];
  while (in.more()) {
    switch (in.byte() % 4) {
      case 0: {  // the device writes what it likes into the next descriptor, or into any
        const std::uint8_t which = in.byte();
        const std::uint32_t at =
            ((which & 0x80) != 0 ? which & 0x3fU : rx.next.load(std::memory_order_relaxed) + (which & 7U)) &
            63;  // relaxed: one thread
        igb::rx_desc& d = rx.ring[at];
        d.wb.packet_info = static_cast<std::uint16_t>(in.word());
        d.wb.rss_hash = in.word();
        d.wb.length = static_cast<std::uint16_t>(in.word());
        d.wb.vlan = static_cast<std::uint16_t>(in.byte());
        d.wb.status_error = in.word() | 1;
        break;
      }
      case 1:
        for (mbuf* m : w.receive(0, scattered, 1 + in.byte() % 64)) check_and_free(m);
        break;
      case 2: {
        mbuf* m = w.pool.alloc();
        if (m == nullptr) break;
        m->data_len = static_cast<std::uint16_t>(in.word() % 2049);
        m->packet_len = (in.byte() & 3) == 0 ? in.word() : m->data_len;
        m->flags = static_cast<std::uint64_t>(in.word()) << 32 & ~mbuf_flag::indirect;
        m->tx.l2_len = in.byte() & 0x7f;
        m->tx.l3_len = in.byte();
        m->tx.l4_len = in.byte();
        m->tx.segment_bytes = in.word() & 0xffff;
        mbuf* one[] = {m};
        if (w.send(0, one) == 0) free_mbuf(m);
        break;
      }
      default:
        tx.ring[in.byte() & 63].data.olinfo_status |= igb::txd::dd;
        igb::reclaim_sent(w.tx[0]);
    }
  }
  w.device->at(igb::TDH[0].offset) = w.device->at(igb::TDT[0].offset);  // else stopping waits for it
  w.stop_queues();
  require(w.free_mbufs() == before);
  return 0;
}
