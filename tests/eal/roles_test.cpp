// SPDX-License-Identifier: BSD-3-Clause
// The primary is a role: what goes on while nobody has it, and what the next one finds.
#include <mpnet/eal.hpp>
#include <mpnet/error.hpp>
#include <mpnet/event.hpp>
#include <mpnet/heap.hpp>
#include <mpnet/ipc.hpp>
#include <mpnet/mbuf.hpp>
#include <mpnet/memzone.hpp>
#include <mpnet/port.hpp>
#include <mpnet/process.hpp>
#include <mpnet/ring.hpp>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <future>

#include "support/child.hpp"

using namespace mpnet;
using namespace std::chrono_literals;
using test::signal_pipe;

namespace {

std::vector<std::string> arguments(const std::string& prefix, const std::string& type, const std::string& lcores) {
  return {"--no-huge", "--no-pci", "--file-prefix", prefix, "--proc-type", type, "--lcores", lcores};
}

/// What the first primary makes and the next one must find.
struct estate {
  explicit estate(group& g) : pool(mbuf_pool::attach(g, "packets")), flow(ring<mbuf*>::attach(g, "flow")) {}
  static void make(group& g) {
    static_cast<void>(mbuf_pool::create(g, "packets", {.mbuf_count = 255, .cache_size = 32}));
    static_cast<void>(ring<mbuf*>::create(g, "flow", {.capacity = 64}));
    zone_builder zone = reserve_zone(g, {.name = "will", .size_bytes = 64});
    std::strcpy(static_cast<char*>(zone.address()), "last");
    zone.publish();
    const port p = create_vdev(g, "net_null0");
    p.configure({.pool = "packets"});
    p.start();
  }
  mbuf_pool pool;
  ring<mbuf*> flow;
};

/// Packets that a secondary passes through the group's pool and ring without a pause, whoever dies meanwhile.
class traffic {
 public:
  explicit traffic(eal& e) : e_(e), things_(e) {
    e.launch(e.next_lcore(), [this] { run(); });
  }
  /// Waits until so many more went through; throws at the deadline.
  void pass(std::uint64_t more) const {
    const std::uint64_t until = count_ + more;
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (count_ < until) {
      if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error{"the traffic stopped"};
      ::usleep(200);
    }
  }
  void stop() {
    stop_ = true;
    e_.wait(e_.next_lcore());
  }

 private:
  void run() {
    while (!stop_) {
      mbuf* m = things_.pool.get();
      if (m != nullptr && !things_.flow.enqueue(m)) free_mbuf(m);
      while (things_.flow.dequeue(m)) {
        free_mbuf(m);
        ++count_;
      }
    }
  }

  eal& e_;
  estate things_;
  std::atomic<std::uint64_t> count_{0};
  std::atomic<bool> stop_{false};
};

void expect(bool holds, const char* what) {
  if (!holds) throw std::runtime_error{what};
}

/// What must work while the role is vacant.
void live_without_primary(eal& e) {
  errc kind{};
  try {
    static_cast<void>(e.messages().send({.name = "hello"}, ipc::destination::primary()));
  } catch (const error& fault) {
    kind = fault.kind();
  }
  expect(kind == errc::no_primary, "a message to the primary is its own error");
  deallocate(e, allocate(e, 4 << 20));
  reserve_zone(e, {.name = "vacancy", .size_bytes = 64}).publish();
  std::promise<void> rang;
  static_cast<void>(e.events().alarm(1ms, [&] { rang.set_value(); }));
  expect(rang.get_future().wait_for(30s) == std::future_status::ready, "alarms go on");
  int ends[2];
  expect(::pipe(ends) == 0, "a pipe");
  std::promise<void> called;
  const watch_id watch = e.events().register_fd(
      ends[0], [&](std::uint32_t) { called.set_value(); }, trigger::edge);
  expect(::write(ends[1], "x", 1) == 1, "room");
  expect(called.get_future().wait_for(30s) == std::future_status::ready, "interrupts go on");
  e.events().unregister_fd(watch);
}

}  // namespace

