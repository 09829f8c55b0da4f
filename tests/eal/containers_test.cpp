// SPDX-License-Identifier: BSD-3-Clause
// Members in PID and mount namespaces of their own, where no hugetlbfs is mounted: they share memory, objects and
// messages with the others, and who is dead is told right across namespaces.
#include <fmt/format.h>
#include <mpnet/group_view.hpp>
#include <mpnet/mpnet.hpp>
#include <mpnet/process.hpp>

#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "child.hpp"
#include "death_probe.hpp"
#include "survivor.hpp"

using namespace eal_test;
using namespace mpnet;

namespace {

/// Runs a command as process 1 of new PID and mount namespaces without any hugetlbfs.
const words container{"unshare", "-m",           "-p",
                      "-f",      "--mount-proc", "--kill-child",
                      "/bin/sh", "-c",           "umount -a -t hugetlbfs 2>/dev/null; exec \"$@\"",
                      "sh"};

bool containers_work() {
  words command = container;
  for (const char* word : {"/bin/sh", "-c", "test $$ = 1 && ! grep -q hugetlbfs /proc/mounts"})
    command.emplace_back(word);
  child c{command};
  if (c.wait() == 0) return true;
  WARN("SKIP: no namespaces can be made here: " << c.output());
  return false;
}

/// The command of a probe that holds tokens, on the lcores given.
words holder(const survivor& s, const char* ids, const char* how = "leave") {
  return s.victim(how, 0, ids);
}

std::size_t taken(const pool<token>& tokens) {
  const pool_stats s = tokens.stats();
  return s.object_count - s.available - s.in_caches_here;
}

}  // namespace

TEST_CASE("containers: members of three namespaces work together, and each death is one death", "[eal][crash]") {
  if (!containers_work()) return;
  survivor s{survivor::pages::huge};
  child here{holder(s, "1-2")};
  wait_until_ready(here);
  child first{holder(s, "3-4"), container};
  wait_until_ready(first);
  child second{holder(s, "5-6"), container};
  CHECK(second.read_until("no tokens"));  // those are for two only
  CHECK(second.wait() == 1);

  auto members = list_processes(s.get());
  REQUIRE(members.size() == 3);
  CHECK(members[2].pid == 1);  // as its own namespace numbers it
  CHECK(taken(s.tokens()) == token_count);

  // Nobody takes the living for dead, whatever their numbers.
  for (int i = 0; i < 10; ++i) CHECK(recover_dead(s.get()) == 0);
  CHECK(list_recoveries(s.get()).empty());

  first.signal(SIGKILL);  // --kill-child: process 1 of the namespace goes with it
  REQUIRE(eventually([&] { return s.recovery_of(1).has_value(); }));
  CHECK(s.recovery_of(1)->objects_returned >= token_count / 2);
  CHECK(eventually([&] { return list_processes(s.get()).size() == 2; }));
  CHECK_FALSE(s.recovery_of(here.pid()).has_value());

  // Process 1 of the next container takes the same lcores: the number of a dead one's thread is no obstacle.
  child next{holder(s, "3-4"), container};
  wait_until_ready(next);
  here.signal(SIGKILL);
  REQUIRE(eventually([&] { return s.recovery_of(here.pid()).has_value(); }));
  CHECK(list_processes(s.get()).size() == 2);
  next.close_input();
  CHECK(next.wait() == 0);
  CHECK(taken(s.tokens()) == 0);
}

TEST_CASE("containers: messages reach a member in another namespace and come back", "[eal]") {
  if (!containers_work()) return;
  survivor s{survivor::pages::huge};
  child c{s.probe(EAL_PROBE, "1", {"--", "hold"}), container};
  REQUIRE(c.read_until("ready\n"));
  const auto answer = s.get().messages().call({.name = "greet", .data = ipc::bytes_of("hello"), .fds = {}}, lcore{1},
                                              std::chrono::seconds{30});
  CHECK(answer.text() == "hello yourself");
  c.close_input();
  CHECK(c.wait() == 0);
}

TEST_CASE("containers: a member in a container recovers those outside, and may be the last to leave", "[eal][crash]") {
  if (!containers_work()) return;
  const std::string prefix = fmt::format("outlive-{}", getpid());
  const auto command = [&](const char* ids, const words& more) {
    words w{EAL_PROBE, fmt::format("--lcores=({})@{}", ids, thread_processors().front()), "--no-pci",
            "--file-prefix=" + prefix, "--log-level=error"};
    w.insert(w.end(), more.begin(), more.end());
    return w;
  };
  child primary{command("0", {"--", "hold"})};
  REQUIRE(primary.read_until("ready\n"));
  child inside{command("1", {"--proc-type=secondary", "--", "events"}), container};
  REQUIRE(inside.read_until("ready\n"));

  child rival{command("2", {"--", "hold"}), container};  // a second primary, which cannot see the first one's number
  CHECK(rival.wait() == 1);
  CHECK_THAT(rival.output(), Catch::Contains("is its primary") && Catch::Contains("eal_probe"));

  primary.signal(SIGKILL);
  REQUIRE(inside.read_until("nobody holds the primary role\n"));
  REQUIRE(inside.read_until(fmt::format("event: process {} is recovered: ", primary.pid())));
  inside.close_input();
  CHECK(inside.wait() == 0);
  const auto left = list_groups();
  CHECK(std::find(left.begin(), left.end(), prefix) == left.end());
  // It could not remove the hugepages' files, but it could empty them.
  for (const auto& mount : {std::filesystem::path{"/dev/hugepages"}}) {
    std::error_code failed;
    for (const auto& file : std::filesystem::directory_iterator{mount, failed}) {
      if (file.path().filename().string().find(prefix) == std::string::npos) continue;
      CHECK(file.file_size() == 0);
      std::filesystem::remove(file.path());
    }
  }
}
