// SPDX-License-Identifier: BSD-3-Clause
// Rings with lanes: who puts into which, who gets one when its holder is gone, and that none starves.
#include <catch2/catch.hpp>
#include <mpnet/fixed_ring.hpp>
#include <mpnet/ring.hpp>

#include <array>
#include <bit>
#include <map>
#include <vector>

#include "fake_leases.hpp"
#include "ring_memory.hpp"

using namespace mpnet;

namespace {

constexpr std::size_t capacity = 13;
constexpr ring_options lanes{
    .capacity = capacity, .producers = ring_sync::many_concurrent, .consumers = ring_sync::many_concurrent};
constexpr std::size_t held = detail::ring_held_lane_count;

// Objects say who put them in, and when.
std::uint64_t object(std::size_t who, std::uint64_t number) {
  return who << 32 | number;
}

std::size_t lanes_used(const ring<std::uint64_t>& r) {
  return static_cast<std::size_t>(std::popcount(r.header()->consumer.lanes_used.load()));
}

// Takes everything out; whether each producer's objects came in order, and how many of each.
std::map<std::uint64_t, std::size_t> drain(const ring<std::uint64_t>& r) {
  std::map<std::uint64_t, std::uint64_t> last;
  std::map<std::uint64_t, std::size_t> counts;
  std::uint64_t value = 0;
  while (r.dequeue(value)) {
    const std::uint64_t who = value >> 32, number = value & 0xffffffff;
    CHECK((!last.contains(who) || number > last[who]));
    last[who] = number;
    ++counts[who];
  }
  return counts;
}

}  // namespace

TEST_CASE("a lane goes to the next producer when its holder has died or ended", "[ring][lanes]") {
  test::fake_leases leases;
  test::ring_memory<std::uint64_t> memory{lanes};
  const auto r = memory.handle();
  for (std::uint64_t i = 0; i < 20; ++i) {
    leases.take_over(5);
    REQUIRE(r.enqueue(object(5, i)));
    REQUIRE(lanes_used(r) == 1);
    if (i % 2 == 0) test::fake_leases::die();
    std::uint64_t value = 0;
    leases.hold(100);
    if (i % 4 != 3) continue;
    for (std::uint64_t k = i - 3; k <= i; ++k) {
      REQUIRE(r.dequeue(value));
      REQUIRE(value == object(5, k));  // one lane after all
    }
  }
}

TEST_CASE("producers that find all lanes held share the others, each in its order, also when a lane comes free",
          "[ring][lanes]") {
  test::fake_leases leases;
  test::ring_memory<std::uint64_t> memory{lanes};
  const auto r = memory.handle();
  constexpr std::size_t all = held + 3;
  const auto each_puts = [&](std::uint64_t number, std::size_t first) {
    for (std::size_t who = first; who < all; ++who) {
      leases.hold(who);
      REQUIRE(r.enqueue(object(who, number)));
    }
  };
  each_puts(0, 0);
  CHECK(lanes_used(r) == detail::ring_lane_count);
  each_puts(1, 0);
  leases.hold(0);
  test::fake_leases::die();
  each_puts(2, 1);
  leases.hold(100);
  CHECK(r.approx_count() == 3 * all - 1);
  const auto counts = drain(r);
  for (std::size_t who = 0; who < all; ++who) CHECK(counts.at(who) == (who == 0 ? 2 : 3));
  leases.hold(101);  // a newcomer gets what the dead one had
  REQUIRE(r.enqueue(object(101, 0)));
  std::uint64_t word = 0;
  CHECK(detail::held_lane(*r.header(), detail::ring_key(r.header()->producer), word) ==
        &detail::ring_lane(*r.header(), 0));
}

TEST_CASE("threads without a lease share a lane, and each lane holds its capacity and no more", "[ring][lanes]") {
  test::ring_memory<std::uint64_t> memory{lanes};
  const auto r = memory.handle();
  const auto fill = [&] {
    std::size_t count = 0;
    while (r.enqueue(object(1, count))) ++count;
    return count;
  };
  CHECK(fill() == capacity);
  test::fake_leases leases;
  leases.hold(1);
  CHECK(fill() == capacity);
  CHECK_FALSE(r.enqueue(0));
  leases.hold(2);
  CHECK(fill() == capacity);
  CHECK(r.approx_count() == 3 * capacity);
  std::array<std::uint64_t, capacity + 1> burst{};
  for (int i = 0; i < 3; ++i) CHECK(r.dequeue_burst(burst) == capacity);
  CHECK(r.approx_empty());
  CHECK(r.enqueue_burst(burst) == capacity);
}

