// SPDX-License-Identifier: BSD-3-Clause
// Lcores of one process: launching, results, states, registration, affinity.
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <mpnet/mpnet.hpp>
#include <mpnet/process.hpp>

#include <atomic>
#include <catch2/catch.hpp>
#include <latch>
#include <set>
#include <thread>

#include "support/sanitized.hpp"

using namespace mpnet;

namespace {

std::vector<std::string> arguments(const std::string& ids) {
  static int count = 0;
  return {fmt::format("--lcores=({})@{}", ids, thread_processors().front()), "--no-huge", "--log-level=error",
          fmt::format("--file-prefix=launch-{}-{}", getpid(), ++count)};
}

constexpr auto npos = std::string::npos;

template <class F>
std::string complaint(F&& f) {
  try {
    f();
  } catch (const error& e) {
    return e.what();
  }
  return "no complaint";
}

/// Registers the calling thread; the object is never destroyed.
void leave_registered(group& g, lcore id) {
  alignas(lcore_registration) static thread_local std::byte storage[sizeof(lcore_registration)];
  new (storage) lcore_registration{g, {.id = id, .processors = {}}};
}

}  // namespace

TEST_CASE("a process knows its lcores", "[eal]") {
  eal e{arguments("1,4-5")};
  CHECK(e.lcore_count() == 3);
  CHECK(e.main_lcore() == lcore{1});
  CHECK(lcore_id() == lcore{1});
  CHECK(e.next_lcore() == lcore{4});
  CHECK(e.next_lcore(lcore{4}) == lcore{5});
  CHECK(e.next_lcore(lcore{5}) == no_lcore);
  CHECK(e.workers().size() == 2);
  CHECK(e.is_primary());
}

TEST_CASE("functions run on their lcore again and again, and hand over their results", "[eal]") {
  eal e{arguments("0-2")};
  for (int round = 0; round < 200; ++round) {
    std::atomic<unsigned> seen{0};
    for (const lcore id : e.workers()) {
      e.launch(id, [&, id, round] {
        if (lcore_id() == id) ++seen;
        return round + static_cast<int>(id);
      });
    }
    CHECK(e.wait(lcore{1}) == round + 1);
    CHECK(e.wait(lcore{2}) == round + 2);
    CHECK(seen == 2);
  }
  CHECK(e.wait(lcore{1}) == 0);  // fetched already
}

TEST_CASE("an lcore's state goes from waiting through running to finished, and back", "[eal]") {
  eal e{arguments("0-1")};
  const lcore id = e.next_lcore();
  CHECK(e.state(e.main_lcore()) == lcore_state::running);
  CHECK(e.state(id) == lcore_state::waiting);
  std::latch inside{1};
  std::latch go{1};
  e.launch(id, [&] {
    inside.count_down();
    go.wait();
    return 7;
  });
  inside.wait();
  CHECK(e.state(id) == lcore_state::running);
  CHECK_THAT(complaint([&] { e.launch(id, [] {}); }), Catch::Contains("still runs an earlier function; wait(1) first"));
  CHECK_THAT(complaint([&] { e.launch_all([] { return 0; }); }), Catch::Contains("lcore 1 still runs"));
  go.count_down();
  CHECK(e.wait(id) == 7);
  CHECK(e.state(id) == lcore_state::waiting);
}

TEST_CASE("a function launched on all lcores runs once on each, on the main one where asked", "[eal]") {
  eal e{arguments("0-3")};
  std::mutex lock;
  std::multiset<unsigned> seen;
  const auto note = [&] {
    const std::lock_guard guard{lock};
    seen.insert(static_cast<unsigned>(lcore_id()));
    return lcore_id() == lcore{2} ? 5 : 0;
  };
  e.launch_all(note);
  CHECK(e.wait_all() == 5);
  CHECK(seen == std::multiset<unsigned>{1, 2, 3});
  e.launch_all(note, main_call::call);
  CHECK(e.wait_all() == 5);
  CHECK(seen == std::multiset<unsigned>{0, 1, 1, 2, 2, 3, 3});
}

