// SPDX-License-Identifier: BSD-3-Clause
// The chores that move objects: pools, rings of all kinds, packets.
#include <fmt/format.h>

#include <algorithm>

#include "storm/hands.hpp"

namespace storm {

using namespace mpnet;

void hands::begin(chore c) noexcept {
  position& p = board_.positions[at_];
  // relaxed, all three: signs of life and counts
  p.beats[thread_].fetch_add(1, std::memory_order_relaxed);
  p.doing[thread_].store(static_cast<std::uint32_t>(c), std::memory_order_relaxed);
  board_.chores_done[static_cast<std::size_t>(c)].fetch_add(1, std::memory_order_relaxed);
}

void hands::own(item_span items) noexcept {
  for (item* i : items) i->holder.store(me(), std::memory_order_relaxed);  // relaxed: whoever looks has the object
}

void hands::disown(item_span items) noexcept {
  for (item* i : items) {
    const std::uint64_t holder = i->holder.exchange(0, std::memory_order_relaxed);  // relaxed: as above
    if (holder != me()) broken(fmt::format("an object of {:#x} was {:#x}'s at the same time", me(), holder));
  }
}

std::size_t hands::get(std::size_t n) {
  const std::size_t got = world_.items.get_burst(item_span{items_}.first(n));
  own(item_span{items_}.first(got));
  return got;
}

void hands::put(item_span items) {
  disown(items);
  world_.items.put_bulk(items);
}

void hands::stamp(item_span items) noexcept {
  for (item* i : items) {
    i->stamp = next_stamp();
    i->check = mixed(i->stamp, at_);
    i->payload[0] = at_;
  }
}

void hands::accept(item_span items, order_check* order, const char* where) {
  own(items);
  for (const item* i : items) {
    if (i->check != mixed(i->stamp, i->payload[0])) broken(fmt::format("{}: an object's contents changed", where));
    if (order != nullptr && !order->in_order(i->stamp)) {
      broken(fmt::format("{}: {:#x} came late, or twice", where, i->stamp));
    }
  }
}

void hands::send(const ring<item*>& to, std::size_t n) {
  const std::size_t got = get(n);
  const item_span items = item_span{items_}.first(got);
  stamp(items);
  disown(items);
  std::size_t sent = 0;
  if (any(8) == 0) {  // zero copy; none where a side is many_concurrent
    const auto room = to.reserve(got);
    for (; sent < room.size(); ++sent) room[sent] = items[sent];
    if (!room.empty()) to.commit(sent);
  } else {
    sent = to.enqueue_burst(std::span<item* const>{items.data(), got});
  }
  own(items.subspan(sent));
  put(items.subspan(sent));
}

void hands::receive(const ring<item*>& from, std::size_t n, order_check* order, const char* where) {
  std::size_t got = 0;
  if (any(8) == 0) {
    const auto there = from.peek(n);
    for (; got < there.size(); ++got) items_[got] = there[got];
    if (!there.empty()) from.release(got);
  } else {
    got = from.dequeue_burst(item_span{items_}.first(n));
  }
  accept(item_span{items_}.first(got), order, where);
  put(item_span{items_}.first(got));
}

void hands::do_pool() {
  begin(chore::pool);
  put(item_span{items_}.first(get(1 + any(64))));
  for (int round = 0; round < 30; ++round) {  // more than a cache holds: straight from the backend, and back
    world_.items.put_bulk(item_span{items_}.first(world_.items.get_burst(items_)));
  }
  if (kept_.size() < 32) {
    const std::size_t got = get(1 + any(8));
    kept_.insert(kept_.end(), items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(got));
  } else {
    put(kept_);
    kept_.clear();
  }
}

void hands::do_ring() {
  begin(chore::ring);
  send(world_.many, 1 + any(40));
  receive(world_.many, 1 + any(40), &many_order_, "ring 'many'");
}

void hands::do_lanes() {
  begin(chore::lanes);
  send(world_.lanes, 1 + any(20));
  receive(world_.lanes, 1 + any(20), nullptr, "ring 'lanes'");
}

void hands::do_neighbour() {
  begin(chore::neighbour);
  if (thread_ != 1) return;  // single sides: the worker's
  send(world_.to_right, 1 + any(16));
  receive(world_.from_left, 1 + any(16), &left_order_, "ring from the left");
}

void hands::do_numbers() {
  begin(chore::numbers);
  std::array<std::uint64_t, 16> values;
  for (int round = 0; round < 10; ++round) {
    const std::size_t n = 1 + any(values.size());
    for (std::size_t i = 0; i < n; ++i) values[i] = next_stamp();
    static_cast<void>(world_.numbers.enqueue_burst(std::span{values}.first(n)));
    const std::size_t got = world_.numbers.dequeue_burst(std::span{values}.first(n));
    for (std::size_t i = 0; i < got; ++i) {
      if (!numbers_order_.in_order(values[i])) broken("ring 'numbers': a value came late, or twice");
    }
  }
  if (any(4) == 0) static_cast<void>(world_.numbers.wait(std::chrono::milliseconds{1}));
}

void hands::do_packets() {
  begin(chore::packets);
  std::array<mbuf*, 32> p;
  const std::size_t n = 1 + any(p.size());
  const std::size_t got = world_.packets.alloc_burst(std::span{p}.first(n));
  for (std::size_t i = 0; i + 1 < got; i += 2) {  // chains of a packet and a clone of its neighbour
    if (mbuf* clone = world_.packets.clone(p[i]); clone != nullptr && !p[i + 1]->chain(clone)) free_mbuf(clone);
  }
  const std::size_t sent = world_.wire.enqueue_burst(std::span<mbuf* const>{p.data(), got});
  free_mbufs(std::span{p}.subspan(sent, got - sent));
  free_mbufs(std::span{p}.first(world_.wire.dequeue_burst(std::span{p}.first(n))));
}

void hands::data_chore() {
  switch (any(8)) {
    case 0:
      return do_pool();
    case 1:
    case 2:
      return do_ring();
    case 3:
      return do_lanes();
    case 4:
      return do_neighbour();
    case 5:
      return do_numbers();
    default:
      return do_packets();
  }
}

void hands::nap_or_not() {
  if (any(eager_ ? 256 : 4) != 0) return;
  begin(chore::nothing);
  const timespec nap{0, 1'000'000};
  nanosleep(&nap, nullptr);
}

void hands::work_on_data() {
  while (board_.stop.load(std::memory_order_acquire) == 0) {
    data_chore();
    nap_or_not();
  }
  put(kept_);
  kept_.clear();
}

}  // namespace storm
