// SPDX-License-Identifier: BSD-3-Clause
// Containers in shared memory, between this program and two others.
#include <unistd.h>

#include <catch2/catch.hpp>

#include "containers/table.hpp"
#include "support/child.hpp"
#include "support/small_group.hpp"

using namespace mpnet;
using test::small_group;

namespace {

test::child run(const std::string& program, const std::vector<std::string>& arguments) {
  return test::child{[&] {
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    ::execv(program.c_str(), argv.data());
    return 98;
  }};
}

}  // namespace

TEST_CASE("containers: hash maps and Boost's containers are shared by programs that are built apart",
          "[containers][process]") {
  constexpr std::uint64_t count = 1000;
  const std::string prefix = test::unique_prefix("containers");
  group g{small_group(prefix)};
  containers::table& t = containers::find_table(g);
  CHECK(run(CONTAINER_WRITER, {prefix, std::to_string(count)}).wait() == 0);
  CHECK(run(CONTAINER_READER, {prefix, std::to_string(count), std::to_string(count)}).wait() == 0);
  {
    containers::guard inside{t};
    for (std::uint64_t i = 1; i < count; i += 2) {
      REQUIRE(containers::has(inside, "writer", i));
      REQUIRE(containers::has(inside, "reader", i));
    }
    CHECK(inside->words.size() == count);
    CHECK(inside->boost_words.size() == count);
    CHECK(inside->ordered.size() == count);
    CHECK(inside->flat.size() == count);
    CHECK(inside->list.size() == 2 * count);
  }
  CHECK(t.rebuilt == 0);
  const std::uint64_t used = g.memory().used_bytes;
  t.inside().~contents();
  // What is left is the table itself: containers hold nothing that their destruction does not give back.
  CHECK(g.memory().used_bytes < used);
  CHECK(g.memory().block_count == 1);
  ::new (t.storage) containers::contents;
}

TEST_CASE("containers: two programs change them at once", "[containers][process]") {
  constexpr std::uint64_t count = 500;
  const std::string prefix = test::unique_prefix("containers");
  group g{small_group(prefix)};
  containers::table& t = containers::find_table(g);
  test::child writer = run(CONTAINER_WRITER, {prefix, std::to_string(count)});
  test::child reader = run(CONTAINER_READER, {prefix, std::to_string(count), "0"});
  CHECK(containers::work(g, "test", count) == 0);
  CHECK(writer.wait() == 0);
  CHECK(reader.wait() == 0);
  containers::guard inside{t};
  CHECK(inside->words.size() == 3 * count / 2);
  CHECK(inside->boost_words.size() == 3 * count / 2);
}

TEST_CASE("containers: a program that dies while it changes them is told to the next, who makes them anew",
          "[containers][crash]") {
  const std::string prefix = test::unique_prefix("containers");
  group g{small_group(prefix)};
  containers::table& t = containers::find_table(g);
  CHECK(run(CONTAINER_WRITER, {prefix, "die"}).wait() == 1000 + SIGKILL);
  CHECK(run(CONTAINER_READER, {prefix, "100", "0"}).wait() == 0);
  containers::guard inside{t};
  CHECK(t.rebuilt == 1);
  CHECK(inside->words.size() == 50);
}
