// SPDX-License-Identifier: BSD-3-Clause
// Synchronous requests and how their parts end.
#include <sys/time.h>
#include <catch2/catch.hpp>

#include <thread>

#include "ipc/troupe.hpp"

using namespace troupe;
using ipc::destination;
using ipc::outcome;
using mpnet::errc;

TEST_CASE("a request is answered, by whom it was asked", "[ipc][request]") {
  stage s;
  s.member(1, echo);
  REQUIRE(s.pass(0));
  ipc::endpoint self{s.options(0, true), s.membership()};
  for (int i = 0; i < 100; ++i) {
    const auto got = self.request(note("echo", std::to_string(i)), {}, 10s);
    REQUIRE(got.nb_sent == 1);
    REQUIRE(got.nb_received == 1);
    CHECK(got.parts.at(0).how == outcome::answered);
    CHECK(got.parts.at(0).from == process_id{1});
    CHECK(got.parts.at(0).reply.text() == std::to_string(i));
    CHECK(got.parts.at(0).reply.name == "echo");
  }
}

TEST_CASE("a partial reply says who answered, who died, who was slow, and who has no handler", "[ipc][request]") {
  stage s;
  s.member(1, echo);
  s.member(2, [] { ipc::register_handler("echo", [](ipc::message&, ipc::reply_token&) { ::raise(SIGKILL); }); });
  s.member(3, [] { ipc::register_handler("echo", [](ipc::message&, ipc::reply_token&) { ::raise(SIGSTOP); }); });
  s.member(4);
  s.member(5, [] { ipc::register_handler("echo", [](ipc::message&, ipc::reply_token&) {}); });
  REQUIRE(s.pass(0, 5));
  ipc::endpoint self{s.options(0, true), s.membership()};
  const auto got = self.request(note("echo", "x"), {}, 300ms);
  CHECK(got.nb_sent == 5);
  CHECK(got.nb_received == 1);
  CHECK(got.who(outcome::answered) == std::vector{process_id{1}});
  CHECK(got.who(outcome::died) == std::vector{process_id{2}});
  CHECK(got.who(outcome::slow) == std::vector{process_id{3}});
  CHECK(got.who(outcome::no_handler) == std::vector{process_id{4}});
  CHECK(got.who(outcome::no_reply) == std::vector{process_id{5}});
}

TEST_CASE("asking one process turns what went wrong into an error of its own", "[ipc][request]") {
  stage s;
  s.member(1, [] {
    ipc::register_handler("die", [](ipc::message&, ipc::reply_token&) { ::raise(SIGKILL); });
    ipc::register_handler("silent", [](ipc::message&, ipc::reply_token&) {});
    ipc::register_handler("throw", [](ipc::message&, ipc::reply_token&) { throw std::runtime_error("no such table"); });
    ipc::register_handler("stop", [](ipc::message&, ipc::reply_token&) { ::raise(SIGSTOP); });
  });
  const pid_t other =
      s.member(2, [] { ipc::register_handler("die", [](ipc::message&, ipc::reply_token&) { ::raise(SIGKILL); }); });
  REQUIRE(s.pass(0, 2));
  ipc::endpoint self{s.options(0), s.membership()};
  const auto kind = [&](std::string_view name, unsigned id, std::chrono::milliseconds timeout = 30s) {
    return kind_of([&] { self.call(note(name), process_id{static_cast<std::uint16_t>(id)}, timeout); });
  };
  CHECK(kind("nobody's", 1) == errc::no_handler);
  CHECK(kind("silent", 1) == errc::not_found);
  try {
    self.call(note("throw"), process_id{1}, 30s);
    FAIL("its handler threw");
  } catch (const mpnet::error& e) {
    CHECK(std::string{e.what()}.find("no such table") != std::string::npos);
  }
  CHECK(kind("stop", 1, 50ms) == errc::timed_out);
  CHECK(kind("die", 2) == errc::peer_died);
  s.wait(other);
  CHECK(kind("die", 2) == errc::peer_died);  // the table still says that it lives: its socket refuses
  s.leave(2);
  CHECK(kind("die", 2) == errc::peer_died);
  CHECK(kind_of([&] { self.call(note("x"), destination::everyone(), 1s); }) == errc::invalid_argument);
  s.enter(9);
  CHECK(kind("x", 9) == errc::no_handler);  // a member whose endpoint is not up
}

TEST_CASE("a stopped peer that answers late disturbs no later request", "[ipc][request]") {
  stage s;
  const pid_t slow = s.member(1, echo);
  REQUIRE(s.pass(0));
  ipc::endpoint self{s.options(0), s.membership()};
  for (int i = 0; i < 5; ++i) {
    s.stop(slow);
    CHECK(kind_of([&] { self.call(note("echo", "late"), process_id{1}, 20ms); }) == errc::timed_out);
    ::kill(slow, SIGCONT);
    CHECK(self.call(note("echo", std::to_string(i)), process_id{1}, 20s).text() == std::to_string(i));
  }
}

TEST_CASE("many threads ask one process at once, each getting its own answers", "[ipc][request]") {
  stage s;
  s.member(1, echo);
  REQUIRE(s.pass(0));
  ipc::endpoint self{s.options(0), s.membership()};
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const std::string text = std::to_string(t) + "/" + std::to_string(i);
        if (self.call(note("echo", text), process_id{1}, 30s).text() != text) ++wrong;
      }
    });
  }
  for (auto& t : threads) t.join();
  CHECK(wrong == 0);
}

