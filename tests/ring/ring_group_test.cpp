// SPDX-License-Identifier: BSD-3-Clause
// Rings in a group: names, listings, types, doorbells and private rings, between processes.
#include <mpnet/error.hpp>
#include <mpnet/group_view.hpp>
#include <mpnet/pool.hpp>
#include <mpnet/ring.hpp>
#include <mpnet/ring_view.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <thread>
#include <utility>

#include "mem/conductor.hpp"
#include "support/child.hpp"
#include "support/pool_group.hpp"

using namespace mpnet;
using test::pool_group;

namespace {

struct parcel {
  char text[64];
};

template <class Call>
errc refusal(const Call& call) {
  try {
    call();
  } catch (const error& e) {
    return e.kind();
  }
  return errc{};
}

/// Two members: `other` runs in a second process once `made` was notified here.
struct two_members {
  std::string prefix;
  test::signal_pipe made{}, done{};
  test::child other;
  two_members(const char* name, const std::function<int(group&, two_members&)>& run)
      : prefix(test::unique_prefix(name)), other([this, &run] {
          if (made.wait() == 0) return 98;
          group g{pool_group(prefix, process_type::secondary)};
          return run(g, *this);
        }) {}
};

template <std::size_t Words>
struct sized {
  std::array<std::uint32_t, Words> words{};
  friend bool operator==(const sized&, const sized&) = default;
};

template <std::size_t Words>
std::string name_of_size() {
  return "of " + std::to_string(4 * Words);
}

template <std::size_t Words>
bool exactly_full(group& g) {
  const auto r = ring<sized<Words>>::create(g, name_of_size<Words>(), {.capacity = 5});
  sized<Words> value;
  std::size_t count = 0;
  for (value.words.fill(7); r.enqueue(value); value.words.fill(7 + static_cast<std::uint32_t>(count))) ++count;
  return count == 5 && r.approx_full();
}

template <std::size_t Words>
bool drained(group& g) {
  const auto r = ring<sized<Words>>::attach(g, name_of_size<Words>());
  sized<Words> value, expected;
  for (std::uint32_t i = 0; i < 5; ++i) {
    expected.words.fill(7 + i);
    if (!r.dequeue(value) || value != expected) return false;
  }
  return !r.dequeue(value);
}

}  // namespace

TEST_CASE("rings are found by name, listed and destroyed by any member", "[ring][group]") {
  two_members all{
      "ring", [](group& g, two_members& m) {
        const auto first = ring<std::uint64_t>::attach(g, "first");
        if (first.dequeue() != 42u || first.name(g) != "first") return 1;
        if (refusal([&] { (void)ring<std::uint64_t>::create(g, "first", {.capacity = 4}); }) != errc::exists) return 2;
        if (ring<std::uint64_t>::create_or_attach(g, "first", {.capacity = 4}) != first) return 3;
        const auto second = ring<std::uint32_t>::create(
            g, "second", {.capacity = 3, .producers = ring_sync::single, .consumers = ring_sync::single});
        if (!second.enqueue(1)) return 4;
        m.done.notify();
        if (m.made.wait() == 0) return 5;
        ring<std::uint64_t>::destroy(g, first);
        return ring<std::uint64_t>::lookup(g, "first") ? 6 : 0;
      }};
  group g{pool_group(all.prefix)};
  const auto first = ring<std::uint64_t>::create(g, "first", {.capacity = 9});
  REQUIRE(first.enqueue(42));
  CHECK_FALSE(ring<std::uint64_t>::lookup(g, "second"));
  all.made.notify();
  REQUIRE(all.done.wait() != 0);
  const auto rings = list_rings(g);
  REQUIRE(rings.size() == 2);
  CHECK(rings[0].name == "first");
  CHECK(rings[0].capacity == 9);
  CHECK(rings[0].approx_count == 0);
  CHECK(rings[1].name == "second");
  CHECK(rings[1].approx_count == 1);
  CHECK(rings[1].element_size_bytes == 4);
  CHECK(rings[1].producers == ring_sync::single);
  all.made.notify();
  CHECK(all.other.wait() == 0);
  CHECK_FALSE(ring<std::uint64_t>::lookup(g, "first"));
  CHECK(refusal([&] { ring<std::uint64_t>::destroy(g, first); }) == errc::not_found);
  CHECK(refusal([&] { (void)ring<std::uint64_t>::attach(g, "first"); }) == errc::not_found);
  CHECK(ring<std::uint32_t>::attach(g, "second").dequeue() == 1u);  // its maker is gone, it stays
}

