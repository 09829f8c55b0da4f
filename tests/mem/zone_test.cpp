// SPDX-License-Identifier: BSD-3-Clause
// Memzones: names, layouts, limits, makers that race.
#include <mpnet/error.hpp>
#include <mpnet/memzone.hpp>

#include <catch2/catch.hpp>
#include <cstring>
#include <optional>

#include "support/child.hpp"

using namespace mpnet;

namespace {
group_options small(const std::string& prefix) {
  return {.file_prefix = prefix, .type = process_type::primary, .no_huge = true, .memory_mib = 256};
}
}  // namespace

TEST_CASE("zone: reserved, found by name, listed, freed", "[mem]") {
  group g{small(test::unique_prefix("zone"))};
  const zone_info made = reserve_zone(g, {.name = "a", .layout = 5, .size_bytes = 1000, .align_bytes = 4096}).publish();
  CHECK(reinterpret_cast<std::uintptr_t>(made.address) % 4096 == 0);
  CHECK(find_zone(g, zone_kind::raw, "a", 5)->address == made.address);
  CHECK_THROWS_AS(find_zone(g, zone_kind::raw, "a", 6), error);
  CHECK_FALSE(find_zone(g, zone_kind::ring, "a"));
  CHECK_THROWS_AS(reserve_zone(g, {.name = "a", .size_bytes = 10}), error);
  CHECK_NOTHROW(reserve_zone(g, {.name = "a", .kind = zone_kind::ring, .size_bytes = 10}).publish());
  CHECK(list_zones(g).size() == 2);
  CHECK(list_zones(g, zone_kind::ring).size() == 1);
  free_zone(g, made);
  CHECK_FALSE(find_zone(g, zone_kind::raw, "a"));
  CHECK_THROWS_AS(free_zone(g, made), error);
}

TEST_CASE("zone: unpublished zones are invisible and go back", "[mem]") {
  group g{small(test::unique_prefix("builder"))};
  {
    const zone_builder builder = reserve_zone(g, {.name = "b", .size_bytes = 10});
    CHECK_FALSE(find_zone(g, zone_kind::raw, "b"));
  }
  CHECK(g.memory().block_count == 0);
  CHECK_NOTHROW(reserve_zone(g, {.name = "b", .size_bytes = 10}).publish());
}

TEST_CASE("zone: an outdated handle does not free what is being made in its place", "[mem]") {
  group g{small(test::unique_prefix("outdated"))};
  const zone_info old = reserve_zone(g, {.name = "z", .size_bytes = 5001}).publish();
  free_zone(g, old);
  zone_builder next = reserve_zone(g, {.name = "z", .size_bytes = 5001});
  REQUIRE(next.address() == old.address);
  CHECK_THROWS_AS(free_zone(g, old), error);
  const zone_info made = next.publish();
  CHECK(g.memory().used_bytes == 5001);
  free_zone(g, made);
  CHECK(g.memory().used_bytes == 0);
  CHECK(g.memory().block_count == 0);
}

TEST_CASE("zone: a builder whose zone is published, or gone, touches nothing", "[mem]") {
  group g{small(test::unique_prefix("second"))};
  zone_info made;
  {
    zone_builder first = reserve_zone(g, {.name = "z", .size_bytes = 5001});
    zone_builder second{g, first.info()};
    made = first.publish();
    CHECK_THROWS_AS(second.publish(), error);
  }
  REQUIRE(find_zone(g, zone_kind::raw, "z"));
  CHECK(g.memory().used_bytes == 5001);
  {
    zone_builder old{g, made};
    free_zone(g, made);
    zone_builder next = reserve_zone(g, {.name = "y", .size_bytes = 5001});
    REQUIRE(next.address() == made.address);
    CHECK_THROWS_AS(old.publish(), error);
    { const zone_builder gone{std::move(old)}; }
    CHECK_NOTHROW(next.publish());
  }
  CHECK(find_zone(g, zone_kind::raw, "y"));
}

TEST_CASE("zone: a member that was forked does not drop what its parent is making", "[mem][process]") {
  group g{small(test::unique_prefix("inherited"))};
  std::optional<zone_builder> builder{reserve_zone(g, {.name = "z", .size_bytes = 5001})};
  test::child forked{[&] {
    g.enter_again_after_fork("forked");
    bool refused = false;
    try {
      builder->publish();
    } catch (const error& e) {
      refused = e.kind() == errc::not_found;
    }
    builder.reset();
    g.leave();
    return refused ? 0 : 1;
  }};
  REQUIRE(forked.wait() == 0);
  CHECK_FALSE(find_zone(g, zone_kind::raw, "z"));
  CHECK(g.memory().used_bytes == 5001);
  builder->publish();
  CHECK(find_zone(g, zone_kind::raw, "z"));
}

TEST_CASE("zone: bad names and sizes are refused", "[mem][bad-input]") {
  group g{small(test::unique_prefix("names"))};
  const std::string longest(max_name_len, 'x');
  CHECK_NOTHROW(reserve_zone(g, {.name = longest, .size_bytes = 10}).publish());
  CHECK(find_zone(g, zone_kind::raw, longest));
  CHECK_THROWS_AS(reserve_zone(g, {.name = longest + "x", .size_bytes = 10}), error);
  CHECK_THROWS_AS(reserve_zone(g, {.name = "", .size_bytes = 10}), error);
  CHECK_THROWS_AS(reserve_zone(g, {.name = "a/b", .size_bytes = 10}), error);
  CHECK_THROWS_AS(reserve_zone(g, {.name = "c", .size_bytes = 0}), error);
  CHECK_THROWS_AS(reserve_zone(g, {.name = "c", .size_bytes = 10, .align_bytes = 3}), error);
}

TEST_CASE("zone: the directory's limit is a clean error", "[mem][limits]") {
  group g{small(test::unique_prefix("limit"))};
  for (std::size_t i = 0; i < max_zones; ++i) {
    reserve_zone(g, {.name = "z" + std::to_string(i), .size_bytes = 64}).publish();
  }
  CHECK_THROWS_AS(reserve_zone(g, {.name = "one more", .size_bytes = 64}), error);
  CHECK(list_zones(g).size() == max_zones);
}

TEST_CASE("zone: of many who find or reserve one name, one formats it", "[mem][process]") {
  const std::string prefix = test::unique_prefix("race");
  const test::signal_pipe ready;
  std::vector<test::child> children;
  for (int i = 0; i < 6; ++i) {
    children.emplace_back([&] {
      if (ready.wait() == 0) return 1;
      group member{{.file_prefix = prefix, .type = process_type::secondary}};
      const zone_info zone = find_or_reserve_zone(member, {.name = "shared", .size_bytes = 64},
                                                  [](void* p) { *static_cast<int*>(p) += 1; });
      return *static_cast<int*>(zone.address) == 1 ? 0 : 2;
    });
  }
  const group g{small(prefix)};
  for (std::size_t i = 0; i < children.size(); ++i) ready.notify();
  for (test::child& c : children) CHECK(c.wait() == 0);
}