TEST_CASE("roles: while the primary is dead all goes on, and the next primary finds everything",
          "[eal][process][crash]") {
  const std::string prefix = test::unique_prefix("role");
  const signal_pipe made, running, vacant, attached, adopted, end;
  test::child first{[&] {
    eal e{arguments(prefix, "primary", "0@0")};
    estate::make(e);
    made.notify();
    ::pause();
    return 1;
  }};
  test::child secondary{[&] {
    if (made.wait() == 0) return 1;
    ipc::register_handler("hello", [](ipc::message& in, ipc::reply_token& reply) { reply.send(in.data); });
    eal e{arguments(prefix, "secondary", "1@0,2@0")};
    std::atomic<int> vacancies{0};
    std::promise<std::int64_t> successor;
    const std::int64_t before = list_processes(e).front().pid;
    static_cast<void>(e.events().subscribe(group_event_kind::role_changed, [&](const group_event& event) {
      if (event.process == no_process) {
        if (vacancies++ == 0) vacant.notify();
      } else if (vacancies > 0) {
        successor.set_value(event.pid);
      }
    }));
    traffic flow{e};
    flow.pass(1000);
    running.notify();
    if (attached.wait() == 0) return 2;  // the test has seen the vacancy, and another one attached meanwhile
    live_without_primary(e);
    flow.pass(1000);
    adopted.notify();
    auto who = successor.get_future();
    expect(who.wait_for(30s) == std::future_status::ready && who.get() != before, "the successor is told");
    flow.pass(1000);
    if (end.wait() == 0) return 3;
    flow.stop();
    return 0;
  }};
  REQUIRE(running.wait() != 0);
  first.kill(SIGKILL);
  CHECK(first.wait() == 1000 + SIGKILL);
  REQUIRE(vacant.wait() != 0);
  test::child late{[&] {
    eal e{arguments(prefix, "secondary", "3@0")};
    return estate{e}.pool && !e.is_primary() ? 0 : 1;
  }};
  CHECK(late.wait() == 0);
  attached.notify();
  REQUIRE(adopted.wait() != 0);
  test::child next{[&] {
    eal e{arguments(prefix, "primary", "0@0")};
    expect(e.is_primary() && e.as_group().created(), "it took the role");
    const estate there{e};
    const auto will = find_zone(e, zone_kind::raw, "will");
    expect(will && std::strcmp(static_cast<const char*>(will->address), "last") == 0, "zones stay");
    expect(find_zone(e, zone_kind::raw, "vacancy").has_value(), "those made meanwhile, too");
    const auto p = find_port(e, "net_null0");
    expect(p && p->info().state == port_state::started, "ports stay, as they were");
    expect(list_processes(e).size() == 2, "the dead one is buried");
    const auto answer = e.messages().request({.name = "hello", .data = ipc::bytes_of("again")}, {}, 30s);
    expect(answer.nb_received == 1 && answer.parts.at(0).reply.text() == "again", "secondaries answer");
    return 0;
  }};
  CHECK(next.wait() == 0);
  end.notify();
  CHECK(secondary.wait() == 0);
}

TEST_CASE("roles: allocation, pools and rings work in every callback, none of which runs on an lcore",
          "[eal][process]") {
  const std::string prefix = test::unique_prefix("callbacks");
  test::child c{[&] {
    std::vector<std::string> line = arguments(prefix, "primary", "0@0");
    eal e{line};
    const auto pool = mbuf_pool::create(e, "packets", {.mbuf_count = 255, .cache_size = 32});
    auto flow = ring<mbuf*>::create(e, "flow", {.capacity = 64});
    const auto main_thread = std::this_thread::get_id();
    std::atomic<int> bad{0};
    const auto use = [&] {
      if (lcore_id() != no_lcore || std::this_thread::get_id() == main_thread) ++bad;
      void* block = allocate(e, 3 << 20, {.zeroed = true});
      deallocate(e, block);
      { const zone_builder zone = reserve_zone(e, {.name = "passing", .size_bytes = 64}); }
      mbuf* m = pool.get();
      if (m == nullptr || !flow.enqueue(m) || !flow.dequeue(m)) ++bad;
      free_mbuf(m);
    };
    const auto wait_for = [](std::promise<void>& done) {
      expect(done.get_future().wait_for(30s) == std::future_status::ready, "it was called");
    };
    ipc::register_handler("use", [&](ipc::message&, ipc::reply_token& reply) {
      use();
      reply.send({});
    });
    const ipc::destination self{e.as_group().self()};
    expect(e.messages().request({.name = "use"}, self, 30s).nb_received == 1, "a handler");
    std::promise<void> asynchronous, alarm, posted, watched, told;
    e.messages().request_async({.name = "use"}, self, 30s, [&](const ipc::message&, ipc::replies&) {
      use();
      asynchronous.set_value();
    });
    wait_for(asynchronous);
    static_cast<void>(e.events().alarm(1ms, [&] { use(), alarm.set_value(); }));
    wait_for(alarm);
    e.events().post([&] { use(), posted.set_value(); });
    wait_for(posted);
    int ends[2];
    expect(::pipe(ends) == 0 && ::write(ends[1], "x", 1) == 1, "a pipe");
    static_cast<void>(e.events().register_fd(
        ends[0], [&](std::uint32_t) { use(), watched.set_value(); }, trigger::edge));
    wait_for(watched);
    static_cast<void>(
        e.events().subscribe(group_event_kind::recovery_done, [&](const group_event&) { use(), told.set_value(); }));
    e.events().publish({.kind = group_event_kind::recovery_done});
    wait_for(told);
    return bad == 0 ? 0 : 1;
  }};
  CHECK(c.wait() == 0);
}
