// SPDX-License-Identifier: BSD-3-Clause
// Entering and leaving groups, roles, what is left behind, and what a death leaves to repair.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <mpnet/error.hpp>
#include <mpnet/heap.hpp>
#include <mpnet/memzone.hpp>

#include <catch2/catch.hpp>
#include <cstring>
#include <thread>

#include "mem/conductor.hpp"
#include "mem/config_file.hpp"
#include "mem/journal.hpp"
#include "mem/local_state.hpp"
#include "mem/membership.hpp"
#include "mem/runtime_dir.hpp"
#include "support/child.hpp"
#include "support/small_group.hpp"

using namespace mpnet;
using test::child;
using test::signal_pipe;
using test::small_group;

namespace {

group_options attaching(const std::string& prefix, process_type type = process_type::secondary) {
  return {.file_prefix = prefix, .type = type};
}

errc kind_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const error& e) {
    INFO(e.what());
    CHECK(std::string{e.what()}.size() > 10);
    return e.kind();
  }
  return errc{};
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

/// A member that lives until it is told to end; `in` answers when it is in.
child start_member(const std::string& prefix, process_type type, const signal_pipe& in, const signal_pipe& end) {
  return child{[&, prefix, type] {
    group g{type == process_type::primary ? small_group(prefix) : attaching(prefix, type)};
    in.notify(g.is_primary() ? 'p' : 's');
    return end.wait(100'000) != 0 ? 0 : 1;  // as long as the test takes, which kills it when it gives up
  }};
}

}  // namespace

TEST_CASE("group: the last member to leave leaves no file behind", "[mem][process]") {
  const std::string prefix = test::unique_prefix("leave");
  std::string runtime;
  std::string shared;
  {
    const group g{small_group(prefix)};
    runtime = g.runtime_dir();
    shared = g.local().shared_dir;
    REQUIRE(exists(shared + "/config"));
  }
  CHECK_FALSE(exists(runtime));
  CHECK_FALSE(exists(shared));
}

TEST_CASE("group: secondary attaches to a living member and sees what the primary wrote", "[mem][process]") {
  const std::string prefix = test::unique_prefix("attach");
  const signal_pipe ready;
  const signal_pipe done;
  child secondary{[&] {
    if (ready.wait() == 0) return 1;
    group g{attaching(prefix)};
    if (g.is_primary()) return 2;
    const auto zone = find_zone(g, zone_kind::raw, "greeting");
    if (!zone || std::strcmp(static_cast<const char*>(zone->address), "hello") != 0) return 3;
    return 0;
  }};
  group g{small_group(prefix)};
  zone_builder builder = reserve_zone(g, {.name = "greeting", .size_bytes = 100});
  std::strcpy(static_cast<char*>(builder.address()), "hello");
  builder.publish();
  ready.notify();
  CHECK(secondary.wait() == 0);
}

TEST_CASE("group: secondary without any member is an error that names the group", "[mem][bad-input]") {
  const std::string prefix = test::unique_prefix("lonely");
  CHECK(kind_of([&] { const group g{attaching(prefix)}; }) == errc::not_found);
  CHECK_FALSE(exists(mem::runtime_root() + "/" + prefix));
}

TEST_CASE("group: a living primary refuses a second one, auto attaches, and takes a vacant role", "[mem][process]") {
  const std::string prefix = test::unique_prefix("roles");
  const signal_pipe in;
  const signal_pipe end;
  child first = start_member(prefix, process_type::primary, in, end);
  REQUIRE(in.wait() == 'p');
  CHECK(kind_of([&] { const group g{small_group(prefix)}; }) == errc::busy);
  child second = start_member(prefix, process_type::automatic, in, end);
  REQUIRE(in.wait() == 's');
  first.kill(SIGKILL);
  CHECK(first.wait() == 1000 + SIGKILL);
  {
    const group g{attaching(prefix, process_type::automatic)};
    CHECK(g.is_primary());
    CHECK(mem::members(g).size() == 2);  // the dead one is buried
  }
  end.notify();
  CHECK(second.wait() == 0);
}

TEST_CASE("group: when nobody lives, stale files go and everything starts fresh", "[mem][process]") {
  const std::string prefix = test::unique_prefix("stale");
  const signal_pipe in;
  const signal_pipe end;
  child first{[&] {
    group g{small_group(prefix)};
    reserve_zone(g, {.name = "old", .size_bytes = 4096}).publish();
    in.notify('p');
    return end.wait() != 0 ? 0 : 1;
  }};
  REQUIRE(in.wait() == 'p');
  first.kill(SIGKILL);
  first.wait();
  group g{small_group(prefix)};
  CHECK(g.is_primary());
  CHECK_FALSE(find_zone(g, zone_kind::raw, "old"));
}

