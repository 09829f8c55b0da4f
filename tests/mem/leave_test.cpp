// SPDX-License-Identifier: BSD-3-Clause
// Leaving a group while others do something at the same moment.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <thread>

#include "mem/local_state.hpp"
#include "mem/membership.hpp"
#include "support/child.hpp"
#include "support/small_group.hpp"

using namespace mpnet;
using test::child;
using test::signal_pipe;
using test::small_group;
using namespace std::chrono_literals;

namespace {

/// What must not happen has this long to happen; that it did not is no proof, but without the fix it always does.
constexpr auto a_moment = 30ms;

bool eventually(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace

TEST_CASE("leave: the last member waits for whoever looks at the group just then, and removes the files", "[mem]") {
  const signal_pipe in;
  const signal_pipe out;
  std::string runtime;
  const std::string prefix = test::unique_prefix("last");
  {
    const group g{small_group(prefix)};
    runtime = g.runtime_dir();
  }
  child last{[&] {
    const group g{small_group(prefix)};
    in.notify();
    return out.wait() != 0 ? 0 : 1;
  }};
  REQUIRE(in.wait() != 0);
  {
    // As another does that enters, or leaves at the same time.
    mem::lock_file looking{runtime + "/lock"};
    REQUIRE(looking.try_lock(mem::lock_file::initialise));
    out.notify();
    REQUIRE(eventually([&] { return !mem::anyone_lives(looking); }));
    std::this_thread::sleep_for(a_moment);
  }
  CHECK(last.wait() == 0);
  CHECK_FALSE(std::filesystem::exists(runtime));
}

TEST_CASE("leave: a thread that recovers the dead ends before its process gives its slot back", "[mem]") {
  const signal_pipe go;
  const signal_pipe in;
  const signal_pipe end;
  const std::string prefix = test::unique_prefix("conducts");
  child leaver{[&] {
    if (go.wait() == 0) return 1;
    group g{small_group(prefix, process_type::secondary)};
    const signal_pipe conducting;
    std::thread conductor{[&] {
      const std::lock_guard recovery{g.local().conductor_mutex};  // as while it recovers somebody
      conducting.notify();
      end.wait();
    }};
    conducting.wait();
    in.notify(static_cast<char>('0' + g.local().slot));
    g.leave();
    conductor.join();
    return 0;
  }};
  const group g{small_group(prefix)};
  go.notify();
  const char slot = in.wait();
  REQUIRE(slot != 0);
  const auto state = [&] { return g.control().slots[static_cast<std::size_t>(slot - '0')].state.load(); };
  CHECK(eventually([&] { return state() == mem::slot_leaving; }));
  std::this_thread::sleep_for(a_moment);
  CHECK(state() == mem::slot_leaving);
  end.notify();
  CHECK(leaver.wait() == 0);
  CHECK(state() == mem::slot_free);
}
