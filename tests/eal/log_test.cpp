// SPDX-License-Identifier: BSD-3-Clause
// Which log lines pass.
#include <mpnet/error.hpp>
#include <mpnet/log.hpp>

#include <catch2/catch.hpp>

using namespace mpnet;

TEST_CASE("levels are read as numbers, names and unambiguous beginnings", "[eal]") {
  CHECK(parse_log_level("8") == log_level::debug);
  CHECK(parse_log_level("1") == log_level::emergency);
  CHECK(parse_log_level("Debug") == log_level::debug);
  CHECK(parse_log_level("warn") == log_level::warning);
  for (const char* bad : {"", "0", "9", "e", "loud", "88"}) CHECK_THROWS_AS(parse_log_level(bad), error);
}

TEST_CASE("a level holds for the components that its glob names, the last one that matches wins", "[eal]") {
  set_log_level("", log_level::info);
  CHECK(log_enabled(log_level::info, "EAL"));
  CHECK_FALSE(log_enabled(log_level::debug, "EAL"));

  set_log_level("lib.eal", log_level::debug);
  CHECK(log_enabled(log_level::debug, "EAL"));
  CHECK_FALSE(log_enabled(log_level::debug, "RING"));

  set_log_level("lib.*", log_level::error);
  CHECK_FALSE(log_enabled(log_level::warning, "EAL"));
  CHECK(log_enabled(log_level::error, "RING"));

  set_log_level("ring", log_level::notice);
  CHECK(log_enabled(log_level::notice, "RING"));
  CHECK_FALSE(log_enabled(log_level::notice, "POOL"));

  set_log_level("", log_level::info);  // forgets all of the above
  CHECK(log_enabled(log_level::info, "POOL"));
}
