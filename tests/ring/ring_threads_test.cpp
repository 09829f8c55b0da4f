// SPDX-License-Identifier: BSD-3-Clause
// Rings between threads of one process, in every mode; what ThreadSanitizer looks at.
#include <catch2/catch.hpp>
#include <mpnet/ring.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include "fake_leases.hpp"
#include "ring_memory.hpp"

using namespace mpnet;

namespace {

struct load {
  ring_sync producers, consumers;
  std::size_t producer_count, consumer_count;
  bool zero_copy = false;
  bool apart = false;
};

constexpr std::uint64_t per_producer = 20'000;

void produce(const ring<std::uint64_t>& r, std::uint64_t id, bool zero_copy) {
  std::uint64_t next = 0;
  std::array<std::uint64_t, 11> burst{};
  while (next < per_producer) {
    const std::size_t want = std::min<std::uint64_t>(1 + next % burst.size(), per_producer - next);
    std::size_t done = 0;
    if (zero_copy) {
      const auto slots = r.reserve(want);
      for (std::size_t i = 0; i < slots.size(); ++i) slots[i] = id << 32 | (next + i);
      if (!slots.empty()) r.commit(done = slots.size());
    } else {
      for (std::size_t i = 0; i < want; ++i) burst[i] = id << 32 | (next + i);
      done = r.enqueue_burst({burst.data(), want});
    }
    next += done;
    if (done == 0) std::this_thread::yield();
  }
}

// Returns how many objects of each producer were seen, or nothing when one was out of order.
std::vector<std::uint64_t> consume(const ring<std::uint64_t>& r, const load& l, std::atomic<std::uint64_t>& left,
                                   bool& ordered) {
  std::vector<std::uint64_t> seen(l.producer_count), last(l.producer_count);
  std::array<std::uint64_t, 13> burst{};
  while (left.load(std::memory_order_relaxed) != 0) {  // relaxed: a counter
    std::size_t got = 0;
    if (l.zero_copy) {
      const auto slots = r.peek(burst.size());
      got = slots.size();
      for (std::size_t i = 0; i < got; ++i) burst[i] = slots[i];
      if (got != 0) r.release(got);
    } else {
      got = r.dequeue_burst(burst);
    }
    for (std::size_t i = 0; i < got; ++i) {
      const std::uint64_t id = burst[i] >> 32, number = (burst[i] & 0xffffffff) + 1;
      ordered = ordered && number > last[id];
      last[id] = number;
      ++seen[id];
    }
    left.fetch_sub(got, std::memory_order_relaxed);
    if (got == 0) std::this_thread::yield();
  }
  return seen;
}

void run(const load& l) {
  test::fake_leases leases;
  test::ring_memory<std::uint64_t> memory{
      {.capacity = 61, .producers = l.producers, .consumers = l.consumers, .apart = l.apart}};
  const auto r = memory.handle();
  std::atomic<std::uint64_t> left{per_producer * l.producer_count};
  std::vector<std::vector<std::uint64_t>> seen(l.consumer_count);
  std::vector<char> ordered(l.consumer_count, 1);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < l.producer_count; ++i)
    threads.emplace_back([&, i] { leases.hold(i), produce(r, i, l.zero_copy); });
  for (std::size_t i = 0; i < l.consumer_count; ++i)
    threads.emplace_back([&, i] {
      leases.hold(100 + i);
      bool in_order = true;
      seen[i] = consume(r, l, left, in_order);
      ordered[i] = in_order ? 1 : 0;
    });
  for (std::thread& t : threads) t.join();
  for (std::size_t p = 0; p < l.producer_count; ++p) {
    std::uint64_t sum = 0;
    for (const auto& s : seen) sum += s[p];
    CHECK(sum == per_producer);
  }
  for (const char in_order : ordered) CHECK(in_order == 1);
  CHECK(r.approx_empty());
}

}  // namespace

TEST_CASE("threads pass every object exactly once and in their producer's order, in every mode", "[ring][threads]") {
  using enum ring_sync;
  run({single, single, 1, 1});
  run({single, many, 1, 2});
  run({many, single, 2, 1});
  run({many, many, 2, 2});
  run({many_concurrent, many_concurrent, 3, 2});
  run({many_concurrent, single, 3, 1});
  run({single, many_concurrent, 1, 3});
  run({single, single, 1, 1, false, true});
  run({many, many, 2, 2, false, true});
  run({many_concurrent, many_concurrent, 3, 2, false, true});
  run({single, single, 1, 1, true});
  run({many, many, 2, 2, true});
}

