// SPDX-License-Identifier: BSD-3-Clause
// atomic_queue: AtomicQueue of one producer and consumer, and of many; one object a call.
#include <atomic_queue/atomic_queue.h>

#include "peers/peers.hpp"
#include "queue_kernels.hpp"

#include <new>

namespace bench {
namespace {

template <bool Single>
struct atomic_ring {
  using item = void*;
  atomic_queue::AtomicQueue<void*, queue_capacity + 1, nullptr, true, true, false, Single> queue;

  static void format(void* memory) { ::new (memory) atomic_ring; }
  unsigned enqueue(void* const* items, unsigned n) noexcept {
    for (unsigned i = 0; i < n; ++i) {
      if (!queue.try_push(items[i])) return i;
    }
    return n;
  }
  unsigned dequeue(void** items, unsigned n) noexcept {
    for (unsigned i = 0; i < n; ++i) {
      if (!queue.try_pop(items[i])) return i;
    }
    return n;
  }
};

}  // namespace

void add_atomic_queues(contestants& to) {
  to.push_back(make_queue<atomic_ring<true>>("atomic_queue SPSC", "single"));
  to.push_back(make_queue<atomic_ring<false>>("atomic_queue", "many"));
}

}  // namespace bench