TEST_CASE("what leaves a function by throwing is handed to who waits", "[eal]") {
  eal e{arguments("0-1")};
  const lcore id = e.next_lcore();
  e.launch(id, []() -> int { throw error{errc::no_memory, "full; empty it"}; });
  CHECK(complaint([&] { e.wait(id); }) == "full; empty it");
  e.launch(id, []() -> int { throw 3; });
  CHECK_THROWS_AS(e.wait(id), int);
  e.launch(id, [] { return 1; });
  CHECK(e.wait(id) == 1);
}

TEST_CASE("launching where it cannot be is refused with the reason", "[eal]") {
  eal e{arguments("0-1")};
  CHECK_THAT(complaint([&] { e.launch(lcore{0}, [] {}); }),
             Catch::Contains("launch on lcore 0: not a worker lcore of this process (they are 1)"));
  CHECK_THAT(complaint([&] { e.launch(lcore{9}, [] {}); }), Catch::Contains("not a worker lcore of this process"));
  CHECK_THAT(complaint([&] { e.launch(e.next_lcore(lcore{1}), [] {}); }), Catch::Contains("-l 0-1"));
  CHECK_THAT(complaint([&] { e.launch(lcore{1}, std::function<int()>{}); }), Catch::Contains("no function given"));
  e.launch(lcore{1}, [&] { return complaint([&] { e.wait(lcore{1}); }).find("wait for itself") != std::string::npos; });
  CHECK(e.wait(lcore{1}) == 1);
}

TEST_CASE("a function that ends its thread is reported instead of waited for", "[eal]") {
  eal e{arguments("0-1")};
  e.launch(lcore{1}, [] { pthread_exit(nullptr); });
  CHECK_THAT(complaint([&] { e.wait(lcore{1}); }), Catch::Contains("its function ended the thread"));
  CHECK_THAT(complaint([&] { e.launch(lcore{1}, [] {}); }), Catch::Contains("ended its thread"));
}

TEST_CASE("leaving restores the main thread and allows another start", "[eal]") {
  const auto before = thread_processors();
  for (int i = 0; i < 3; ++i) {
    eal e{arguments("0-1")};
    CHECK(thread_processors().size() == 1);
    CHECK_THAT(complaint([] { eal second{arguments("5")}; }), Catch::Contains("it runs in this process already"));
    e.launch(lcore{1}, [] {
      wait_for_stop();  // ended by the destructor
    });
  }
  CHECK(thread_processors() == before);
  CHECK(lcore_id() == no_lcore);
  CHECK_FALSE(stop_requested());
}

TEST_CASE("a stop request wakes sleepers and pollers", "[eal]") {
  eal e{arguments("0-1")};
  CHECK_FALSE(wait_for_stop(0));
  pollfd p{stop_fd(), POLLIN, 0};
  CHECK(poll(&p, 1, 0) == 0);
  e.launch(lcore{1}, [] { return wait_for_stop() ? 1 : 0; });
  request_stop();
  CHECK(e.wait(lcore{1}) == 1);
  CHECK(stop_requested());
  CHECK(poll(&p, 1, -1) == 1);
}

TEST_CASE("other threads have no lcore id until they register, pinned or floating", "[eal]") {
  eal e{arguments("0-1")};
  const unsigned processor = thread_processors().front();
  std::thread{[&] {
    CHECK(lcore_id() == no_lcore);
    {
      const lcore_registration floating{e};
      CHECK(floating.id() == lcore_id());
      CHECK(static_cast<unsigned>(floating.id()) > 1);
      CHECK(static_cast<unsigned>(floating.id()) < max_lcores);
      CHECK_THAT(complaint([&] { lcore_registration again{e}; }), Catch::Contains("it is lcore "));
    }
    CHECK(lcore_id() == no_lcore);
    const lcore_registration::options pinned{.id = lcore{7}, .processors = {processor}};
    {
      const lcore_registration r{e, pinned};
      CHECK(lcore_id() == lcore{7});
      CHECK(thread_processors() == std::vector<unsigned>{processor});
      std::thread{[&] {
        CHECK_THAT(complaint([&] {
                     lcore_registration{e, pinned};
                   }),
                   Catch::Contains("lcore 7") && Catch::Contains(std::to_string(getpid())));
      }}.join();
    }
    const lcore_registration again{e, pinned};  // it came back
    CHECK(lcore_id() == lcore{7});
  }}.join();
}

