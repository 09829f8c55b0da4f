// SPDX-License-Identifier: BSD-3-Clause
// What mpnet-bench's actors may rely on.
#include "actors.hpp"

#include <catch2/catch.hpp>

#include <new>

TEST_CASE("an actor knows the clock's rate from its parent, and measures none while it is timed", "[bench]") {
  const bench::arena memory{sizeof(double)};
  auto& childs = *::new (memory.data()) double{};
  bench::actor one{[&] { childs = bench::cycles_per_us(); }};
  REQUIRE(one.finish());
  // Two measurements never agree to the last bit.
  CHECK(childs == bench::cycles_per_us());
}
