// SPDX-License-Identifier: BSD-3-Clause
// Messages: whom they reach, how many, in what order, and what is refused.
#include <catch2/catch.hpp>

#include "ipc/troupe.hpp"

using namespace troupe;
using ipc::destination;
using mpnet::errc;
using mpnet::lcore;

namespace {

/// Adds 1 to numbers[slot] for each message "hit", and opens gate 1.
std::function<void()> counted(const stage& s, unsigned slot) {
  return [&s, slot] {
    ipc::register_handler("hit", [&s, slot](ipc::message&, ipc::reply_token& reply) {
      if (reply) _exit(3);
      ++s.table().numbers.at(slot);
      s.open(1);
    });
  };
}

}  // namespace

TEST_CASE("without a destination the primary reaches all secondaries, and a secondary the primary", "[ipc][message]") {
  stage s;
  s.member(1, counted(s, 1));
  s.member(2, counted(s, 2));
  REQUIRE(s.pass(0, 2));
  {
    ipc::endpoint primary{s.options(0, true), s.membership()};
    CHECK(primary.send(note("hit")) == 2);
    REQUIRE(s.pass(1, 2));
    CHECK(s.table().numbers[1] == 1);
    CHECK(s.table().numbers[2] == 1);
    s.leave(0);
  }
  s.member(3, counted(s, 3), true);
  REQUIRE(s.pass(0));
  ipc::endpoint secondary{s.options(4), s.membership()};
  CHECK(secondary.send(note("hit")) == 1);
  REQUIRE(s.pass(1));
  CHECK(s.table().numbers[3] == 1);
}

TEST_CASE("any process reaches any other, by id, by lcore, and all at once", "[ipc][message]") {
  stage s;
  for (unsigned i = 1; i <= 3; ++i) s.member(i, counted(s, i), i == 1);
  REQUIRE(s.pass(0, 3));
  ipc::endpoint self{s.options(5), s.membership()};
  CHECK(self.send(note("hit"), process_id{2}) == 1);
  CHECK(self.send(note("hit"), lcore{3}) == 1);
  CHECK(self.send(note("hit"), destination::primary()) == 1);
  CHECK(self.send(note("hit"), destination::everyone()) == 3);
  REQUIRE(s.pass(1, 6));
  for (unsigned i = 1; i <= 3; ++i) CHECK(s.table().numbers[i] == 2);
  CHECK(kind_of([&] { self.send(note("hit"), process_id{9}); }) == errc::not_found);
  CHECK(kind_of([&] { self.send(note("hit"), lcore{400}); }) == errc::not_found);
}

TEST_CASE("messages to the primary fail at once while there is none", "[ipc][message]") {
  stage s;
  ipc::endpoint self{s.options(2), s.membership()};
  CHECK(kind_of([&] { self.send(note("hit")); }) == errc::no_primary);
  CHECK(kind_of([&] { self.send(note("hit"), destination::primary()); }) == errc::no_primary);
  CHECK(kind_of([&] { static_cast<void>(self.request(note("hit"), {}, 30s)); }) == errc::no_primary);
  CHECK(kind_of([&] { self.request_async(note("hit"), {}, 30s, [](auto&, auto&) { FAIL("called"); }); }) ==
        errc::no_primary);
  CHECK(self.send(note("hit"), destination::everyone()) == 0);
}

TEST_CASE("a process can address itself", "[ipc][message]") {
  stage s;
  const scoped_handler mine{"mine", [](ipc::message& in, ipc::reply_token& reply) { reply.send(in.data); }};
  ipc::endpoint self{s.options(4), s.membership()};
  CHECK(self.call(note("mine", "hello"), process_id{4}, 10s).text() == "hello");
}

TEST_CASE("messages of one sender start in the order sent, whatever their handler", "[ipc][message]") {
  stage s;
  s.member(1, [&] {
    auto step = [&s](ipc::message& in, ipc::reply_token&) {
      auto& n = s.table().numbers[0];
      if (n != std::stoul(std::string{in.text()})) _exit(4);
      ++n;
    };
    ipc::register_handler("even", step);
    ipc::register_handler("odd", step);
    ipc::register_handler("total", [&s](ipc::message&, ipc::reply_token& reply) {
      reply.send(ipc::bytes_of(std::to_string(s.table().numbers[0])));
    });
  });
  REQUIRE(s.pass(0));
  ipc::endpoint self{s.options(0), s.membership()};
  // Few enough for the queue in the kernel.
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 50; ++i) {
      const int n = round * 50 + i;
      REQUIRE(self.send(note(n % 2 == 0 ? "even" : "odd", std::to_string(n)), process_id{1}) == 1);
    }
    // A request keeps its place behind the messages.
    CHECK(self.call(note("total"), process_id{1}, 20s).text() == std::to_string((round + 1) * 50));
  }
}

