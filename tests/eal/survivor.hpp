// SPDX-License-Identifier: BSD-3-Clause
// The test's own process as a member that outlives others, and what must hold after a death.  For DEATH_PROBE.
#pragma once

#include <fmt/format.h>
#include <unistd.h>
#include <mpnet/mpnet.hpp>
#include <mpnet/process.hpp>

#include <catch2/catch.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "child.hpp"
#include "death_probe.hpp"

namespace eal_test {

using namespace mpnet;
using words = std::vector<std::string>;

/// Far more than anything takes; what is waited for comes in milliseconds.
template <class Condition>
bool eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{30};
  while (std::chrono::steady_clock::now() < end) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  return condition();
}

/// This process as the survivor, with what it shares with its victims.
class survivor {
 public:
  enum class pages { small, huge };  // huge: where some are free
  explicit survivor(pages p = pages::small)
      : prefix_(fmt::format("deaths-{}-{}", getpid(), ++count)), eal_(arguments("0", first_options(p))) {
    pool_ = pool<token>::create(eal_, "tokens", {.object_count = token_count, .cache_size = 16});
    ring_ = ring<token*>::create(eal_, "turns", {.capacity = 15});
  }

  /// The command of a victim that dies of `how`.
  [[nodiscard]] words victim(const std::string& how, unsigned mib = 0, const std::string& ids = "1-2") const {
    return probe(DEATH_PROBE, ids, {"--", how, fmt::format("{}", mib)});
  }
  /// The command of any other member.
  [[nodiscard]] words probe(const char* program, const std::string& ids, const words& more) const {
    words w{program};
    for (std::string& a : arguments(ids, {"--proc-type=secondary"})) w.push_back(std::move(a));
    w.insert(w.end(), more.begin(), more.end());
    return w;
  }

  /// What must hold after a victim's death: the ring works, everything is back, and the journal says so.
  void check_all_is_back(pid_t pid) {
    REQUIRE(eventually([&] { return ring_.enqueue(nullptr); }));  // its turn at the ring is over
    token* t = nullptr;
    CHECK(ring_.dequeue(t));
    REQUIRE(eventually([&] { return recovery_of(pid).has_value(); }));
    const recovery_info r = *recovery_of(pid);
    CHECK(r.objects_returned >= token_count / 2);
    CHECK(r.blocks_freed == 1);
    CHECK(pool_.stats().available + pool_.stats().in_caches_here == token_count);
    CHECK(eventually([&] { return list_processes(eal_).size() == 1; }));
    const lcore_set ids = taken_lcores();
    CHECK(ids == lcore_set{lcore{0}});
    UNSCOPED_INFO("recovered in " << r.duration_ns / 1000 << " us");
  }

  using lcore_set = std::vector<lcore>;
  [[nodiscard]] lcore_set taken_lcores() const {
    lcore_set all;
    for (const process_info& p : list_processes(eal_)) all.insert(all.end(), p.lcores.begin(), p.lcores.end());
    return all;
  }
  [[nodiscard]] std::optional<recovery_info> recovery_of(pid_t pid, bool whole = true) {
    for (const recovery_info& r : list_recoveries(eal_)) {
      if (r.pid == pid && r.whole_process == whole) return r;
    }
    return {};
  }
  [[nodiscard]] eal& get() noexcept { return eal_; }
  [[nodiscard]] ring<token*> turns() const noexcept { return ring_; }
  [[nodiscard]] pool<token> tokens() const noexcept { return pool_; }

 private:
  [[nodiscard]] words arguments(const std::string& ids, const words& more) const {
    words w{fmt::format("--lcores=({})@{}", ids, thread_processors().front()), "--no-pci", "--log-level=error",
            "--file-prefix=" + prefix_};
    w.insert(w.end(), more.begin(), more.end());
    return w;
  }

  static words first_options(pages p) { return p == pages::small ? words{"--no-huge"} : words{}; }

  static inline int count = 0;
  const std::string prefix_;
  eal eal_;
  pool<token> pool_;
  ring<token*> ring_;
};

inline void wait_until_ready(child& c) {
  REQUIRE(c.read_until("worker holds\n"));
  REQUIRE(c.read_until("ready\n"));
}

}  // namespace eal_test