namespace {

struct ledger {
  std::atomic<std::uint64_t> put_count{0}, put_sum{0}, taken_count{0}, taken_sum{0};
  // relaxed: counters
  void put(std::uint64_t value) {
    put_count.fetch_add(1, std::memory_order_relaxed), put_sum.fetch_add(value, std::memory_order_relaxed);
  }
  void took(std::uint64_t value) {
    taken_count.fetch_add(1, std::memory_order_relaxed), taken_sum.fetch_add(value, std::memory_order_relaxed);
  }
};

/// Claims places on one side of a ring without lanes, or of one lane, works on them, publishes that or not, and dies
/// without giving the turn back.
template <detail::ring_side Side>
void die_in_a_turn(detail::ring_header& part, bool published, ledger& sums) {
  using S = detail::side_of<Side>;
  std::uint64_t position = 0;
  std::size_t count = 3;
  if (detail::claim_many<Side>(part, position, count, detail::ring_amount::up_to)) {
    auto* slots = reinterpret_cast<std::uint64_t*>(detail::ring_slots(part));
    for (std::size_t i = 0; i < count; ++i) {
      std::uint64_t& slot = slots[(position + i) & (part.slot_count - 1)];
      if constexpr (Side == detail::ring_side::producer) {
        slot = 1'000'000 + i;
        if (published) sums.put(slot);
      } else if (const std::uint64_t value = slot; published) {
        sums.took(value);
      }
    }
    if (published) S::published(part).tail.store(position + count, std::memory_order_release);
  }
  test::fake_leases::die();
}

/// Takes a lane, puts three objects there, publishes that or not, and dies without more.
void die_holding_a_lane(detail::ring_header& h, bool published, ledger& sums) {
  const std::uint64_t key = detail::ring_key(h.producer);
  detail::ring_header& lane = detail::ring_lane(h, detail::ring_choose_lane(h, key));
  std::uint64_t word = 0;
  std::size_t count = 3;
  if (detail::held_lane(h, key, word) == &lane &&
      detail::claim_held(lane, word >> detail::key_bits, count, detail::ring_amount::up_to)) {
    const std::uint64_t position = word >> detail::key_bits;
    auto* slots = reinterpret_cast<std::uint64_t*>(detail::ring_slots(lane));
    for (std::size_t i = 0; i < count; ++i) {
      slots[(position + i) & (lane.slot_count - 1)] = 2'000'000 + i;
      if (published) sums.put(2'000'000 + i);
    }
    if (published) lane.produced.tail.store(position + count, std::memory_order_release);
  }
  test::fake_leases::die();
}

void pass_on(const ring<std::uint64_t>& r, ledger& sums, const std::atomic<bool>& stop, std::uint64_t first) {
  std::array<std::uint64_t, 5> burst{};
  while (!stop.load()) {
    for (std::uint64_t& value : burst) value = first++;
    const std::size_t in = r.enqueue_burst(burst);
    for (std::size_t i = 0; i < in; ++i) sums.put(burst[i]);
    const std::size_t out = r.dequeue_burst(burst);
    for (std::size_t i = 0; i < out; ++i) sums.took(burst[i]);
    if (in + out == 0) std::this_thread::yield();
  }
}

void threads_die(ring_sync mode) {
  constexpr std::size_t deaths = 400, mortal = 200;
  test::fake_leases leases;
  test::ring_memory<std::uint64_t> memory{{.capacity = 13, .producers = mode, .consumers = mode}};
  const auto r = memory.handle();
  ledger sums;
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 3; ++i)
    threads.emplace_back([&, i] { leases.hold(i), pass_on(r, sums, stop, (i + 1) << 32); });
  detail::ring_header& h = *r.header();
  for (std::size_t k = 0; k < deaths; ++k) {
    const bool laned = mode != ring_sync::many;
    detail::ring_header& part = laned ? detail::ring_lane(h, k / 4 % detail::ring_held_lane_count) : h;
    std::thread{[&] {
      leases.take_over(mortal);
      if (k % 2 == 0 && laned)
        die_holding_a_lane(h, k % 4 == 0, sums);
      else if (k % 2 == 0)
        die_in_a_turn<detail::ring_side::producer>(part, k % 4 == 0, sums);
      else
        die_in_a_turn<detail::ring_side::consumer>(part, k % 4 == 1, sums);
    }}.join();
  }
  stop.store(true);
  for (std::thread& t : threads) t.join();
  leases.hold(0);
  std::uint64_t value = 0;
  while (r.dequeue(value)) sums.took(value);
  detail::this_lease = nullptr;
  CHECK(sums.put_count == sums.taken_count);
  CHECK(sums.put_sum == sums.taken_sum);
  std::uint64_t undone = 0, finished = 0;
  const auto count = [&](const detail::ring_header& part) {
    undone += part.repairs.undone_by_waiters, finished += part.repairs.finished_by_waiters;
  };
  count(h);
  for (std::size_t i = 0; mode != ring_sync::many && i < detail::ring_lane_count; ++i) count(detail::ring_lane(h, i));
  CHECK(undone != 0);
  CHECK(finished != 0);
}

}  // namespace

TEST_CASE("threads repair what dying threads leave, all at once, and nothing is lost or doubled", "[ring][threads]") {
  threads_die(ring_sync::many);
  threads_die(ring_sync::many_concurrent);
}

TEST_CASE("a consumer that sleeps at the doorbell is woken, and gives up when its time is over", "[ring][threads]") {
  test::ring_memory<std::uint64_t> memory{{.capacity = 8, .doorbell = true}};
  const auto r = memory.handle();
  REQUIRE_FALSE(r.wait(std::chrono::milliseconds{1}));
  constexpr std::uint64_t count = 300;
  std::uint64_t got = 0;
  std::thread consumer{[&] {
    std::uint64_t value = 0;
    while (got < count) {
      if (!r.wait(std::chrono::milliseconds{-1})) break;
      while (r.dequeue(value)) ++got;
    }
  }};
  for (std::uint64_t i = 0; i < count; ++i)
    while (!r.enqueue(i)) std::this_thread::yield();
  consumer.join();
  REQUIRE(got == count);
}
