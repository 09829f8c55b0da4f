// SPDX-License-Identifier: BSD-3-Clause
// Deaths that come at bad moments: crashes of which some thread hears nothing, pages that were on their way.
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <mpnet/heap.hpp>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <thread>

#include "mem/conductor.hpp"
#include "mem/extents.hpp"
#include "mem/fault.hpp"
#include "mem/local_state.hpp"
#include "mem/membership.hpp"
#include "support/child.hpp"

using namespace mpnet;
using test::child;
using test::signal_pipe;

namespace {

group_options small(const std::string& prefix, process_type type = process_type::primary) {
  return {.file_prefix = prefix, .type = type, .no_huge = type == process_type::primary};
}

const signal_pipe* verdict = nullptr;
const detail::lease* crashing = nullptr;

void tell_whether_declared_dead() noexcept {
  verdict->notify(detail::is_dead(*crashing) ? 'd' : 'a');
}

/// A thread that hears no signal, and two that crash at the same moment.
[[noreturn]] void crash_twice_beside_a_deaf_thread() {
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::atomic<int> ready{0};
  const auto crash = [&ready] {
    for (++ready; ready < 3;) std::this_thread::yield();
    ::raise(SIGABRT);
  };
  std::thread deaf{[&ready] {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    for (++ready;;) ::pause();
  }};
  std::thread other{crash};
  crash();
  for (;;) ::pause();
}

std::uint64_t file_bytes(const group& g) {
  struct stat st {};
  REQUIRE(::fstat(g.local().map->segment_fd(0), &st) == 0);
  return static_cast<std::uint64_t>(st.st_blocks) * 512;
}

}  // namespace

TEST_CASE("group: a crash is not declared while some thread of the process may still run", "[mem][crash]") {
#if defined(MPNET_TSAN)
  WARN("SKIP: ThreadSanitizer delivers signals in its own time, and knows threads of a forked child badly");
  return;
#endif
  const std::string prefix = test::unique_prefix("deaf");
  const signal_pipe go;
  const signal_pipe told;
  child dying{[&] {
    if (go.wait() == 0) return 1;
    ::signal(SIGABRT, SIG_DFL);  // the test framework's handler would be called instead of ours
    auto& g = *new group{small(prefix, process_type::secondary)};
    crashing = &detail::take_lease(g, lcore{4});
    verdict = &told;
    mem::at_crash(tell_whether_declared_dead);
    crash_twice_beside_a_deaf_thread();
  }};
  group g{small(prefix)};
  go.notify();
  CHECK(told.wait() == 'a');
  CHECK(dying.wait() == 1000 + SIGABRT);
  CHECK(mem::recover_dead(g) == 1);
  CHECK(g.control().leases[4].state == detail::lease_free);
}

TEST_CASE("extents: members look again at granules whose withdrawal a death has undone", "[mem][crash]") {
  const std::string prefix = test::unique_prefix("undone");
  const signal_pipe go;
  const signal_pipe withdrawn;
  child dying{[&] {
    if (go.wait() == 0) return 1;
    group g{small(prefix, process_type::secondary)};
    mem::transaction tx{g};
    mem::withdraw_granules(tx, 0, 1, 1);
    withdrawn.notify();
    return go.wait() != 0 ? 0 : 1;
  }};
  group g{small(prefix)};
  auto* const block = static_cast<char*>(allocate(g, 8U << 20));
  char* const inside = reinterpret_cast<char*>(g.base_address() + g.control().segments[0].window_offset + (3U << 20));
  REQUIRE((inside > block && inside < block + (8U << 20)));
  *inside = 'x';
  go.notify();
  REQUIRE(withdrawn.wait() != 0);
  g.local().map->sync_extents();  // closes the granule
  dying.kill(SIGKILL);
  REQUIRE(dying.wait() == 1000 + SIGKILL);
  CHECK(mem::recover_dead(g) == 1);
  CHECK(block_size(g, block) == 8U << 20);
  // A system call, because it finds closed memory where a plain load would be helped by the fault handler.
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  CHECK(::write(ends[1], inside, 1) == 1);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("extents: pages that a failed growth had got go back before another place is tried", "[mem]") {
  const std::string prefix = test::unique_prefix("settle");
  char dir[] = "/tmp/mpnet-settle-XXXXXX";
  REQUIRE(::mkdtemp(dir) != nullptr);
  child apart{[&] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", dir, "tmpfs", 0, "size=16m,mode=0700") != 0) {
      return 77;
    }
    ::setenv("RUNTIME_DIRECTORY", dir, 1);
    group g{small(prefix)};
    {
      mem::transaction tx{g};
      try {
        mem::commit_granules(tx, 0, 8, 32);
        return 2;
      } catch (const error& e) {
        if (e.kind() != errc::no_memory) return 3;
      }
      mem::commit_granules(tx, 0, 0, 1);
      if (file_bytes(g) != g.control().segments[0].granule_bytes) return 4;
    }
    return file_bytes(g) == 0 ? 0 : 5;
  }};
  const int code = apart.wait();
  ::rmdir(dir);
  if (code == 77) {
    WARN("SKIP: no mount namespace to be had");
    return;
  }
  CHECK(code == 0);
}