TEST_CASE("somebody outside the group sees how much lies in a ring, in its lanes too", "[ring][group]") {
  const std::string prefix = test::unique_prefix("view");
  test::signal_pipe made;
  test::child onlooker{[&] {
    if (made.wait() == 0) return 98;
    const auto seen = list_rings(group_view{prefix});
    if (seen.size() != 2 || seen[0].name != "laned") return 1;
    return seen[0].approx_count == 2 && seen[1].approx_count == 3 ? 0 : 2;
  }};
  group g{pool_group(prefix)};
  const auto plain = ring<std::uint32_t>::create(g, "plain", {.capacity = 9});
  const auto laned = ring<std::uint32_t>::create(g, "laned", {.capacity = 9, .producers = ring_sync::many_concurrent});
  for (std::uint32_t i = 0; i < 3; ++i) REQUIRE((plain.enqueue(i) && (i == 2 || laned.enqueue(i))));
  made.notify();
  CHECK(onlooker.wait() == 0);
}

TEST_CASE("a ring is refused to who takes its elements for something else", "[ring][group]") {
  two_members all{"types", [](group& g, two_members&) {
                    const auto refused = [&]<class T>(T) {
                      return refusal([&] { (void)ring<T>::attach(g, "numbers"); }) == errc::incompatible &&
                             refusal([&] { (void)ring<T>::lookup(g, "numbers"); }) == errc::incompatible &&
                             refusal([&] { (void)ring<T>::create_or_attach(g, "numbers", {.capacity = 8}); }) ==
                                 errc::incompatible;
                    };
                    if (!refused(std::uint32_t{}) || !refused(std::int64_t{}) || !refused(sized<2>{})) return 1;
                    if (!refused(static_cast<parcel*>(nullptr)) || !refused(unowned<parcel*>{})) return 2;
                    return ring<std::uint64_t>::attach(g, "numbers").dequeue() == 1u ? 0 : 3;
                  }};
  group g{pool_group(all.prefix)};
  const auto numbers = ring<std::uint64_t>::create(g, "numbers", {.capacity = 8});
  REQUIRE(numbers.enqueue(1));
  all.made.notify();
  CHECK(all.other.wait() == 0);
}

TEST_CASE("elements of every size pass between processes, exactly as many as the capacity says", "[ring][group]") {
  const auto sizes = std::make_index_sequence<16>{};
  two_members all{"sizes", [&](group& g, two_members&) {
                    return [&]<std::size_t... I>(std::index_sequence<I...>) {
                      return (drained<I + 1>(g) && ...) ? 0 : 1;
                    }
                    (sizes);
                  }};
  group g{pool_group(all.prefix)};
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    CHECK((exactly_full<I + 1>(g) && ...));
  }
  (sizes);
  all.made.notify();
  CHECK(all.other.wait() == 0);
}

TEST_CASE("a consumer in another process sleeps at the doorbell until something comes", "[ring][group]") {
  constexpr std::uint32_t rounds = 200;
  two_members all{"bell", [](group& g, two_members&) {
                    const auto there = ring<std::uint32_t>::attach(g, "there");
                    const auto back = ring<std::uint32_t>::attach(g, "back");
                    std::uint32_t value = 0;
                    for (std::uint32_t i = 0; i < rounds; ++i) {
                      if (!there.wait(std::chrono::seconds{20}) || !there.dequeue(value)) return 1;
                      if (!back.enqueue(value + 1)) return 2;
                    }
                    return there.wait(std::chrono::milliseconds{5}) ? 3 : 0;
                  }};
  group g{pool_group(all.prefix)};
  const auto there = ring<std::uint32_t>::create(g, "there", {.capacity = 4, .doorbell = true});
  const auto back = ring<std::uint32_t>::create(g, "back", {.capacity = 4, .doorbell = true});
  all.made.notify();
  std::uint32_t value = 0;
  for (std::uint32_t i = 0; i < rounds; ++i) {
    REQUIRE(there.enqueue(i));
    REQUIRE(back.wait(std::chrono::seconds{20}));
    REQUIRE(back.dequeue(value));
    REQUIRE(value == i + 1);
  }
  CHECK(all.other.wait() == 0);
}