TEST_CASE("no lane starves beside one that is never empty, in one ring and for a thread that goes round several",
          "[ring][lanes]") {
  const std::size_t ring_count = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{3});
  test::fake_leases leases;
  std::vector<std::unique_ptr<test::ring_memory<std::uint64_t>>> memories;
  for (std::size_t i = 0; i < ring_count; ++i)
    memories.push_back(std::make_unique<test::ring_memory<std::uint64_t>>(lanes));
  for (const auto& memory : memories) {
    for (std::size_t who = 1; who < 5; ++who) {
      leases.hold(who);
      REQUIRE(memory->handle().enqueue(object(who, 0)));
    }
    leases.hold(0);
    for (std::uint64_t i = 0; i < 5; ++i) REQUIRE(memory->handle().enqueue(object(0, i)));
  }
  std::size_t others = 0, looks = 0;
  std::uint64_t value = 0;
  constexpr std::size_t bound = std::size_t{2} * detail::looks_between_others * detail::ring_lane_count * 5 * 3;
  for (; others < 4 * ring_count && looks < bound; ++looks) {
    const auto r = memories[looks % ring_count]->handle();
    REQUIRE(r.enqueue(object(0, 5 + looks)));
    REQUIRE(r.dequeue(value));
    others += value >> 32 != 0 ? 1 : 0;
  }
  CHECK(others == 4 * ring_count);
}

TEST_CASE("a consumer leaves lanes alone that others empty", "[ring][lanes]") {
  test::fake_leases leases;
  test::ring_memory<std::uint64_t> memory{lanes};
  const auto r = memory.handle();
  detail::ring_look looks[2];
  for (const std::size_t who : {0, 1}) {
    leases.hold(who);
    detail::this_look = {};
    for (std::uint64_t i = 0; i < 3; ++i) REQUIRE(r.enqueue(object(who, i)));
    looks[who] = detail::this_look;
  }
  std::size_t strange = 0;
  for (std::uint64_t i = 3; i < 3'000; ++i) {
    const std::size_t who = i % 2;
    leases.hold(who);
    detail::this_look = looks[who];
    REQUIRE(r.enqueue(object(who, i)));
    std::uint64_t value = 0;
    REQUIRE(r.dequeue(value));
    strange += value >> 32 != who ? 1 : 0;
    looks[who] = detail::this_look;
  }
  CHECK(strange == 0);
}

TEST_CASE("a handle with lanes that is known to the compiler works on the same ring", "[ring][lanes]") {
  using enum ring_sync;
  test::fake_leases leases;
  leases.hold(3);
  test::ring_memory<std::uint64_t> memory{lanes};
  const fixed_ring<std::uint64_t, many_concurrent, many_concurrent> fixed{memory.handle()};
  REQUIRE(fixed.enqueue(7));
  REQUIRE(memory.handle().dequeue() == 7u);
  REQUIRE(memory.handle().enqueue(8));
  std::uint64_t value = 0;
  REQUIRE(fixed.dequeue(value));
  REQUIRE(value == 8);
  REQUIRE_THROWS(fixed_ring<std::uint64_t, many_concurrent, single>{memory.handle()});
  test::ring_memory<std::uint64_t> one{{.capacity = 4, .producers = single, .consumers = many_concurrent}};
  const fixed_ring<std::uint64_t, single, many_concurrent> from_one{one.handle()};
  for (std::size_t who = 3; who < 7; ++who) {
    leases.hold(who);  // the side may be handed over
    REQUIRE(from_one.enqueue(who));
  }
  REQUIRE_FALSE(one.handle().enqueue(9));
  for (std::uint64_t i = 3; i < 7; ++i) REQUIRE((from_one.dequeue(value) && value == i));
}
