// SPDX-License-Identifier: BSD-3-Clause
// Starting, stopping and sweeping queues: control path.
#include "igb_queues.hpp"

#include <cstring>

namespace mpnet::nic::igb {
namespace {

void set_state(std::atomic<std::uint32_t>& word, queue_state s) noexcept {
  // Release: the indexes were written before; read by recovery after this process's death.
  word.store(static_cast<std::uint32_t>(s), std::memory_order_release);
}

queue_state state_of(const std::atomic<std::uint32_t>& word) noexcept {
  // Acquire: as the stores in set_state by a process that is dead now, ordered by the news of its death.
  return static_cast<queue_state>(word.load(std::memory_order_acquire));
}

template <class Queue>
void visit_range(const Queue& q, std::uint32_t from, std::uint32_t to, const std::function<void(void*)>& visit) {
  if (q.slots == nullptr || state_of(q.state) == queue_state::stopped) return;
  for (std::uint32_t i = from; i != to; i = (i + 1) & (q.descriptor_count - 1)) {
    if (q.slots[i] != nullptr) visit(q.slots[i]);
  }
}

template <class Queue>
bool quiet(const hw& h, unsigned index, Queue& q, bool (*halt)(const hw&, unsigned) noexcept) noexcept {
  if (state_of(q.state) == queue_state::stopped) return true;
  if (!halt(h, index)) {
    set_state(q.state, queue_state::quarantined);
    return false;
  }
  return true;
}

}  // namespace

void start(const hw& h, unsigned index, rx_context& c, std::uint64_t ring_iova) {
  rx_queue& q = *c.queue;
  std::memset(static_cast<void*>(q.ring), 0, q.descriptor_count * sizeof(rx_desc));
  // Relaxed: ordered by set_state.
  q.next.store(0, std::memory_order_relaxed);
  q.posted.store(0, std::memory_order_relaxed);
  q.skipping = 0;
  // 31 descriptors always stay without a buffer.  Two batches a doorbell where the ring has plenty: each doorbell is a
  // write across the bus.
  c.refill_room = c.mask + 1 >= 8 * refill_batch ? 3 * refill_batch - 1 : 2 * refill_batch - 1;
  set_state(q.state, queue_state::running);  // before the device is, so that a death in between stops it
  start_rx_queue(h, index,
                 {.ring_iova = ring_iova, .descriptor_count = q.descriptor_count, .buffer_bytes = c.buffer_bytes});
  refill(c);
}

void start(const hw& h, unsigned index, tx_context_local& c, std::uint64_t ring_iova) {
  tx_queue& q = *c.queue;
  std::memset(static_cast<void*>(q.ring), 0, q.descriptor_count * sizeof(tx_desc));
  // Relaxed: ordered by set_state.
  q.tail.store(0, std::memory_order_relaxed);
  q.clean.store(0, std::memory_order_relaxed);
  c.last_valid = false;
  set_state(q.state, queue_state::running);
  start_tx_queue(h, index, {.ring_iova = ring_iova, .descriptor_count = q.descriptor_count});
}

bool stop(const hw& h, unsigned index, rx_queue& q) noexcept {
  if (!quiet(h, index, q, &stop_rx_queue)) return false;
  // Relaxed: this process is the only writer.
  const std::uint32_t end = q.posted.load(std::memory_order_relaxed);
  for (std::uint32_t i = q.next.load(std::memory_order_relaxed); i != end; i = (i + 1) & (q.descriptor_count - 1)) {
    q.slots[i]->next = nullptr;  // a packet may have been half assembled
    free_segment(q.slots[i]);
    q.next.store(static_cast<std::uint16_t>((i + 1) & (q.descriptor_count - 1)), std::memory_order_relaxed);
  }
  set_state(q.state, queue_state::stopped);
  return true;
}

bool stop(const hw& h, unsigned index, tx_queue& q) noexcept {
  if (!quiet(h, index, q, &stop_tx_queue)) return false;
  // Relaxed: this process is the only writer.
  const std::uint32_t end = q.tail.load(std::memory_order_relaxed);
  for (std::uint32_t i = q.clean.load(std::memory_order_relaxed); i != end; i = (i + 1) & (q.descriptor_count - 1)) {
    if (q.slots[i] != nullptr) {
      if (detail::release_segment(*q.slots[i])) {
        q.slots[i]->next = nullptr;
        detail::pool_put_one(*q.slots[i]->pool, q.slots[i]);
      }
    }
    q.clean.store(static_cast<std::uint16_t>((i + 1) & (q.descriptor_count - 1)), std::memory_order_relaxed);
  }
  set_state(q.state, queue_state::stopped);
  return true;
}

void give_back_aside(rx_context& c) noexcept {
  while (c.aside != nullptr) {
    mbuf* m = c.aside;
    c.aside = m->next;
    m->next = nullptr;
    free_segment(m);
  }
}

bool stop_for_dead(const hw& h, unsigned index, rx_queue& q) noexcept {
  const bool done = quiet(h, index, q, &stop_rx_queue);
  if (done) set_state(q.state, queue_state::stopped);
  return done;
}

bool stop_for_dead(const hw& h, unsigned index, tx_queue& q) noexcept {
  const bool done = quiet(h, index, q, &stop_tx_queue);
  if (done) set_state(q.state, queue_state::stopped);
  return done;
}

void visit_buffers(const rx_queue& q, const std::function<void(void*)>& visit) {
  // Relaxed: the writer is dead, or the answer is a snapshot.
  visit_range(q, q.next.load(std::memory_order_relaxed), q.posted.load(std::memory_order_relaxed), visit);
}

void visit_buffers(const tx_queue& q, const std::function<void(void*)>& visit) {
  // Relaxed: the writer is dead, or the answer is a snapshot.
  visit_range(q, q.clean.load(std::memory_order_relaxed), q.tail.load(std::memory_order_relaxed), visit);
}

}  // namespace mpnet::nic::igb
