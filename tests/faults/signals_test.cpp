// SPDX-License-Identifier: BSD-3-Clause
// Signals without end while calls block: an application's timer interrupts the calling thread every 200 microseconds,
// and each call still does what it says, waits as long as it was asked to, and loses nothing.
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <mpnet/eal.hpp>
#include <mpnet/event.hpp>
#include <mpnet/fork.hpp>
#include <mpnet/heap.hpp>
#include <mpnet/ipc.hpp>
#include <mpnet/mbuf.hpp>
#include <mpnet/memzone.hpp>
#include <mpnet/mutex.hpp>
#include <mpnet/port.hpp>
#include <mpnet/process.hpp>
#include <mpnet/ring.hpp>
#include <mpnet/supervisor.hpp>

#include <atomic>
#include <chrono>
#include <cstring>
#include <future>
#include <stdexcept>
#include <thread>

#include "faults/support.hpp"
#include "mem/journal.hpp"
#include "support/sanitized.hpp"

using namespace mpnet;
using namespace faults;
using namespace std::chrono_literals;
using test::signal_pipe;

namespace {

std::atomic<unsigned> signals_seen{0};

/// Interrupts the thread that made it, and only that one, as long as it lives.
class storm {
 public:
  storm() {
    struct sigaction action {};
    action.sa_handler = [](int) { signals_seen.fetch_add(1, std::memory_order_relaxed); };
    ::sigaction(SIGUSR1, &action, nullptr);  // without SA_RESTART: calls return EINTR
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event._sigev_un._tid = static_cast<pid_t>(::syscall(SYS_gettid));
    if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) throw std::runtime_error{"timer_create"};
    const itimerspec often{{0, 200'000}, {0, 200'000}};
    ::timer_settime(timer_, 0, &often, nullptr);
  }
  ~storm() { ::timer_delete(timer_); }
  storm(const storm&) = delete;
  storm& operator=(const storm&) = delete;

 private:
  timer_t timer_{};
};

void expect(bool holds, const char* what) {
  if (!holds) throw std::runtime_error{what};
}

/// Runs `f`, which must take at least that long: what is waited for does not come before.
template <class F>
void lasts(std::chrono::milliseconds at_least, F&& f) {
  const auto begin = std::chrono::steady_clock::now();
  f();
  expect(std::chrono::steady_clock::now() - begin >= at_least, "it came back too early");
}

/// Runs `f` at once and, in another thread, `later` after a while in which the caller has surely begun to wait.
template <class F, class G>
void while_blocked(F&& f, G&& later) {
  auto other = std::async(std::launch::async, [&] {
    const unsigned before = signals_seen.load();
    while (signals_seen.load() < before + 50) ::usleep(100);
    later();
  });
  f();
  other.get();
}

std::vector<std::string> eal_arguments(const std::string& prefix, const std::string& type) {
  const char* lcores = type == "primary" ? "0@0" : "1@0";
  return {"--no-huge", "--file-prefix", prefix, "--lcores", lcores, "--no-pci", "--proc-type", type};
}

/// A test's body in a process of its own.
int in_child(const std::function<void()>& f) {
  test::child c{[&] {
    f();
    return signals_seen > 0 ? 0 : 8;
  }};
  return c.wait(60'000);
}

}  // namespace

TEST_CASE("signals: entering, leaving and growing a group", "[faults][signal]") {
  const std::string prefix = test::unique_prefix("storm");
  CHECK(in_child([&] {
          const storm s;
          for (int i = 0; i < 10; ++i) {
            group g{small_group(prefix)};
            void* block = allocate(g, 40 << 20);
            std::memset(block, i, 40 << 20);
            deallocate(g, block);
            expect(g.memory().used_bytes == 0, "memory is lost");
          }
        }) == 0);
}

TEST_CASE("signals: waiting for whoever makes the group, and for the control lock", "[faults][signal]") {
  const std::string prefix = test::unique_prefix("storm");
  const signal_pipe in;
  const signal_pipe go;
  test::child attaching{[&] {
    if (go.wait() == 0) return 9;
    const storm s;
    group g{small_group(prefix, process_type::secondary)};
    for (int i = 0; i < 200; ++i) deallocate(g, allocate(g, 100));  // the other one allocates as well
    in.notify();
    return signals_seen > 0 ? 0 : 8;
  }};
  group g{small_group(prefix)};
  go.notify();
  bool done = false;
  while (!done) {
    const mem::transaction tx{g};
    done = in.wait(1) != 0;
  }
  CHECK(attaching.wait() == 0);
}

