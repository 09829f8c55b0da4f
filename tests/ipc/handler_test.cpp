// SPDX-License-Identifier: BSD-3-Clause
// Handlers: registering, failing, answering later, unregistering, and the threads that run them.
#include <pthread.h>
#include <catch2/catch.hpp>
#include <mpnet/detail/lease.hpp>

#include <mutex>
#include <thread>

#include "ipc/troupe.hpp"

using namespace troupe;
using ipc::outcome;
using mpnet::errc;

TEST_CASE("a second handler of a name is an error, and the first one stays", "[ipc][handler]") {
  stage s;
  const scoped_handler first{"once", [](ipc::message&, ipc::reply_token& r) { r.send(ipc::bytes_of("first")); }};
  CHECK(kind_of([] { ipc::register_handler("once", [](ipc::message&, ipc::reply_token&) {}); }) == errc::exists);
  CHECK(kind_of([] { ipc::register_handler("", [](ipc::message&, ipc::reply_token&) {}); }) == errc::invalid_argument);
  CHECK(kind_of([] { ipc::register_handler("empty", {}); }) == errc::invalid_argument);
  CHECK(kind_of([] { ipc::register_handler(std::string(64, 'x'), [](ipc::message&, ipc::reply_token&) {}); }) ==
        errc::invalid_argument);
  // Registered before there was an endpoint.
  ipc::endpoint self{s.options(0), s.membership()};
  CHECK(self.call(note("once"), process_id{0}, 10s).text() == "first");
}

TEST_CASE("handlers and callbacks run in threads of the library that hold no lcore", "[ipc][handler]") {
  stage s;
  const auto name_of_thread = [] {
    std::array<char, 16> name{};
    ::pthread_getname_np(::pthread_self(), name.data(), name.size());
    return std::string{name.data()} + (mpnet::lcore_id() == mpnet::no_lcore ? "" : " on an lcore");
  };
  std::atomic<int> started{0};
  const scoped_handler where{"where",
                             [&](ipc::message&, ipc::reply_token& r) { r.send(ipc::bytes_of(name_of_thread())); }};
  auto o = s.options(0);
  o.on_thread_start = [&] { ++started; };
  ipc::endpoint self{o, s.membership()};
  CHECK(self.call(note("where"), process_id{0}, 10s).text() == "mpnet-ipc");
  std::string callback_thread;
  std::atomic<bool> done{false};
  self.request_async(note("where"), process_id{0}, 10s, [&](auto&, auto&) {
    callback_thread = name_of_thread();
    done = true;
  });
  REQUIRE(eventually([&] { return done.load(); }));
  CHECK(callback_thread == "mpnet-ipc");
  CHECK(eventually([&] { return started >= 2; }));
}

TEST_CASE("a reply token can be moved out and answered later, from another thread", "[ipc][handler]") {
  stage s;
  std::mutex mutex;
  std::vector<ipc::reply_token> owed;
  const scoped_handler later{"later", [&](ipc::message&, ipc::reply_token& reply) {
                               const std::lock_guard lock{mutex};
                               owed.push_back(std::move(reply));
                             }};
  const auto owed_count = [&] {
    const std::lock_guard lock{mutex};
    return owed.size();
  };
  ipc::endpoint self{s.options(0), s.membership()};
  std::vector<ipc::replies> got(3);
  std::vector<std::thread> askers;
  for (auto& g : got) askers.emplace_back([&self, &g] { g = self.request(note("later"), process_id{0}, 30s); });
  REQUIRE(eventually([&] { return owed_count() == 3; }));
  CHECK(owed[0].send(ipc::bytes_of("at last")));
  CHECK_FALSE(owed[0]);
  CHECK(kind_of([&] { owed[0].send({}); }) == errc::invalid_argument);
  std::vector<std::byte> much(ipc::max_data_bytes + 1);
  CHECK(kind_of([&] { owed[1].send(much); }) == errc::limit);
  CHECK(owed[1]);  // still owing
  CHECK(owed[1].fail("not today"));
  owed.pop_back();  // dropped unanswered
  for (auto& t : askers) t.join();
  std::vector<outcome> how;
  for (const auto& g : got) how.push_back(g.parts.at(0).how);
  std::sort(how.begin(), how.end());
  CHECK(how == std::vector{outcome::answered, outcome::failed, outcome::no_reply});
  for (const auto& g : got) {
    if (g.parts[0].how == outcome::failed) CHECK(g.parts[0].reply.text() == "not today");
  }
}

