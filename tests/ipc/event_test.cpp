// SPDX-License-Identifier: BSD-3-Clause
// The event loop: descriptors, alarms, what is posted, and subscriptions.
#include <poll.h>
#include <sys/eventfd.h>
#include <catch2/catch.hpp>
#include <mpnet/event.hpp>

#include <future>
#include <thread>

#include "ipc/troupe.hpp"

using namespace troupe;
using namespace mpnet;

namespace {

void ring(int fd) {
  const std::uint64_t one = 1;
  REQUIRE(::write(fd, &one, sizeof one) == sizeof one);
}

/// Waits until the loop has run everything that it had to.
void settle(event_loop& loop) {
  std::promise<void> done;
  loop.post([&] { done.set_value(); });
  done.get_future().get();
}

}  // namespace

TEST_CASE("a level-triggered descriptor is called back while it is readable", "[ipc][event]") {
  const detail::unique_fd fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::atomic<int> calls{0};
  event_loop loop;
  const auto id = loop.register_fd(fd.get(), [&](std::uint32_t) {
    std::uint64_t value = 0;
    if (++calls >= 3) static_cast<void>(::read(fd.get(), &value, sizeof value));
  });
  CHECK(kind_of([&] { loop.register_fd(fd.get(), [](std::uint32_t) {}); }) == errc::exists);
  CHECK(kind_of([&] { loop.register_fd(9999, [](std::uint32_t) {}); }) == errc::system);
  ring(fd.get());
  CHECK(eventually([&] { return calls == 3; }));
  settle(loop);
  CHECK(calls == 3);
  CHECK(loop.unregister_fd(id));
  CHECK_FALSE(loop.unregister_fd(id));
}

TEST_CASE("an edge-triggered descriptor is called back once a change, read or not", "[ipc][event]") {
  const detail::unique_fd fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::atomic<int> calls{0};
  event_loop one;
  event_loop two;  // as another process that shares the interrupt's eventfd
  std::atomic<int> others{0};
  one.register_fd(
      fd.get(), [&](std::uint32_t) { ++calls; }, trigger::edge);
  two.register_fd(
      fd.get(), [&](std::uint32_t) { ++others; }, trigger::edge);
  for (int i = 1; i <= 3; ++i) {
    ring(fd.get());
    CHECK(eventually([&] { return calls == i && others == i; }));
  }
}

TEST_CASE("when a descriptor is unregistered its callback runs no more", "[ipc][event]") {
  const detail::unique_fd fd{::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)};
  event_loop loop;
  std::atomic<bool> inside{false};
  std::atomic<bool> returned{false};
  const auto id = loop.register_fd(fd.get(), [&](std::uint32_t) {
    inside = true;
    ::usleep(5'000);
    returned = true;
    inside = false;
  });
  REQUIRE(eventually([&] { return inside.load(); }));
  CHECK(loop.unregister_fd(id));
  CHECK(returned);
  CHECK_FALSE(inside);
  // From within the callback it does not wait for itself.
  std::promise<bool> gone;
  std::atomic<std::uint64_t> own{0};
  own = static_cast<std::uint64_t>(loop.register_fd(fd.get(), [&](std::uint32_t) {
    while (own == 0) {
    }
    gone.set_value(loop.unregister_fd(watch_id{own.load()}));
  }));
  CHECK(gone.get_future().get());
}

TEST_CASE("alarms run once, in the order due, not before their time", "[ipc][event]") {
  event_loop loop;
  std::vector<int> order;
  std::promise<void> done;
  const auto start = std::chrono::steady_clock::now();
  std::chrono::steady_clock::duration first{};
  loop.alarm(30ms, [&] {
    order.push_back(3);
    done.set_value();
  });
  loop.alarm(10ms, [&] {
    first = std::chrono::steady_clock::now() - start;
    order.push_back(1);
  });
  loop.alarm(20ms, [&] { order.push_back(2); });
  done.get_future().get();
  CHECK(order == std::vector{1, 2, 3});
  CHECK(first >= 10ms);
}

TEST_CASE("a cancelled alarm never runs, one that ran says so, one may set and cancel others", "[ipc][event]") {
  event_loop loop;
  std::atomic<int> ran{0};
  const auto never = loop.alarm(600s, [&] { ran += 100; });
  CHECK(loop.cancel_alarm(never));
  CHECK_FALSE(loop.cancel_alarm(never));
  const auto soon = loop.alarm(0us, [&] { ++ran; });
  CHECK(eventually([&] { return ran == 1; }));
  CHECK_FALSE(loop.cancel_alarm(soon));
  std::promise<void> done;
  loop.alarm(1ms, [&] {
    const auto other = loop.alarm(0us, [&] { ran += 100; });
    CHECK(loop.cancel_alarm(other));
    loop.alarm(1ms, [&] { done.set_value(); });
  });
  done.get_future().get();
  CHECK(ran == 1);
}

TEST_CASE("what is posted runs in order, in the loop's thread, and before the loop ends", "[ipc][event]") {
  std::vector<int> order;
  bool inside = false;
  {
    event_loop loop;
    for (int i = 0; i < 100; ++i) {
      loop.post([&, i] {
        order.push_back(i);
        inside = loop.in_loop();
      });
    }
    CHECK_FALSE(loop.in_loop());
  }
  REQUIRE(order.size() == 100);
  CHECK(std::is_sorted(order.begin(), order.end()));
  CHECK(inside);
}

TEST_CASE("subscribers hear of the events of their kind until they leave", "[ipc][event]") {
  event_loop loop;
  std::vector<std::string> heard;
  const auto died = loop.subscribe(group_event_kind::process_died, [&](const group_event& e) {
    heard.push_back("died " + std::to_string(static_cast<int>(e.process)));
  });
  loop.subscribe(group_event_kind::recovery_done,
                 [&](const group_event& e) { heard.push_back("recovered " + std::to_string(e.objects_returned)); });
  loop.publish({.kind = group_event_kind::process_died, .process = process_id{3}});
  loop.publish({.kind = group_event_kind::process_joined, .process = process_id{4}});
  loop.publish({.kind = group_event_kind::recovery_done, .process = process_id{3}, .pid = 0, .objects_returned = 22});
  settle(loop);
  CHECK(loop.unsubscribe(died));
  CHECK_FALSE(loop.unsubscribe(died));
  loop.publish({.kind = group_event_kind::process_died, .process = process_id{5}});
  settle(loop);
  CHECK(heard == std::vector<std::string>{"died 3", "recovered 22"});
}

TEST_CASE("a callback that throws ends nothing", "[ipc][event]") {
  event_loop loop;
  loop.post([] { throw std::runtime_error("on purpose"); });
  loop.post([] { throw 7; });
  loop.alarm(0us, [] { throw std::runtime_error("on purpose"); });
  settle(loop);
  settle(loop);
}

TEST_CASE("the loop's thread takes no signals and runs its start function first", "[ipc][event]") {
  bool started = false;
  event_loop loop{[&] { started = true; }};
  sigset_t blocked{};
  std::promise<bool> both;
  loop.post([&] {
    ::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
    both.set_value(started);
  });
  CHECK(both.get_future().get());
  CHECK(::sigismember(&blocked, SIGINT) == 1);
  CHECK(::sigismember(&blocked, SIGSEGV) == 0);
}