TEST_CASE("signals: a zone that another member is making", "[faults][signal]") {
  const std::string prefix = test::unique_prefix("storm");
  CHECK(in_child([&] {
          group g{small_group(prefix)};
          const storm s;
          std::optional<zone_builder> builder{reserve_zone(g, {.name = "slow", .size_bytes = 64})};
          while_blocked(
              [&] {
                bool made_here = false;
                const auto make = [&](void*) { made_here = true; };
                static_cast<void>(find_or_reserve_zone(g, {.name = "slow", .size_bytes = 64}, make));
                expect(!made_here, "the zone was made twice");
              },
              [&] { builder->publish(); });
        }) == 0);
}

TEST_CASE("signals: mutexes and rings with a doorbell", "[faults][signal]") {
  const std::string prefix = test::unique_prefix("storm");
  CHECK(in_child([&] {
          group g{small_group(prefix)};
          mutex m;
          auto r = ring<std::uint64_t>::create(g, "bell", {.capacity = 8, .doorbell = true});
          const storm s;
          std::promise<void> locked;
          std::promise<void> release;
          std::thread holder{[&] {
            m.lock();
            locked.set_value();
            release.get_future().wait();
            m.unlock();
          }};
          locked.get_future().wait();
          lasts(50ms, [&] { expect(!m.try_lock_for(50ms), "it was locked"); });
          while_blocked([&] { expect(m.lock() == last_owner::unlocked, "nobody died"); }, [&] { release.set_value(); });
          m.unlock();
          holder.join();
          lasts(50ms, [&] { expect(!r.wait(50ms), "nothing was there"); });
          while_blocked([&] { expect(r.wait(60s), "the bell was rung"); }, [&] { expect(r.enqueue(7), "room"); });
          std::uint64_t got = 0;
          expect(r.dequeue(got) && got == 7, "the object");
        }) == 0);
}

