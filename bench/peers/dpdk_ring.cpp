// SPDX-License-Identifier: BSD-3-Clause
// DPDK's rings in memory of our own: formatted by rte_ring_init, moved by its inline functions; needs no EAL of DPDK's.
#include <rte_ring.h>

#include "peers/peers.hpp"
#include "queue_kernels.hpp"

#include <stdexcept>

namespace bench {
namespace {

constexpr unsigned slots = queue_capacity + 1;

struct ring_base : rte_ring {
  using item = void*;
  static void format_as(void* memory, unsigned flags) {
    if (rte_ring_init(static_cast<rte_ring*>(memory), "bench", slots, flags) != 0) {
      throw std::runtime_error{"rte_ring_init failed"};
    }
  }
};

struct single : ring_base {
  static void format(void* memory) { format_as(memory, RING_F_SP_ENQ | RING_F_SC_DEQ); }
  unsigned enqueue(void* const* items, unsigned n) noexcept {
    return rte_ring_sp_enqueue_bulk(this, items, n, nullptr);
  }
  unsigned dequeue(void** items, unsigned n) noexcept { return rte_ring_sc_dequeue_bulk(this, items, n, nullptr); }
};

struct multi : ring_base {
  static void format(void* memory) { format_as(memory, 0); }
  unsigned enqueue(void* const* items, unsigned n) noexcept {
    return rte_ring_mp_enqueue_bulk(this, items, n, nullptr);
  }
  unsigned dequeue(void** items, unsigned n) noexcept { return rte_ring_mc_dequeue_bulk(this, items, n, nullptr); }
};

struct relaxed_tail : ring_base {
  static void format(void* memory) { format_as(memory, RING_F_MP_RTS_ENQ | RING_F_MC_RTS_DEQ); }
  unsigned enqueue(void* const* items, unsigned n) noexcept {
    return rte_ring_mp_rts_enqueue_bulk(this, items, n, nullptr);
  }
  unsigned dequeue(void** items, unsigned n) noexcept { return rte_ring_mc_rts_dequeue_bulk(this, items, n, nullptr); }
};

struct head_tail : ring_base {
  static void format(void* memory) { format_as(memory, RING_F_MP_HTS_ENQ | RING_F_MC_HTS_DEQ); }
  unsigned enqueue(void* const* items, unsigned n) noexcept {
    return rte_ring_mp_hts_enqueue_bulk(this, items, n, nullptr);
  }
  unsigned dequeue(void** items, unsigned n) noexcept { return rte_ring_mc_hts_dequeue_bulk(this, items, n, nullptr); }
};

}  // namespace

void add_dpdk_rings(contestants& to) {
  to.push_back(make_queue<single>("DPDK SP/SC", "single"));
  to.push_back(make_queue<multi>("DPDK MP/MC", "many"));
  to.push_back(make_queue<relaxed_tail>("DPDK RTS", "many"));
  to.push_back(make_queue<head_tail>("DPDK HTS", "many"));
}

}  // namespace bench
