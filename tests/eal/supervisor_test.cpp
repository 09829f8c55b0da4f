// SPDX-License-Identifier: BSD-3-Clause
// Members by fork, and the supervisor that keeps them running: real processes, real deaths.
#include <sys/wait.h>
#include <mpnet/eal.hpp>
#include <mpnet/error.hpp>
#include <mpnet/event.hpp>
#include <mpnet/fork.hpp>
#include <mpnet/heap.hpp>
#include <mpnet/memzone.hpp>
#include <mpnet/process.hpp>
#include <mpnet/ring.hpp>
#include <mpnet/supervisor.hpp>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>
#include <thread>

#include "support/child.hpp"

using namespace mpnet;
using test::signal_pipe;

namespace {

/// GCC 12's sanitizer runtimes do not carry their own locks over a fork of a process with threads: the child may find
/// the allocator locked for ever.  What forks members is tested by the other builds.
bool fork_is_safe() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  std::puts("SKIP: this sanitizer's runtime does not survive a fork of a process with threads");
  return false;
#else
  return true;
#endif
}

std::vector<std::string> eal_arguments(const std::string& prefix) {
  return {"--no-huge", "-m", "64", "--file-prefix", prefix, "--lcores", "0@0", "--no-pci"};
}

/// Runs the test in a process of its own, so that forks, signals and stop requests are its own.
int in_process(const std::function<int(eal&)>& body) {
  if (!fork_is_safe()) return 0;
  const std::string prefix = test::unique_prefix("super");
  test::child process{[&] {
    eal e{eal_arguments(prefix)};
    return body(e);
  }};
  return process.wait();
}

}  // namespace