TEST_CASE("an answer that comes after its requester gave up, or after the endpoint's end, is harmless",
          "[ipc][handler]") {
  stage s;
  std::vector<ipc::reply_token> owed;
  std::atomic<int> taken{0};
  const scoped_handler later{"later", [&](ipc::message&, ipc::reply_token& reply) {
                               owed.push_back(std::move(reply));
                               ++taken;
                             }};
  {
    ipc::endpoint self{s.options(0), s.membership()};
    CHECK(self.request(note("later"), process_id{0}, 10ms).parts.at(0).how == outcome::slow);
    CHECK(self.request(note("later"), process_id{0}, 10ms).parts.at(0).how == outcome::slow);
    REQUIRE(eventually([&] { return taken == 2; }));
    CHECK(eventually([&] { return owed.size() < 2 || !owed[0].send({}) || true; }));
  }
  CHECK_FALSE(owed[1].send(ipc::bytes_of("too late")));
  owed.clear();
}

TEST_CASE("unregistering waits for running calls", "[ipc][handler]") {
  stage s;
  std::atomic<bool> inside{false};
  std::atomic<bool> finish{false};
  std::atomic<bool> finished{false};
  ipc::register_handler("long", [&](ipc::message&, ipc::reply_token&) {
    inside = true;
    while (!finish) ::usleep(100);
    finished = true;
  });
  ipc::endpoint self{s.options(0), s.membership()};
  self.send(note("long"), process_id{0});
  REQUIRE(eventually([&] { return inside.load(); }));
  bool was_finished = false;
  std::thread taker{[&] {
    ipc::unregister_handler("long");
    was_finished = finished;
  }};
  // From the moment that the name is gone the waiter may only leave after the call has.
  CHECK(eventually([&] { return self.request(note("other"), process_id{0}, 10ms).nb_sent == 1; }));
  finish = true;
  taker.join();
  CHECK(was_finished);
  CHECK_FALSE(ipc::unregister_handler("long"));
}

TEST_CASE("a handler may unregister itself", "[ipc][handler]") {
  stage s;
  ipc::register_handler("last", [](ipc::message&, ipc::reply_token& reply) {
    ipc::unregister_handler("last");
    reply.send(ipc::bytes_of("gone"));
  });
  ipc::endpoint self{s.options(0), s.membership()};
  CHECK(self.call(note("last"), process_id{0}, 10s).text() == "gone");
  CHECK(kind_of([&] { self.call(note("last"), process_id{0}, 10s); }) == errc::no_handler);
}

TEST_CASE("one sender's slow handler delays no other sender's", "[ipc][handler]") {
  stage s;
  std::atomic<bool> finish{false};
  const scoped_handler slow{"slow", [&](ipc::message&, ipc::reply_token&) {
                              while (!finish) ::usleep(100);
                            }};
  for (unsigned i = 1; i <= 8; ++i) {
    const auto o = s.options(i);
    s.child([&s, o] {
      ipc::endpoint member{o, s.membership()};
      s.pass(1);  // until the one who handles is there
      EXPECT(member.send(note("slow"), process_id{0}) == 1);
      s.open(2);
      s.pass(15);
    });
  }
  const auto o = s.options(20);
  s.child([&s, o] {
    ipc::endpoint member{o, s.membership()};
    s.pass(3);
    EXPECT(member.call(note("quick", "!"), process_id{0}, 30s).text() == "!");
    s.open(4);
  });
  const scoped_handler quick{"quick", [](ipc::message& in, ipc::reply_token& reply) { reply.send(in.data); }};
  ipc::endpoint self{s.options(0), s.membership()};
  s.open(1, 8);
  REQUIRE(s.pass(2, 8));
  s.open(3);
  CHECK(s.pass(4));
  CHECK(self.stats().threads >= 3);
  finish = true;
}
