// SPDX-License-Identifier: BSD-3-Clause
// Members by fork, and the supervisor that keeps them running: real processes, real deaths.
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <mpnet/eal.hpp>
#include <mpnet/error.hpp>
#include <mpnet/event.hpp>
#include <mpnet/fork.hpp>
#include <mpnet/heap.hpp>
#include <mpnet/lcore.hpp>
#include <mpnet/memzone.hpp>
#include <mpnet/process.hpp>
#include <mpnet/ring.hpp>
#include <mpnet/supervisor.hpp>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>
#include <thread>

#include "support/child.hpp"
#include "support/sanitized.hpp"

using namespace mpnet;
using test::signal_pipe;

namespace {

std::vector<std::string> eal_arguments(const std::string& prefix) {
  return {"--no-huge", "-m", "64", "--file-prefix", prefix, "--lcores", "0@0", "--no-pci"};
}

/// Runs the test in a process of its own, so that forks, signals and stop requests are its own.
int in_process(const std::function<int(eal&)>& body) {
  if (test::skip_sanitized_forks()) return 0;
  const std::string prefix = test::unique_prefix("super");
  test::child process{[&] {
    eal e{eal_arguments(prefix)};
    return body(e);
  }};
  return process.wait();
}

/// What became of a worker that was told to stop as soon as it ran.
worker_event told_to_stop(eal& e, supervisor_options options, const std::function<int(worker_context&)>& run) {
  const signal_pipe ready;
  worker_event last;
  options.on_event = [&](const worker_event& event) { last = event; };
  supervisor watch{e, std::move(options)};
  watch.add({.name = "worker", .run = [&](worker_context& me) {
               ready.notify();
               return run(me);
             }});
  std::thread stopper{[&] {
    ready.wait();
    request_stop();
  }};
  watch.run();
  stopper.join();
  return last;
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

TEST_CASE("fork: a floating child takes an unused lcore id, gives it back, and is refused where none is left",
          "[eal][process]") {
  CHECK(in_process([](eal& e) {
          const auto its_id = [&] {
            child_process child = fork_member(e, {.name = "floating"}, [] { return static_cast<int>(lcore_id()); });
            return child.wait(20'000) && WIFEXITED(child.wait_status()) ? WEXITSTATUS(child.wait_status()) : -1;
          };
          const auto floats = [&] {
            child_process child = fork_member(e, {.name = "floating"}, [] {
              return thread_processors().size() == static_cast<std::size_t>(::sysconf(_SC_NPROCESSORS_ONLN)) ? 7 : 8;
            });
            return child.wait(20'000) && WEXITSTATUS(child.wait_status()) == 7;
          };
          if (its_id() != 1 || its_id() != 1) return 1;  // lcore 0 is this thread
          if (!floats()) return 2;                       // although this thread is pinned
          std::atomic<std::size_t> holding{1};
          std::atomic<bool> leave{false};
          std::vector<std::thread> holders;
          for (std::size_t i = 1; i < max_lcores; ++i) {
            holders.emplace_back([&] {
              const lcore_registration one{e};
              ++holding;
              leave.wait(false);
            });
          }
          while (holding < max_lcores) std::this_thread::yield();
          child_process refused = fork_member(e, {.name = "one too many"}, [] { return 0; });
          const bool over = refused.wait(20'000);
          leave = true;
          leave.notify_all();
          for (std::thread& t : holders) t.join();
          if (!over || !WIFEXITED(refused.wait_status()) || WEXITSTATUS(refused.wait_status()) != 1) return 3;
          return its_id() == 1 ? 0 : 4;
        }) == 0);
}

TEST_CASE("fork: children die with their parent and nothing is left behind", "[eal][crash]") {
  if (test::skip_sanitized_forks()) return;
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
          const worker_event end =
              told_to_stop(e, {.stop_patience = std::chrono::milliseconds{50}}, [](worker_context&) {
                for (;;) ::pause();
                return 0;
              });
          return end.kind == worker_event_kind::killed && end.text.find("did not answer") != std::string::npos ? 0 : 1;
        }) == 0);
}

TEST_CASE("supervisor: a worker that sleeps hears STOP", "[eal][process]") {
  CHECK(in_process([](eal& e) {
          const worker_event end = told_to_stop(e, {.stop_patience = std::chrono::seconds{20}}, [](worker_context& me) {
            while (me.keep_running()) {
              pollfd p{me.order_fd(), POLLIN, 0};
              ::poll(&p, 1, -1);
            }
            return 0;
          });
          return end.kind == worker_event_kind::stopped ? 0 : 1;
        }) == 0);
}

TEST_CASE("supervisor: a worker that answers STOP and does not end is killed", "[eal][process]") {
  CHECK(in_process([](eal& e) {
          const supervisor_options patience{.stop_patience = std::chrono::seconds{1},
                                            .finish_patience = std::chrono::milliseconds{50}};
          const worker_event end = told_to_stop(e, patience, [](worker_context& me) {
            while (me.keep_running()) std::this_thread::yield();
            for (;;) ::pause();
            return 0;
          });
          return end.kind == worker_event_kind::killed && end.text.find("answered STOP") != std::string::npos ? 0 : 1;
        }) == 0);
}

TEST_CASE("supervisor: a dependent whose policy is to wait runs on", "[eal][process]") {
  CHECK(in_process([](eal& e) {
          auto* deaths = static_cast<std::atomic<int>*>(
              find_or_reserve_zone(e, {.name = "deaths", .size_bytes = 64}, [](void*) {}).address);
          std::vector<worker_event_kind> events;
          supervisor watch{e, {.on_event = [&](const worker_event& event) {
                             events.push_back(event.kind);
                             if (events.size() == 4) request_stop();
                           }}};
          const auto run_until_told = [](worker_context& me) {
            while (me.keep_running()) std::this_thread::yield();
            return 0;
          };
          const worker_id mortal = watch.add(
              {.name = "mortal", .run = [&](worker_context& me) { return (*deaths)++ == 0 ? 3 : run_until_told(me); }});
          const worker_id waiting = watch.add({.name = "waiting", .run = run_until_told});
          watch.depend(waiting, mortal, dependent_policy::wait);
          watch.run();
          const std::vector<worker_event_kind> wanted{worker_event_kind::started, worker_event_kind::started,
                                                      worker_event_kind::died, worker_event_kind::started};
          return std::equal(wanted.begin(), wanted.end(), events.begin()) ? 0 : 1;
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