TEST_CASE("fork: the child is a member of its own, with an lcore id and the parent's rings", "[eal][process]") {
  CHECK(in_process([](eal& e) {
          auto numbers = ring<std::uint64_t>::create(e, "numbers", {.capacity = 8});
          child_process child = fork_member(e, {.name = "worker", .id = lcore{5}}, [&] {
            if (lcore_id() != lcore{5} || e.as_group().is_primary()) return 10;
            if (!numbers.enqueue(42)) return 11;
            void* p = allocate(e, 100);
            deallocate(e, p);
            return list_processes(e).size() == 2 ? 7 : 12;
          });
          if (!child.wait(20'000)) return 1;
          if (!WIFEXITED(child.wait_status()) || WEXITSTATUS(child.wait_status()) != 7) return 2;
          std::uint64_t got = 0;
          if (!numbers.dequeue(got) || got != 42) return 3;
          recover_dead(e);
          return list_processes(e).size() == 1 ? 0 : 4;
        }) == 0);
}

TEST_CASE("fork: a child with a taken lcore id says so and ends, the parent goes on", "[eal][bad-input]") {
  CHECK(in_process([](eal& e) {
          child_process child = fork_member(e, {.name = "worker", .id = lcore{0}}, [] { return 0; });
          if (!child.wait(20'000)) return 1;
          return WIFEXITED(child.wait_status()) && WEXITSTATUS(child.wait_status()) == 1 ? 0 : 2;
        }) == 0);
}

TEST_CASE("fork: children die with their parent and nothing is left behind", "[eal][crash]") {
  if (!fork_is_safe()) return;
  const std::string prefix = test::unique_prefix("orphan");
  const signal_pipe in;
  const signal_pipe out;
  test::child parent{[&] {
    eal e{eal_arguments(prefix)};
    const stop_on_signals signals;
    const child_process child = fork_member(e, {.name = "worker"}, [&] {
      in.notify();
      while (!stop_requested()) wait_for_stop();
      out.notify();
      return 0;
    });
    wait_for_stop();
    return 0;
  }};
  REQUIRE(in.wait() != 0);
  parent.kill(SIGKILL);
  parent.wait();
  CHECK(out.wait() != 0);
}

TEST_CASE("supervisor: a killed worker and its partner run again, and what they held is back", "[eal][crash]") {
  CHECK(in_process([](eal& e) {
          struct counters {
            std::atomic<int> starts[2];
            std::atomic<int> pids[2];
          };
          auto* shared = static_cast<counters*>(
              find_or_reserve_zone(e, {.name = "counters", .size_bytes = sizeof(counters)}, [](void*) {}).address);
          const signal_pipe ready;
          std::vector<worker_event_kind> events;
          supervisor watch{e, {.on_event = [&](const worker_event& event) { events.push_back(event.kind); }}};
          const auto body = [&](int which) {
            return [&, which](worker_context& me) {
              ++shared->starts[which];
              shared->pids[which] = getpid();
              static_cast<void>(allocate(e, 4096, {.life = lifetime::process}));
              ready.notify();
              while (me.keep_running()) std::this_thread::yield();
              return 0;
            };
          };
          const worker_id a = watch.add({.name = "a", .id = lcore{3}, .run = body(0)});
          const worker_id b = watch.add({.name = "b", .id = lcore{4}, .run = body(1)});
          watch.depend(b, a, dependent_policy::restart);
          int recreated = 0;
          watch.keep(a, {.name = "thing", .recreate = [&] { ++recreated; }});
          std::thread killer{[&] {
            ready.wait();
            ready.wait();
            ::kill(shared->pids[0], SIGKILL);
            ready.wait();
            ready.wait();
            request_stop();
          }};
          const int code = watch.run();
          killer.join();
          if (code != 0) return 1;
          if (shared->starts[0] != 2 || shared->starts[1] != 2) return 2;
          if (recreated != 1 || watch.restarts() != 1) return 3;
          const std::vector<worker_event_kind> wanted{worker_event_kind::started, worker_event_kind::started,
                                                      worker_event_kind::died,    worker_event_kind::stopped,
                                                      worker_event_kind::started, worker_event_kind::started};
          if (events.size() < wanted.size() || !std::equal(wanted.begin(), wanted.end(), events.begin())) return 4;
          recover_dead(e);
          for (const process_info& p : list_processes(e)) {
            if (p.id != e.as_group().self()) return 5;
          }
          return 0;
        }) == 0);
}

TEST_CASE("supervisor: a worker that does not answer STOP is killed", "[eal][process]") {
  CHECK(in_process([](eal& e) {
          const signal_pipe ready;
          std::vector<worker_event_kind> events;
          {
            supervisor watch{e,
                             {.stop_patience = std::chrono::milliseconds{50},
                              .on_event = [&](const worker_event& event) { events.push_back(event.kind); }}};
            watch.add({.name = "deaf", .run = [&](worker_context&) {
                         ready.notify();
                         for (;;) ::pause();
                         return 0;
                       }});
            std::thread stopper{[&] {
              ready.wait();
              request_stop();
            }};
            watch.run();
            stopper.join();
          }
          return events.back() == worker_event_kind::killed ? 0 : 1;
        }) == 0);
}

TEST_CASE("supervisor: a worker that dies at each start is not restarted in a tight loop", "[eal][process]") {
  CHECK(in_process([](eal& e) {
          int started = 0;
          int delayed = 0;
          // However slow the machine is, each death is an early one.
          supervisor watch{e,
                           {.first_pause = std::chrono::milliseconds{30},
                            .grown_up = std::chrono::minutes{1},
                            .on_event = [&](const worker_event& event) {
                              started += event.kind == worker_event_kind::started ? 1 : 0;
                              delayed += event.kind == worker_event_kind::delayed ? 1 : 0;
                              if (delayed == 3) request_stop();
                            }}};
          watch.add({.name = "doomed", .run = [&](worker_context&) { return 1; }});
          watch.run();
          return started == 4 && delayed == 3 ? 0 : 1;
        }) == 0);
}

TEST_CASE("supervisor: a resource that cannot be made anew stops everything with 1", "[eal][process]") {
  CHECK(in_process([](eal& e) {
          supervisor watch{e};
          const worker_id a = watch.add({.name = "a", .run = [](worker_context&) { return 3; }});
          watch.keep(a, {.name = "thing", .recreate = [] { throw error{errc::no_memory, "no more things"}; }});
          return watch.run() == 1 ? 0 : 1;
        }) == 0);
}

TEST_CASE("events: members hear who joined, who died and what was recovered", "[eal][process]") {
  CHECK(in_process([](eal& e) {
          const signal_pipe news;
          e.events().subscribe(group_event_kind::process_joined, [&](const group_event&) { news.notify('j'); });
          e.events().subscribe(group_event_kind::process_died, [&](const group_event&) { news.notify('d'); });
          e.events().subscribe(group_event_kind::recovery_done, [&](const group_event&) { news.notify('r'); });
          child_process child = fork_member(e, {.name = "short"}, [] {
            for (;;) ::pause();
            return 0;
          });
          if (news.wait() != 'j') return 1;
          child.kill(SIGKILL);
          const char first = news.wait();
          const char second = news.wait();
          child.wait(-1);
          return (first == 'd' && second == 'r') || (first == 'r' && second == 'd') ? 0 : 2;
        }) == 0);
}