TEST_CASE("group: options that differ from the group's are errors when attaching", "[mem][bad-input]") {
  const std::string prefix = test::unique_prefix("differ");
  const signal_pipe in;
  const signal_pipe end;
  child first = start_member(prefix, process_type::primary, in, end);
  REQUIRE(in.wait() == 'p');
  group_options o = attaching(prefix);
  o.memory_mib = 65;
  CHECK(kind_of([&] { const group g{o}; }) == errc::incompatible);
  o = attaching(prefix);
  o.base_address = 0x3000'0000'0000;
  CHECK(kind_of([&] { const group g{o}; }) == errc::incompatible);
  o = attaching(prefix);
  o.memory_mib = 64;
  {
    const group g{o};
    CHECK_FALSE(g.is_primary());
  }
  end.notify();
  CHECK(first.wait() == 0);
}

TEST_CASE("group: an address range that is taken is an error that says by what", "[mem][bad-input]") {
  void* taken = ::mmap(reinterpret_cast<void*>(mem::default_base + (3ULL << 30)), 4096, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  REQUIRE(taken != MAP_FAILED);
  CHECK(kind_of([] { const group g{small_group(test::unique_prefix("taken"))}; }) == errc::busy);
  ::munmap(taken, 4096);
}

TEST_CASE("group: growth past the cap is a clean error, and what was freed can be had again", "[mem]") {
  group g{small_group(test::unique_prefix("cap"))};
  void* block = allocate(g, 40 << 20);
  CHECK(kind_of([&] { (void)allocate(g, 40 << 20); }) == errc::no_memory);
  deallocate(g, block);
  block = allocate(g, 50 << 20);
  std::memset(block, 1, 50 << 20);
  deallocate(g, block);
  CHECK(g.memory().used_bytes == 0);
  CHECK(g.memory().committed_bytes <= 8U << 20);
}

TEST_CASE("group: memory that one process adds is usable in another without a message", "[mem][process]") {
  const std::string prefix = test::unique_prefix("grow");
  const signal_pipe ready;
  const signal_pipe answer;
  const signal_pipe go;
  child secondary{[&] {
    if (ready.wait() == 0) return 1;
    group g{attaching(prefix)};
    auto** box = static_cast<char**>(find_zone(g, zone_kind::raw, "box")->address);
    answer.notify();
    if (go.wait() == 0) return 2;
    return **box == 42 ? 0 : 3;  // no lookup in between: the fault handler opens the extent
  }};
  group g{small_group(prefix)};
  zone_builder builder = reserve_zone(g, {.name = "box", .size_bytes = 64});
  auto** box = static_cast<char**>(builder.address());
  builder.publish();
  ready.notify();
  REQUIRE(answer.wait() != 0);
  char* block = static_cast<char*>(allocate(g, 16 << 20));
  *block = 42;
  *box = block;
  go.notify();
  CHECK(secondary.wait() == 0);
}

TEST_CASE("group: mlockall takes no page that the group did not", "[mem]") {
  group_options options = small_group(test::unique_prefix("mlock"));
  options.no_huge = false;
  group g{options};
  if (g.control().segments[0].page_bytes == 4096) {
    WARN("SKIP: no free hugepages");
    return;
  }
  (void)allocate(g, 3 << 20);
  if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
    WARN("SKIP: this user may not lock memory");
    return;
  }
  (void)allocate(g, 1 << 20);
  std::uint64_t taken = 0;
  for (std::size_t i = 0; i < g.control().config.segment_count; ++i) {
    struct stat st {};
    REQUIRE(::fstat(g.local().map->segment_fd(i), &st) == 0);
    taken += static_cast<std::uint64_t>(st.st_blocks) * 512;
  }
  ::munlockall();
  CHECK(taken == g.memory().committed_bytes);
}

TEST_CASE("group: a thousand secondaries attach one after another", "[mem][process]") {
  const std::string prefix = test::unique_prefix("thousand");
  const signal_pipe in;
  const signal_pipe end;
  child first = start_member(prefix, process_type::primary, in, end);
  REQUIRE(in.wait() == 'p');
  int attached = 0;
  for (int i = 0; i < 1000; ++i) {
    child secondary{[&] {
      const group g{attaching(prefix)};
      return g.is_primary() ? 1 : 0;
    }};
    attached += secondary.wait() == 0 ? 1 : 0;
  }
  CHECK(attached == 1000);
  end.notify();
  CHECK(first.wait() == 0);
}

