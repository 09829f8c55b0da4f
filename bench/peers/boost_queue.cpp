// SPDX-License-Identifier: BSD-3-Clause
// boost::lockfree: spsc_queue (bulk) and queue (one object a call), both of fixed capacity, so that they can be shared.
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>

#include "peers/peers.hpp"
#include "queue_kernels.hpp"

#include <new>

namespace bench {
namespace {

struct boost_single {
  using item = void*;
  boost::lockfree::spsc_queue<void*, boost::lockfree::capacity<queue_capacity>> queue;

  static void format(void* memory) { ::new (memory) boost_single; }
  unsigned enqueue(void* const* items, unsigned n) noexcept { return static_cast<unsigned>(queue.push(items, n)); }
  unsigned dequeue(void** items, unsigned n) noexcept { return static_cast<unsigned>(queue.pop(items, n)); }
};

struct boost_many {
  using item = void*;
  boost::lockfree::queue<void*, boost::lockfree::capacity<queue_capacity>> queue;

  static void format(void* memory) { ::new (memory) boost_many; }
  unsigned enqueue(void* const* items, unsigned n) noexcept {
    for (unsigned i = 0; i < n; ++i) {
      if (!queue.bounded_push(items[i])) return i;
    }
    return n;
  }
  unsigned dequeue(void** items, unsigned n) noexcept {
    for (unsigned i = 0; i < n; ++i) {
      if (!queue.pop(items[i])) return i;
    }
    return n;
  }
};

}  // namespace

void add_boost_queues(contestants& to) {
  to.push_back(make_queue<boost_single>("boost spsc_queue", "single"));
  to.push_back(make_queue<boost_many>("boost queue", "many"));
}

}  // namespace bench
