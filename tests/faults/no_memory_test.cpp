// SPDX-License-Identifier: BSD-3-Clause
// The process's own memory ends in the middle of an operation: it throws std::bad_alloc, and nothing of it is left.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <mpnet/event.hpp>
#include <mpnet/ipc.hpp>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <future>
#include <new>
#include <optional>

#include "eal/member_watch.hpp"
#include "faults/allocations.hpp"
#include "faults/support.hpp"

using namespace mpnet;
using namespace faults;

namespace {

detail::unique_fd kept_open;

/// Whether `f` came to its end though memory is gone after that many allocations.
template <class F>
bool ends_within(int allocations, F&& f) {
  struct limit {
    explicit limit(int most) { allocations_left = most; }
    ~limit() { allocations_left = -1; }
  };
  try {
    const limit until_the_end{allocations};
    f();
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

/// The kernel reports what is written to a FIFO as long as somebody has it open, as a forked child may: now it is us.
void keep_nudges_open() {
  for (int fd = 3; fd < 64; ++fd) {
    char link[32], name[256];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = ::readlink(link, name, sizeof name - 1);
    name[n > 0 ? n : 0] = '\0';
    if (std::strstr(name, "/nudge.") != nullptr) kept_open = detail::unique_fd{::dup(fd)};
  }
}

/// Waits until the loop has seen everything that was there before.
void let_look(event_loop& loop) {
  for (int i = 0; i < 2; ++i) {
    std::promise<void> done;
    loop.post([&done] { done.set_value(); });
    done.get_future().wait();
  }
}

}  // namespace

TEST_CASE("no memory: a descriptor whose watch could not be set up is not watched, and can be later", "[faults]") {
  event_loop loop;
  const int fd = ::eventfd(1, EFD_CLOEXEC);
  std::atomic<int> calls{0};
  std::optional<watch_id> watch;
  int refused = 0;
  while (!ends_within(refused, [&] { watch = loop.register_fd(fd, [&calls](std::uint32_t) { ++calls; }); })) ++refused;
  CHECK(refused >= 2);
  let_look(loop);
  CHECK(calls > 0);
  loop.unregister_fd(*watch);
  ::close(fd);
}

TEST_CASE("no memory: a watch over members that could not start calls nobody", "[faults]") {
  const own_runtime runtime{"watch"};
  test::child c{[&] {
    group g{small_group("x")};
    event_loop loop;
    ipc::endpoint messages{g};
    at_refusal = keep_nudges_open;
    int refused = 0;
    for (int i = 0; i < 16; ++i) {  // the loop takes memory for each 16th function that is posted
      int allocations = 0;
      alignas(eal_detail::member_watch) std::byte place[sizeof(eal_detail::member_watch)];
      const auto start = [&] { ::new (static_cast<void*>(place)) eal_detail::member_watch{g, loop, messages}; };
      while (!ends_within(allocations, start)) {
        ++allocations, ++refused;
        std::memset(place, 0xee, sizeof place);  // who is still called finds nothing there
        const detail::unique_fd fifo{::open(runtime.of("x", "nudge.0").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)};
        if (fifo && ::write(fifo.get(), "!", 1) != 1) return 2;
        let_look(loop);
      }
      std::launder(reinterpret_cast<eal_detail::member_watch*>(place))->~member_watch();
    }
    return refused > 16 ? 0 : 1;
  }};
  CHECK(c.wait() == 0);
  CHECK(runtime.empty());
}

TEST_CASE("no memory: a watch over members that ran out of it once looks again", "[faults]") {
  const own_runtime runtime{"watch"};
  const test::signal_pipe go, told;
  test::child joins{[&] {
    if (go.wait() == 0) return 1;
    const group g{small_group("x", process_type::secondary)};
    return told.wait() != 0 ? 0 : 2;
  }};
  test::child c{[&] {
    group g{small_group("x")};
    event_loop loop;
    ipc::endpoint messages{g};
    const eal_detail::member_watch watch{g, loop, messages};
    let_look(loop);
    std::filesystem::remove(runtime.of("x", "nudge.0"));  // nobody will tell it: it has to look by itself
    static const test::signal_pipe refused;
    at_refusal = [] {
      allocations_left = -1;
      refused.notify();
    };
    loop.post([] { allocations_left = 1; });
    if (refused.wait() == 0) return 3;
    const test::signal_pipe joined;
    loop.subscribe(group_event_kind::process_joined, [&](const group_event&) { joined.notify(); });
    go.notify();
    const bool heard = joined.wait() != 0;
    told.notify();
    return heard ? 0 : 4;
  }};
  CHECK(c.wait() == 0);
  CHECK(joins.wait() == 0);
}