TEST_CASE("signals: messages, requests and descriptors", "[faults][signal]") {
  const std::string prefix = test::unique_prefix("storm");
  const signal_pipe in;
  const signal_pipe go;
  const signal_pipe end;
  test::child peer{[&] {
    if (go.wait() == 0) return 9;
    ipc::register_handler("echo", [](ipc::message& m, ipc::reply_token& reply) {
      ::usleep(2000);
      if (reply) reply.send(m.data);
    });
    ipc::register_handler("mute", [](ipc::message&, ipc::reply_token&) { ::usleep(200'000); });
    eal e{eal_arguments(prefix, "secondary")};
    const int fd = STDERR_FILENO;
    ipc::publish_fds("key", {&fd, 1});
    in.notify();
    return end.wait(60'000) != 0 ? 0 : 9;
  }};
  test::child asking{[&] {
    eal e{eal_arguments(prefix, "primary")};
    go.notify();
    if (in.wait() == 0) return 9;
    const storm s;
    ipc::endpoint& messages = e.messages();
    const std::string large(60'000, 'x');
    for (int i = 0; i < 30; ++i) {
      const auto got = messages.request({.name = "echo", .data = ipc::bytes_of(large)}, {}, 20s);
      expect(got.nb_received == 1 && got.parts.at(0).reply.data.size() == large.size(), "an answer");
      expect(messages.send({.name = "echo", .data = ipc::bytes_of(large)}) == 1, "a message");
    }
    lasts(50ms, [&] {
      const auto got = messages.request({.name = "mute"}, {}, 50ms);
      expect(got.parts.at(0).how == ipc::outcome::slow, "it was too slow");
    });
    std::promise<ipc::outcome> answered;
    messages.request_async({.name = "echo"}, {}, 20s,
                           [&](const ipc::message&, ipc::replies& got) { answered.set_value(got.parts.at(0).how); });
    expect(answered.get_future().get() == ipc::outcome::answered, "an asynchronous answer");
    const auto fds = ipc::fetch_fds("key", 20s);
    expect(fds && fds->fds.size() == 1, "a descriptor");
    end.notify();
    return signals_seen > 0 ? 0 : 8;
  }};
  CHECK(asking.wait(60'000) == 0);
  CHECK(peer.wait() == 0);
}

TEST_CASE("signals: the event loop's callers", "[faults][signal]") {
  CHECK(in_child([] {
          const storm s;
          for (int i = 0; i < 20; ++i) {
            std::promise<void> ran;
            std::atomic<int> calls{0};
            event_loop loop;
            int ends[2];
            expect(::pipe(ends) == 0, "a pipe");
            const watch_id watch = loop.register_fd(ends[0], [&](std::uint32_t) {
              char byte = 0;
              ++calls;
              expect(::read(ends[0], &byte, 1) == 1, "a byte");
              ::usleep(3000);
              ran.set_value();
            });
            expect(::write(ends[1], "x", 1) == 1, "room");
            const alarm_id never = loop.alarm(60s, [&] { ++calls; });
            std::promise<void> rang;
            static_cast<void>(loop.alarm(1ms, [&] { rang.set_value(); }));
            rang.get_future().wait();
            ran.get_future().wait();
            expect(loop.unregister_fd(watch), "it was watched");
            expect(loop.cancel_alarm(never), "it had not rung");
            expect(calls == 1, "one call");
            ::close(ends[0]);
            ::close(ends[1]);
          }
        }) == 0);
}

TEST_CASE("signals: forked members, supervisors and stop requests", "[faults][signal]") {
  if (test::skip_sanitized_forks()) return;
  const std::string prefix = test::unique_prefix("storm");
  CHECK(in_child([&] {
          eal e{eal_arguments(prefix, "primary")};
          const storm s;
          child_process member = fork_member(e, {.name = "quick"}, [] { return 3; });
          expect(member.wait(20'000) && WEXITSTATUS(member.wait_status()) == 3, "its exit code");
          child_process sleeper = fork_member(e, {.name = "slow"}, [] { return wait_for_stop() ? 0 : 1; });
          lasts(50ms, [&] { expect(!sleeper.wait(50), "it runs on"); });
          sleeper.kill(SIGKILL);
          expect(sleeper.wait(20'000), "it ended");
          lasts(50ms, [&] { expect(!wait_for_stop(50), "nobody asked"); });
          // A worker that dies, and is started again; one that ignores its orders, and is killed after the patience.
          auto rounds = ring<std::uint64_t>::create(e, "rounds", {.capacity = 64});
          supervisor boss{e, {.stop_patience = 50ms, .tick = 5ms, .on_tick = [&] {
                                if (rounds.approx_count() == 3) request_stop();
                              }}};
          boss.add({.name = "mortal", .run = [&](worker_context&) {
                      static_cast<void>(rounds.enqueue(1));
                      if (rounds.approx_count() < 3) ::raise(SIGKILL);
                      for (;;) ::pause();
                      return 0;
                    }});
          expect(boss.run() == 0 && boss.restarts() == 2, "two restarts");
          expect(stop_requested(), "it was asked to stop");
        }) == 0);
}

TEST_CASE("signals: starting, launching, and making ports at the same time as another member", "[faults][signal]") {
  const std::string prefix = test::unique_prefix("storm");
  CHECK(in_child([&] {
          const storm s;
          for (int i = 0; i < 3; ++i) {
            eal e{{"--no-huge", "--file-prefix", prefix, "--lcores", "0@0,1@0", "--no-pci", "-m", "64"}};
            [[maybe_unused]] const auto packets =
                mbuf_pool::create(e, "packets", {.mbuf_count = 255, .cache_size = 32});
            e.launch(lcore{1}, [&] {
              for (int n = 0; n < 20; ++n) remove_port(e, create_vdev(e, "net_null1"));
            });
            for (int n = 0; n < 20; ++n) remove_port(e, create_vdev(e, "net_null0"));
            expect(e.wait(lcore{1}) == 0, "its result");
            const port p = create_vdev(e, "net_ring0");
            p.configure({.pool = "packets"});
            p.set_link_up(false);
            lasts(50ms, [&] { static_cast<void>(p.wait_for_link(50)); });
          }
        }) == 0);
}