TEST_CASE("group: process-lifetime blocks and half-made zones of the dead go back", "[mem][crash]") {
  const std::string prefix = test::unique_prefix("blocks");
  const signal_pipe in;
  const signal_pipe ready;
  child dying{[&] {
    if (ready.wait() == 0) return 1;
    group g{attaching(prefix)};
    (void)allocate(g, 1 << 20, {.life = lifetime::process});
    (void)allocate(g, 100, {.life = lifetime::group});
    new zone_builder{reserve_zone(g, {.name = "half", .size_bytes = 4096})};
    in.notify();
    ::pause();
    return 1;
  }};
  group g{small_group(prefix)};
  ready.notify();
  REQUIRE(in.wait() != 0);
  CHECK(g.memory().block_count == 3);
  dying.kill(SIGKILL);
  dying.wait();
  CHECK(mem::recover_dead(g) == 1);
  CHECK(g.memory().block_count == 1);
  CHECK_NOTHROW(reserve_zone(g, {.name = "half", .size_bytes = 64}));
  const mem::recovery_record& record = g.control().recoveries[0];
  CHECK(record.sequence == 1);
  CHECK(record.zones_freed == 1);
  CHECK(record.blocks_freed == 1);
}

TEST_CASE("group: a dead owner of the control lock is undone by the next", "[mem][crash]") {
  const std::string prefix = test::unique_prefix("undo");
  const signal_pipe in;
  const signal_pipe ready;
  child dying{[&] {
    if (ready.wait() == 0) return 1;
    group g{attaching(prefix)};
    mem::transaction tx{g};
    tx.set(g.control().zones_taken, 77);
    tx.set(g.control().zones_taken, 78);
    in.notify();
    ::pause();
    return 1;
  }};
  group g{small_group(prefix)};
  ready.notify();
  REQUIRE(in.wait() != 0);
  CHECK(g.control().zones_taken == 78);
  dying.kill(SIGKILL);
  dying.wait();
  const mem::transaction tx{g};
  CHECK(g.control().zones_taken == 0);
  CHECK(g.control().undo.count == 0);
}

TEST_CASE("lease: an lcore id is refused to a second taker and free again after its owner's death", "[mem][crash]") {
  const std::string prefix = test::unique_prefix("lease");
  const signal_pipe in;
  const signal_pipe ready;
  child holder{[&] {
    if (ready.wait() == 0) return 1;
    group g{attaching(prefix)};
    detail::take_lease(g, lcore{7});
    in.notify();
    ::pause();
    return 1;
  }};
  group g{small_group(prefix)};
  ready.notify();
  REQUIRE(in.wait() != 0);
  CHECK(kind_of([&] { detail::take_lease(g, lcore{7}); }) == errc::busy);
  CHECK_FALSE(detail::is_dead(detail::lease_table[7]));
  holder.kill(SIGKILL);
  holder.wait();
  CHECK(detail::is_dead(detail::lease_table[7]));
  mem::recover_dead(g);
  detail::take_lease(g, lcore{7});
  CHECK(lcore_id() == lcore{7});
  CHECK_FALSE(detail::is_dead(detail::lease_table[7]));
  detail::release_lease();
  CHECK(lcore_id() == no_lcore);
}

TEST_CASE("lease: a thread gives its lease back when it ends", "[mem]") {
  group g{small_group(test::unique_prefix("thread"))};
  std::thread{[&] { detail::take_lease(g, lcore{3}); }}.join();
  CHECK(detail::lease_table[3].state == detail::lease_free);
  std::thread{[&] {
    CHECK(detail::current_lease() != nullptr);
    CHECK(lcore_id() == no_lcore);
  }}.join();
}

TEST_CASE("group: the child of a plain fork gets a clear error and keeps nobody alive", "[mem][process]") {
  const std::string prefix = test::unique_prefix("fork");
  group g{small_group(prefix)};
  child plain{[&] {
    const errc kind = kind_of([&] { (void)allocate(g, 64); });
    return kind == errc::unsupported && detail::current_lease() == nullptr ? 0 : 1;
  }};
  CHECK(plain.wait() == 0);
  CHECK_NOTHROW(allocate(g, 64));
}

TEST_CASE("group: a crash with a core to dump is known before the dump", "[mem][crash]") {
  const std::string prefix = test::unique_prefix("core");
  const signal_pipe in;
  const signal_pipe ready;
  const signal_pipe crash;
  child crasher{[&] {
    ::signal(SIGSEGV, SIG_DFL);  // the test framework's handler would be chained
    if (ready.wait() == 0) return 1;
    group g{attaching(prefix)};
    detail::take_lease(g, lcore{9});
    std::thread spinner{[] {
      for (;;) ::pause();
    }};
    in.notify();
    if (crash.wait() == 0) return 1;
    ::raise(SIGSEGV);
    return 1;
  }};
  group g{small_group(prefix)};
  ready.notify();
  REQUIRE(in.wait() != 0);
  crash.notify();
  CHECK(crasher.wait() == 1000 + SIGSEGV);
  CHECK(detail::is_dead(detail::lease_table[9]));
  CHECK(mem::recover_dead(g) == 1);
}
