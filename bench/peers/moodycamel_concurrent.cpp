// SPDX-License-Identifier: BSD-3-Clause
// moodycamel::ConcurrentQueue with a producer's and a consumer's token for each thread, in bulk.  Its blocks lie on the
// process's heap, so it runs in threads.
#include <concurrentqueue/concurrentqueue.h>

#include "peers/peers.hpp"
#include "queue_kernels.hpp"

#include <new>
#include <optional>

namespace bench {
namespace {

using queue_type = moodycamel::ConcurrentQueue<void*>;
thread_local std::optional<moodycamel::ProducerToken> producer;
thread_local std::optional<moodycamel::ConsumerToken> consumer;
/// Where threads are preempted in the middle of a call, a producer may find no block for ever though hardly anything is
/// in the queue.  After so many refusals in a row it is allowed to allocate one.
constexpr unsigned refusals_max = 10'000;
thread_local unsigned refusals = 0;

struct concurrent {
  using item = void*;
  queue_type queue{8 * (queue_capacity + 1), 8, 8};

  static void format(void* memory) { ::new (memory) concurrent; }
  void join(unsigned) {
    producer.emplace(queue);
    consumer.emplace(queue);
  }
  void leave(unsigned worker) {
    producer.reset();
    consumer.reset();
    if (worker == 0) this->~concurrent();
  }
  unsigned enqueue(void* const* items, unsigned n) noexcept {
    if (queue.try_enqueue_bulk(*producer, items, n)) {
      refusals = 0;
      return n;
    }
    if (++refusals < refusals_max) return 0;
    refusals = 0;
    return queue.enqueue_bulk(*producer, items, n) ? n : 0;
  }
  unsigned dequeue(void** items, unsigned n) noexcept {
    return static_cast<unsigned>(queue.try_dequeue_bulk(*consumer, items, n));
  }
};

}  // namespace

void add_moodycamel_concurrent(contestants& to) {
  to.push_back(make_queue<concurrent>("moodycamel Concurrent", "many", false));
}

}  // namespace bench
