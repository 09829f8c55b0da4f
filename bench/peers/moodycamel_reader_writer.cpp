// SPDX-License-Identifier: BSD-3-Clause
// moodycamel::ReaderWriterQueue, one producer and one consumer, one object a call.  On the process's heap: threads.
#include <readerwriterqueue.h>

#include "peers/peers.hpp"
#include "queue_kernels.hpp"

#include <new>

namespace bench {
namespace {

struct reader_writer {
  using item = void*;
  moodycamel::ReaderWriterQueue<void*, 1024> queue{queue_capacity};

  static void format(void* memory) { ::new (memory) reader_writer; }
  void leave(unsigned worker) {
    if (worker == 0) this->~reader_writer();
  }
  unsigned enqueue(void* const* items, unsigned n) noexcept {
    for (unsigned i = 0; i < n; ++i) {
      if (!queue.try_enqueue(items[i])) return i;
    }
    return n;
  }
  unsigned dequeue(void** items, unsigned n) noexcept {
    for (unsigned i = 0; i < n; ++i) {
      if (!queue.try_dequeue(items[i])) return i;
    }
    return n;
  }
};

}  // namespace

void add_moodycamel_reader_writer(contestants& to) {
  to.push_back(make_queue<reader_writer>("moodycamel ReaderWriter", "single", false));
}

}  // namespace bench
