// SPDX-License-Identifier: BSD-3-Clause
// TBB's concurrent_bounded_queue, one object a call.  On the process's heap: threads.
#include <tbb/concurrent_queue.h>

#include "peers/peers.hpp"
#include "queue_kernels.hpp"

#include <new>

namespace bench {
namespace {

struct tbb_bounded {
  using item = void*;
  tbb::concurrent_bounded_queue<void*> queue;

  static void format(void* memory) { (::new (memory) tbb_bounded)->queue.set_capacity(queue_capacity); }
  void leave(unsigned worker) {
    if (worker == 0) this->~tbb_bounded();
  }
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

void add_tbb_queue(contestants& to) {
  to.push_back(make_queue<tbb_bounded>("TBB bounded", "many", false));
}

}  // namespace bench