TEST_CASE("a ring destroyed and made again is another one, also to who still has a handle on the first",
          "[ring][group]") {
  two_members all{"again", [](group& g, two_members& m) {
                    const auto held = ring<std::uint64_t>::attach(g, "r");
                    m.done.notify();
                    if (!held || m.made.wait() == 0) return 1;
                    const auto now = ring<std::uint64_t>::attach(g, "r");
                    return now.capacity() == 30 && now.dequeue() == 2u && !now.dequeue() ? 0 : 2;  // leaves with both
                  }};
  group g{pool_group(all.prefix)};
  auto r = ring<std::uint64_t>::create(g, "r", {.capacity = 10});
  REQUIRE(r.enqueue(1));
  all.made.notify();
  REQUIRE(all.done.wait() != 0);
  ring<std::uint64_t>::destroy(g, r);
  r = ring<std::uint64_t>::create(g, "r", {.capacity = 30});
  REQUIRE(r.enqueue(2));
  all.made.notify();
  CHECK(all.other.wait() == 0);
  CHECK(r.approx_empty());
  CHECK(list_rings(g).size() == 1);
}

TEST_CASE("a private ring is its process's alone, goes empty when that dies, and serves the next", "[ring][group]") {
  two_members all{"private", [](group& g, two_members& m) {
                    const auto parcels = pool<parcel>::attach(g, "parcels");
                    const auto mine =
                        ring<parcel*>::create(g, "mine", {.capacity = 16, .shared_between_processes = false});
                    for (int i = 0; i < 10; ++i)
                      if (!mine.enqueue(parcels.get())) return 1;
                    if (parcels.stats().in_use != 10) return 2;
                    m.done.notify();
                    for (;;) ::pause();
                  }};
  group g{pool_group(all.prefix)};
  const auto parcels = pool<parcel>::create(g, "parcels", {.object_count = 100});
  all.made.notify();
  REQUIRE(all.done.wait() != 0);
  CHECK(refusal([&] { (void)ring<parcel*>::attach(g, "mine"); }) == errc::busy);
  const auto listed = list_rings(g);
  REQUIRE(listed.size() == 1);
  CHECK_FALSE(listed[0].shared_between_processes);
  CHECK(listed[0].pool_objects);
  all.other.kill(SIGKILL);
  CHECK(all.other.wait() == 1000 + SIGKILL);
  CHECK(mem::recover_dead(g) == 1);
  CHECK(parcels.stats().available == 100);
  const auto mine = ring<parcel*>::create_or_attach(g, "mine", {.capacity = 16, .shared_between_processes = false});
  CHECK(mine.approx_empty());
  std::size_t fits = 0;
  for (parcel* p = parcels.get(); p != nullptr && mine.enqueue(p); p = parcels.get()) ++fits;
  CHECK(fits == 16);
  ring<parcel*>::destroy(g, mine);
}

TEST_CASE("a thread that ends in order, or a process that leaves, with a claim open holds up nobody", "[ring][group]") {
  two_members pair{"open", [](group& g, two_members& m) {
                     static_cast<void>(ring<int>::attach(g, "turns").reserve(1));
                     g.leave();
                     m.done.notify();
                     return 0;
                   }};
  group g{pool_group(pair.prefix)};
  const auto turns = ring<int>::create(g, "turns", {.capacity = 8});
  const auto goes_on = [&turns](int value) {
    int got = 0;
    return turns.enqueue(value) && turns.dequeue(got) && got == value;
  };
  CHECK(goes_on(0));
  std::thread{[&turns] { static_cast<void>(turns.reserve(1)); }}.join();
  CHECK(goes_on(1));
  pair.made.notify();
  REQUIRE(pair.done.wait() != 0);
  CHECK(goes_on(2));
  CHECK(pair.other.wait() == 0);
}
