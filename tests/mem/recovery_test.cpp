// SPDX-License-Identifier: BSD-3-Clause
// What recovery and others do at the same time: objects that go, lcore ids that are wanted back, half-made zones.
#include <mpnet/detail/recovery.hpp>
#include <mpnet/heap.hpp>
#include <mpnet/memzone.hpp>
#include <mpnet/process.hpp>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "mem/conductor.hpp"
#include "mem/journal.hpp"
#include "mem/local_state.hpp"
#include "mem/membership.hpp"
#include "mem/nudge.hpp"
#include "support/child.hpp"
#include "support/small_group.hpp"

using namespace mpnet;
using test::child;
using test::signal_pipe;
using test::small_group;

namespace {

group_options attaching(const std::string& prefix) {
  return {.file_prefix = prefix, .type = process_type::secondary};
}

/// A member that does `enter`, says so, and waits to be killed.
child start_victim(const std::string& prefix, const signal_pipe& made, const signal_pipe& in,
                   const std::function<void(group&)>& enter) {
  return child{[&, prefix, enter] {
    if (made.wait() == 0) return 1;
    group g{attaching(prefix)};
    enter(g);
    in.notify();
    ::pause();
    return 1;
  }};
}

void kill_and_reap(child& c) {
  c.kill(SIGKILL);
  CHECK(c.wait() == 1000 + SIGKILL);
}

std::atomic<int> repairs_begun{0};
std::atomic<bool> freed{false};
std::atomic<bool> freed_too_early{false};

}  // namespace

TEST_CASE("recovery: an object that is being repaired is not freed under the conductor's hands", "[mem][crash]") {
  const std::string prefix = test::unique_prefix("underhand");
  const signal_pipe made, in;
  child dying = start_victim(prefix, made, in, [](group&) {});
  detail::register_kind({.kind = zone_kind::bench,
                         .name = "test",
                         .repair = [](group&, const zone_info&, const detail::dead_party&, detail::recovery_counts&) {
                           ++repairs_begun;
                           for (int i = 0; i < 100 && !freed; ++i) ::usleep(1000);  // long enough to be overtaken
                           if (freed) freed_too_early = true;
                         }});
  group g{small_group(prefix)};
  const zone_info zone = reserve_zone(g, {.name = "object", .kind = zone_kind::bench, .size_bytes = 4096}).publish();
  made.notify();
  REQUIRE(in.wait() != 0);
  std::thread freer{[&] {
    while (repairs_begun == 0) ::usleep(100);
    free_zone(g, zone);
    freed = true;
  }};
  kill_and_reap(dying);
  CHECK(mem::recover_dead(g) == 1);
  freer.join();
  CHECK(repairs_begun == 1);
  CHECK_FALSE(freed_too_early);
  CHECK_FALSE(find_zone(g, zone_kind::bench, "object"));
  detail::register_kind({.kind = zone_kind::bench, .name = "test"});
}

TEST_CASE("recovery: who was refused it by a pause gets it when the pause ends", "[mem][crash]") {
  const std::string prefix = test::unique_prefix("pause");
  const signal_pipe made, in;
  child dying = start_victim(prefix, made, in, [](group&) {});
  group g{small_group(prefix)};
  made.notify();
  REQUIRE(in.wait() != 0);
  {
    const mem::recovery_pause quiet{g, "test"};
    kill_and_reap(dying);
    std::thread{[&] { CHECK(mem::recover_dead(g) == 0); }}.join();
    CHECK(g.control().recovery_sequence == 0);
  }
  CHECK(g.control().recovery_sequence == 1);
}

TEST_CASE("recovery: a dead holder's lcore id is waited for while another member recovers it", "[mem][crash]") {
  const std::string prefix = test::unique_prefix("wanted");
  const signal_pipe made, in, conducting, end;
  child dying = start_victim(prefix, made, in, [](group& g) { detail::take_lease(g, lcore{7}); });
  child conductor{[&] {
    if (conducting.wait() == 0) return 1;
    group g{attaching(prefix)};
    const mem::recovery_pause at_it{g, "test"};
    in.notify();
    return end.wait() != 0 ? 0 : 1;
  }};
  group g{small_group(prefix)};
  made.notify();
  REQUIRE(in.wait() != 0);
  conducting.notify();
  REQUIRE(in.wait() != 0);
  kill_and_reap(dying);
  std::thread later{[&] {
    ::usleep(50'000);  // so that the id is asked for first
    end.notify();
  }};
  CHECK_NOTHROW(detail::take_lease(g, lcore{7}));
  CHECK(lcore_id() == lcore{7});
  later.join();
  CHECK(conductor.wait() == 0);
  detail::release_lease();
}

TEST_CASE("recovery: a zone that a dead process left half made is no obstacle, recovered or not", "[mem][crash]") {
  const std::string prefix = test::unique_prefix("half");
  const signal_pipe made, in;
  child dying = start_victim(prefix, made, in, [](group& g) {
    new zone_builder{reserve_zone(g, {.name = "half", .size_bytes = 4096})};  // NOLINT: never published
  });
  group g{small_group(prefix)};
  made.notify();
  REQUIRE(in.wait() != 0);
  CHECK_THROWS_AS(reserve_zone(g, {.name = "half", .size_bytes = 64}), error);  // its maker lives
  kill_and_reap(dying);
  const zone_info zone = reserve_zone(g, {.name = "half", .size_bytes = 64}).publish();
  CHECK(mem::recover_dead(g) == 1);
  CHECK(find_zone(g, zone_kind::raw, "half")->size_bytes == 64);
  free_zone(g, zone);
  CHECK(g.memory().block_count == 0);
}

TEST_CASE("control: who is stopped in the middle of a change is named to those that wait", "[mem][process]") {
  const std::string prefix = test::unique_prefix("stopped");
  const signal_pipe made, in;
  child holder = start_victim(prefix, made, in, [&](group& g) {
    mem::transaction tx{g};
    in.notify();
    ::raise(SIGSTOP);
  });
  group g{small_group(prefix)};
  made.notify();
  REQUIRE(in.wait() != 0);
  int status = 0;
  REQUIRE(::waitpid(holder.pid(), &status, WUNTRACED) == holder.pid());
  REQUIRE(WIFSTOPPED(status));
  try {
    (void)allocate(g, 100);
    FAIL("allocated beside a change that is half done");
  } catch (const error& e) {
    CHECK(e.kind() == errc::timed_out);
    CHECK_THAT(e.what(), Catch::Contains("process " + std::to_string(holder.pid()) + " ("));
  }
  holder.kill(SIGCONT);
  CHECK_NOTHROW(allocate(g, 100));
}

TEST_CASE("control: nudging a member that leaves at that moment harms nobody", "[mem][process]") {
  child nudger{[] {
    group g{small_group(test::unique_prefix("nudge"))};
    constexpr std::uint32_t slot = 9;
    g.control().slots[slot].state = mem::slot_live;
    std::atomic<bool> stop{false};
    std::thread visitor{[&] {  // comes and goes
      while (!stop) mem::open_nudge_fifo(g.runtime_dir(), slot).reset();
    }};
    for (int i = 0; i < 20'000; ++i) mem::nudge_members(g.control(), g.runtime_dir(), g.local().slot);
    stop = true;
    visitor.join();
    g.control().slots[slot].state = mem::slot_free;
    return 0;
  }};
  CHECK(nudger.wait() == 0);  // not SIGPIPE
}
