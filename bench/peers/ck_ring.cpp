// SPDX-License-Identifier: BSD-3-Clause
// Concurrency Kit's ring; it moves one object a call.
#include "peers/peers.hpp"
#include "queue_kernels.hpp"

#include <ck_md.h>
#include <ck_pr.h>
#include <ck_string.h>

#include <new>

// The header is C: it returns false where C++ wants a null pointer.
#define false 0
#include <ck_ring.h>
#undef false

namespace bench {
namespace {

constexpr unsigned slots = queue_capacity + 1;

template <bool Many>
struct ck {
  using item = void*;
  alignas(64) ck_ring_t ring;
  alignas(64) ck_ring_buffer_t buffer[slots];

  static void format(void* memory) { ck_ring_init(&(::new (memory) ck)->ring, slots); }

  unsigned enqueue(void* const* items, unsigned n) noexcept {
    for (unsigned i = 0; i < n; ++i) {
      const bool done =
          Many ? ck_ring_enqueue_mpmc(&ring, buffer, items[i]) : ck_ring_enqueue_spsc(&ring, buffer, items[i]);
      if (!done) return i;
    }
    return n;
  }
  unsigned dequeue(void** items, unsigned n) noexcept {
    for (unsigned i = 0; i < n; ++i) {
      const bool done =
          Many ? ck_ring_dequeue_mpmc(&ring, buffer, items + i) : ck_ring_dequeue_spsc(&ring, buffer, items + i);
      if (!done) return i;
    }
    return n;
  }
};

}  // namespace

void add_ck_rings(contestants& to) {
  to.push_back(make_queue<ck<false>>("ck_ring SPSC", "single"));
  to.push_back(make_queue<ck<true>>("ck_ring MPMC", "many"));
}

}  // namespace bench