TEST_CASE("registration refuses ids and processors that do not exist", "[eal]") {
  eal e{arguments("0")};
  std::thread{[&] {
    CHECK_THAT(complaint([&] {
                 lcore_registration{e, {.id = lcore{512}, .processors = {}}};
               }),
               Catch::Contains("ids go from 0 to 511"));
    CHECK_THAT(complaint([&] {
                 lcore_registration{e, {.id = {}, .processors = {1023}}};
               }),
               Catch::Contains("it does not exist; this machine has"));
    CHECK_THAT(complaint([&] {
                 lcore_registration{e, {.id = lcore{0}, .processors = {}}};
               }),
               Catch::Contains("lcore 0"));
    CHECK(lcore_id() == no_lcore);
  }}.join();
}

TEST_CASE("a registered thread that ends without giving its id back loses it all the same", "[eal]") {
  eal e{arguments("0")};
  for (int i = 0; i < 3; ++i) {
    std::thread{[&] {
      leave_registered(e, lcore{9});  // never destroyed
      CHECK(lcore_id() == lcore{9});
    }}.join();
  }
}

TEST_CASE("a thread that the kernel ends without a word gives its lcore id back too", "[eal][crash]") {
  if (test::skip_sanitized("the sanitizer wants to see threads end")) return;
  eal e{arguments("0-1")};
  for (int i = 0; i < 3; ++i) {
    std::thread{[&] {
      leave_registered(e, lcore{9});
      syscall(SYS_exit, 0);  // no destructor runs
    }}.join();
  }
}

TEST_CASE("the death of a thread is noticed and repaired though nobody asks for its id", "[eal][crash]") {
  if (test::skip_sanitized("the sanitizer wants to see threads end")) return;
  eal e{arguments("0-1")};
  std::latch told{1};
  const auto id = e.events().subscribe(group_event_kind::recovery_done, [&](const group_event& what) {
    if (what.pid == getpid()) told.count_down();
  });
  std::thread{[&] {
    leave_registered(e, lcore{9});
    syscall(SYS_exit, 0);
  }}.join();
  told.wait();
  e.events().unsubscribe(id);
}

TEST_CASE("the child of a plain fork is told so, and its end disturbs nobody", "[eal][process]") {
  eal e{arguments("0-1")};
  const pid_t pid = fork();
  if (pid == 0) {
    const bool told = complaint([&] { e.launch(lcore{1}, [] {}); }).find("fork of the one that started EAL") != npos &&
                      complaint([&] { lcore_registration{e}; }).find("plain fork()") != npos && lcore_id() == no_lcore;
    e.~eal();  // as a return from its main() would
    _exit(told ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  CHECK(status == 0);
  e.launch(lcore{1}, [] { return lcore_id() == lcore{1} ? 4 : 0; });
  CHECK(e.wait(lcore{1}) == 4);
  CHECK(lcore_id() == lcore{0});
}

TEST_CASE("every lcore id but those in use can be registered, and one more is refused", "[eal]") {
  eal e{arguments("0")};
  std::latch all{max_lcores};
  std::latch leave{1};
  std::mutex lock;
  std::set<lcore> ids;
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < max_lcores; ++i) {  // one more than there are ids left
    threads.emplace_back([&] {
      try {
        const lcore_registration r{e};
        {
          const std::lock_guard guard{lock};
          ids.insert(r.id());
        }
        all.count_down();
        leave.wait();
      } catch (const error& x) {
        if (x.kind() == errc::limit) ++refused;
        all.count_down();
      }
    });
  }
  all.wait();
  leave.count_down();
  for (auto& t : threads) t.join();
  CHECK(ids.size() == max_lcores - 1);
  CHECK(refused == 1);
}

TEST_CASE("a function that still runs while its eal goes may use it to its own end", "[eal]") {
  std::atomic<bool> running{false};
  std::atomic<bool> used{false};
  {
    eal e{arguments("0-1")};
    e.launch(lcore{1}, [&] {
      running = true;
      while (!stop_requested()) std::this_thread::yield();
      usleep(20'000);  // the main thread is inside the destructor by now
      used = e.is_primary() && e.lcore_count() == 2 && list_processes(e).size() == 1;
    });
    while (!running) std::this_thread::yield();
  }
  CHECK(used);
}