TEST_CASE("handlers may ask, who asks them back, to any depth", "[ipc][request]") {
  stage s;
  const auto countdown = [](process_id other) {
    return [other](ipc::message& in, ipc::reply_token& reply) {
      const int n = std::stoi(std::string{in.text()});
      if (n == 0) {
        reply.send(ipc::bytes_of("bottom"));
      } else {
        reply.send(mpnet::ipc::current_endpoint()->call(note("down", std::to_string(n - 1)), other, 30s).data);
      }
    };
  };
  s.member(1, [&] { ipc::register_handler("down", countdown(process_id{0})); });
  REQUIRE(s.pass(0));
  const scoped_handler mine{"down", countdown(process_id{1})};
  ipc::endpoint self{s.options(0), s.membership()};
  CHECK(self.call(note("down", "50"), process_id{1}, 30s).text() == "bottom");
  CHECK(self.call(note("down", "3"), process_id{1}, 30s).text() == "bottom");
  CHECK(eventually([&] { return self.stats().threads <= 5; }));  // the threads that this took have gone
}

TEST_CASE("signals during requests and fetches neither end nor prolong them", "[ipc][request]") {
  stage s;
  s.member(1, [] {
    ipc::register_handler("wait", [](ipc::message& in, ipc::reply_token& reply) {
      ::usleep(50'000);
      reply.send(in.data);
    });
  });
  const pid_t stopped = s.member(2, echo);
  REQUIRE(s.pass(0, 2));
  struct sigaction before {};
  struct sigaction action {};
  static std::atomic<int> signals{0};
  action.sa_handler = [](int) { ++signals; };  // without SA_RESTART
  ::sigaction(SIGALRM, &action, &before);
  {
    ipc::endpoint self{s.options(0), s.membership()};
    itimerval every{{0, 500}, {0, 500}};
    ::setitimer(ITIMER_REAL, &every, nullptr);
    for (int i = 0; i < 5; ++i) CHECK(self.call(note("wait", "ok"), process_id{1}, 30s).text() == "ok");
    s.stop(stopped);
    CHECK(kind_of([&] { self.call(note("echo"), process_id{2}, 30ms); }) == errc::timed_out);
    CHECK(kind_of([&] { static_cast<void>(ipc::fetch_fds(s.place(), "none", 30ms)); }) == errc::timed_out);
    every = {};
    ::setitimer(ITIMER_REAL, &every, nullptr);
  }
  ::sigaction(SIGALRM, &before, nullptr);
  CHECK(signals > 10);
}

TEST_CASE("a receiver that is out of descriptors says so, loses none, and recovers", "[ipc][request]") {
  stage s;
  s.member(1, [] {
    echo();
    answer_open_carried();
    ipc::register_handler("limit", [](ipc::message& in, ipc::reply_token& reply) {
      const rlimit l{std::stoul(std::string{in.text()}), 4096};
      reply.send(ipc::bytes_of(::setrlimit(RLIMIT_NOFILE, &l) == 0 ? "set" : "not"));
    });
  });
  REQUIRE(s.pass(0));
  ipc::endpoint self{s.options(0), s.membership()};
  const process_id peer{1};
  auto file = carried_file();
  const std::vector<int> fds(100, file.get());
  const ipc::outgoing with_fds{.name = "echo", .data = {}, .fds = fds};
  CHECK(self.call(with_fds, peer, 10s).fds.size() == 100);
  CHECK(self.call(note("limit", "60"), peer, 10s).text() == "set");
  for (int i = 0; i < 3; ++i) {
    const auto got = self.request(with_fds, peer, 10s);
    CHECK(got.parts.at(0).how == outcome::failed);
    CHECK(got.parts.at(0).reply.text().find("too many descriptors") != std::string_view::npos);
  }
  CHECK(self.call(note("limit", "1024"), peer, 10s).text() == "set");
  CHECK(eventually([&] { return self.call(note("carried"), peer, 10s).text() == "0"; }));
  CHECK(self.call(with_fds, peer, 10s).fds.size() == 100);
}

TEST_CASE("requests leave no descriptor behind, however they end", "[ipc][request]") {
  stage s;
  s.member(1, [] {
    echo();
    ipc::register_handler("throw", [](ipc::message&, ipc::reply_token&) { throw std::runtime_error("on purpose"); });
    ipc::register_handler("silent", [](ipc::message&, ipc::reply_token&) {});
    answer_open_carried();
  });
  REQUIRE(s.pass(0));
  ipc::endpoint self{s.options(0), s.membership()};
  const process_id peer{1};
  auto file = carried_file();
  const std::vector<int> fds(20, file.get());
  const auto round = [&] {
    for (const char* name : {"echo", "throw", "silent", "nobody's"}) {
      static_cast<void>(self.request({.name = name, .data = {}, .fds = fds}, peer, 10s));
      self.send({.name = name, .data = {}, .fds = fds}, peer);
      std::atomic<bool> done{false};
      self.request_async({.name = name, .data = {}, .fds = fds}, peer, 10s, [&](auto&, auto&) { done = true; });
      CHECK(eventually([&] { return done.load(); }));
    }
  };
  for (int i = 0; i < 10; ++i) round();
  file.reset();
  CHECK(eventually([&] { return self.call(note("carried"), peer, 10s).text() == "0"; }));
  CHECK(eventually([] { return open_carried() == 0; }));  // a callback's copy of the request goes after it
}
