// SPDX-License-Identifier: BSD-3-Clause
// Two groups and a process on its own, on one machine, each with its cap: what befalls one, the others do not notice.
#include <fmt/format.h>
#include <mpnet/group_view.hpp>
#include <mpnet/lcore.hpp>

#include <catch2/catch.hpp>

#include "child.hpp"
#include "support/sanitized.hpp"

using eal_test::child;
using words = std::vector<std::string>;

namespace {

std::string prefix_of(const char* name) {
  return fmt::format("side-{}-{}", name, getpid());
}

words member(const char* name, unsigned id, const words& more) {
  words w{EAL_PROBE,           fmt::format("--lcores={}@{}", id, mpnet::thread_processors().front()),
          "--no-pci",          "--no-huge",
          "--log-level=error", "--file-prefix=" + prefix_of(name)};
  w.insert(w.end(), more.begin(), more.end());
  return w;
}

/// One that is watched: it must go on as it was.
class bystander {
 public:
  explicit bystander(const words& command) : process_(command) {
    REQUIRE(process_.read_until("ready\n"));
    before_ = now();
    INFO(before_);
    REQUIRE(before_.starts_with("fine: "));
  }
  void check() { CHECK(now() == before_); }
  void leave() {
    process_.close_input();
    CHECK(process_.wait() == 0);
  }

 private:
  std::string now() {
    process_.forget_output();
    process_.prompt();
    if (!process_.read_until(" blocks\n")) return "gone: " + process_.output();
    return process_.output();
  }
  child process_;
  std::string before_;
};

}  // namespace

TEST_CASE("side by side: exhaustion, crashes and cleaning up of one group are nothing to the others", "[eal]") {
  if (test::skip_sanitized("the sanitizer takes fatal signals")) return;
  bystander group{member("b", 0, {"-m", "64", "--", "beat"})};
  bystander alone{member("c", 0, {"-m", "32", "--", "beat"})};
  const auto others_are_fine = [&] {
    group.check();
    alone.check();
  };
  {
    child primary{member("a", 0, {"-m", "48", "--", "exhaust"})};
    REQUIRE(primary.read_until("exhausted after "));
    others_are_fine();
    child secondary{member("a", 1, {"--proc-type=secondary", "--", "exhaust"})};
    REQUIRE(secondary.read_until("exhausted after 0 blocks\n"));  // the cap is the group's
    const auto memory = mpnet::group_view{prefix_of("a")}.memory();
    CHECK(memory.committed_bytes <= 48U << 20);
    CHECK(memory.used_bytes > 40U << 20);
    others_are_fine();

    child lost{member("d", 0, {"--proc-type=secondary", "--", "hold"})};  // a prefix that nobody has
    CHECK(lost.wait() == 1);

    primary.signal(SIGSEGV);
    CHECK(primary.wait() == 128 + SIGSEGV);
    others_are_fine();
    CHECK_THROWS(mpnet::clean_group(prefix_of("a")));  // the secondary lives
    secondary.signal(SIGKILL);
    CHECK(secondary.wait() == 128 + SIGKILL);
    others_are_fine();
  }
  CHECK_THROWS(mpnet::clean_group(prefix_of("b")));
  CHECK(mpnet::clean_group(prefix_of("a")));
  others_are_fine();
  child again{member("a", 0, {"-m", "32", "--", "exhaust"})};  // fresh, with another cap
  REQUIRE(again.read_until("exhausted after "));
  others_are_fine();
  again.close_input();
  CHECK(again.wait() == 0);
  others_are_fine();
  group.leave();
  alone.check();
  alone.leave();
}