TEST_CASE("64 KiB and 253 descriptors arrive, more is an error with nothing sent", "[ipc][message]") {
  stage s;
  s.member(1, [] {
    echo();
    answer_open_carried();
  });
  REQUIRE(s.pass(0));
  ipc::endpoint self{s.options(0), s.membership()};
  const process_id peer{1};

  std::vector<std::byte> data(ipc::max_data_bytes);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = std::byte(i * 7);
  auto file = carried_file();
  REQUIRE(file);
  const std::vector<int> fds(ipc::max_fds + 1, file.get());
  {
    const auto back = self.call({.name = "echo", .data = data, .fds = {fds.data(), ipc::max_fds}}, peer, 10s);
    CHECK(back.data == data);
    CHECK(back.fds.size() == ipc::max_fds);
    CHECK(open_carried() >= ipc::max_fds + 1);
  }
  const auto sent = self.stats().sent;
  std::vector<std::byte> larger(ipc::max_data_bytes + 1);
  CHECK(kind_of([&] { self.send({.name = "echo", .data = larger, .fds = {}}, peer); }) == errc::limit);
  CHECK(kind_of([&] { self.send({.name = "echo", .data = {}, .fds = fds}, peer); }) == errc::limit);
  CHECK(kind_of([&] { static_cast<void>(self.request({.name = "echo", .data = larger, .fds = {}}, peer, 10s)); }) ==
        errc::limit);
  const int closed = 9999;
  CHECK(kind_of([&] { self.send({.name = "echo", .data = {}, .fds = {&closed, 1}}, peer); }) == errc::invalid_argument);
  CHECK(kind_of([&] { self.send(note(""), peer); }) == errc::invalid_argument);
  CHECK(kind_of([&] { self.send(note(std::string(64, 'x')), peer); }) == errc::invalid_argument);
  CHECK(self.stats().sent == sent);
  file.reset();
  CHECK(eventually([] { return open_carried() == 0; }));  // a thread of the endpoint may close the last ones
  CHECK(eventually([&] { return self.call(note("carried"), peer, 10s).text() == "0"; }));
}

TEST_CASE("a stopped peer delays nobody, its full queue drops, which the sender sees and counts", "[ipc][message]") {
  stage s;
  const pid_t slow = s.member(1, counted(s, 1));
  s.member(2, [&] {
    counted(s, 2)();
    echo();
  });
  REQUIRE(s.pass(0, 2));
  ipc::endpoint self{s.options(0, true), s.membership()};
  s.stop(slow);
  std::size_t reached_both = 0;
  std::size_t reached_one = 0;
  const std::vector<std::byte> large(32 * 1024);
  for (int i = 0; i < 200; ++i) {
    const auto n = self.send({.name = "hit", .data = large, .fds = {}});
    ++(n == 2 ? reached_both : reached_one);
    REQUIRE(n >= 1);
    REQUIRE(s.pass(1));  // the other one has it
  }
  CHECK(reached_both > 0);
  CHECK(reached_one > 0);
  CHECK(self.stats().dropped_full == reached_one);
  CHECK(self.call(note("echo", "still quick"), process_id{2}, 10s).text() == "still quick");
  ::kill(slow, SIGCONT);
  REQUIRE(s.pass(1, static_cast<unsigned>(reached_both)));
  CHECK(s.table().numbers[1] == reached_both);
}

TEST_CASE("a message of a name that nobody registered is counted and dropped", "[ipc][message]") {
  stage s;
  ipc::endpoint self{s.options(0), s.membership()};
  CHECK(self.send(note("nobody's"), process_id{0}) == 1);
  CHECK(eventually([&] { return self.stats().dropped_no_handler == 1; }));
}

TEST_CASE("beyond a bounded backlog a slow handler's messages are dropped and requests told so", "[ipc][message]") {
  stage s;
  std::atomic<bool> go{false};
  std::atomic<std::size_t> ran{0};
  const scoped_handler slow{"slow", [&](ipc::message&, ipc::reply_token&) {
                              while (!go) ::usleep(200);
                              ++ran;
                            }};
  ipc::endpoint self{s.options(0), s.membership()};
  std::size_t reached = 0;
  while (self.stats().dropped_backlog == 0) reached += self.send(note("slow"), process_id{0});
  const auto asked = self.request(note("slow"), process_id{0}, 10s);
  CHECK(asked.parts.at(0).how == ipc::outcome::dropped);
  go = true;
  CHECK(eventually([&] { return ran + self.stats().dropped_backlog == reached + 1; }));
  CHECK(ran >= 1024);
}
