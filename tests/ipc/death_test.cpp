// SPDX-License-Identifier: BSD-3-Clause
// How the end of a process is seen by its peers.  The table of members goes on to say that it lives, unless a test
// changes it: what ends the requests here is the kernel.
#include <fcntl.h>
#include <sched.h>
#include <catch2/catch.hpp>

#include <future>

#include "ipc/troupe.hpp"

using namespace troupe;
using ipc::outcome;
using mpnet::errc;

namespace {

/// A member with a handler "held" that opens gate 1 and never answers.
std::function<void()> holds(const stage& s) {
  return [&s] {
    ipc::register_handler("held", [&s](ipc::message&, ipc::reply_token&) {
      s.open(1);
      ::pause();
    });
  };
}

/// Asks process `id` for "held", does `end` once it is being handled, and says how that part ended.
outcome outcome_after(const stage& s, ipc::endpoint& self, const std::function<void()>& end, std::uint16_t id = 1) {
  auto asked = std::async(std::launch::async, [&] {
    return self.request(note("held"), process_id{id}, std::chrono::seconds{600}).parts.at(0).how;
  });
  if (!s.pass(1)) throw std::runtime_error("never asked");
  end();
  return asked.get();
}

}  // namespace

TEST_CASE("a request ends at once when the process asked is killed", "[ipc][crash]") {
  stage s;
  const pid_t pid = s.member(1, holds(s));
  REQUIRE(s.pass(0));
  ipc::endpoint self{s.options(0), s.membership()};
  CHECK(outcome_after(s, self, [&] { ::kill(pid, SIGKILL); }) == outcome::died);
}

TEST_CASE("a request ends at once when the process asked runs another program", "[ipc][crash]") {
  stage s;
  const auto o = s.options(1);
  s.child([&] {
    ipc::register_handler("held", [](ipc::message&, ipc::reply_token&) {
      ::execl("/bin/sleep", "sleep", "1000", static_cast<char*>(nullptr));
    });
    ipc::endpoint member{o, s.membership()};
    s.open(0);
    s.pass(15);
  });
  REQUIRE(s.pass(0));
  ipc::endpoint self{s.options(0), s.membership()};
  CHECK(self.request(note("held"), process_id{1}, 600s).parts.at(0).how == outcome::died);
}

TEST_CASE("a request ends at once when the endpoint asked goes", "[ipc][crash]") {
  stage s;
  const auto o = s.options(1);
  s.child([&] {
    ipc::register_handler("held", [&](ipc::message&, ipc::reply_token& reply) {
      static ipc::reply_token kept;
      kept = std::move(reply);
      s.open(1);
    });
    {
      ipc::endpoint member{o, s.membership()};
      s.open(0);
      s.pass(2);
    }
    s.pass(15);
  });
  REQUIRE(s.pass(0));
  ipc::endpoint self{s.options(0), s.membership()};
  CHECK(outcome_after(s, self, [&] { s.open(2); }) == outcome::died);
}

TEST_CASE("a request ends when the group says that the process is dead though its sockets are open", "[ipc][crash]") {
  // As while the kernel writes a core dump.
  stage s;
  s.member(1, holds(s));
  s.member(2, holds(s));
  REQUIRE(s.pass(0, 2));
  ipc::endpoint self{s.options(0), s.membership()};
  CHECK(outcome_after(s, self, [&] { s.leave(1); }) == outcome::died);
  CHECK(outcome_after(
            s, self, [&] { self.peer_dead(process_id{2}, 7); }, 2) == outcome::died);
}

TEST_CASE("a plain fork's child keeps its dead parent's connections open for nobody", "[ipc][crash][fork]") {
  stage s;
  const auto o = s.options(1);
  const pid_t pid = s.child([&] {
    holds(s)();
    ipc::endpoint member{o, s.membership()};
    static_cast<void>(member.send(note("x"), process_id{1}));
    if (::fork() == 0) {
      EXPECT(kind_of([&] { member.send(note("x"), process_id{1}); }) == errc::invalid_argument);
      s.open(0);
      s.pass(14);
      ::_exit(0);
    }
    s.pass(15);
  });
  REQUIRE(s.pass(0));
  ipc::endpoint self{s.options(0), s.membership()};
  CHECK(outcome_after(s, self, [&] { ::kill(pid, SIGKILL); }) == outcome::died);
  s.open(14);
}

TEST_CASE("an answer sent right before its sender died counts", "[ipc][crash]") {
  stage s;
  ipc::endpoint* self = nullptr;
  std::vector<std::pair<unsigned, pid_t>> children;
  for (unsigned i = 1; i <= 20; ++i) {
    s.member(i, [] {
      ipc::register_handler("last", [](ipc::message&, ipc::reply_token& reply) {
        reply.send(ipc::bytes_of("words"));
        ::raise(SIGKILL);
      });
    });
  }
  REQUIRE(s.pass(0, 20));
  ipc::endpoint mine{s.options(0, true), s.membership()};
  self = &mine;
  for (std::uint16_t i = 1; i <= 10; ++i) CHECK(self->call(note("last"), process_id{i}, 30s).text() == "words");
  for (std::uint16_t i = 11; i <= 20; ++i) {
    std::promise<outcome> how;
    self->request_async(note("last"), process_id{i}, 30s,
                        [&](const auto&, ipc::replies& got) { how.set_value(got.parts.at(0).how); });
    CHECK(how.get_future().get() == outcome::answered);
  }
}

TEST_CASE("a process in the slot of a dead one is another process", "[ipc][crash]") {
  stage s;
  const pid_t pid = s.member(1, echo);
  REQUIRE(s.pass(0));
  auto next = s.options(1);
  next.self.incarnation = 8;
  s.child([&] {
    echo();
    s.pass(3);
    ipc::endpoint member{next, s.membership()};
    s.open(0);
    s.pass(15);
  });
  ipc::endpoint self{s.options(0), s.membership()};
  CHECK(self.call(note("echo", "1"), process_id{1}, 10s).text() == "1");
  s.kill(pid);
  s.enter(1, false, 8);
  s.open(3);
  REQUIRE(s.pass(0));
  CHECK(self.call(note("echo", "2"), process_id{1}, 10s).text() == "2");
  CHECK(self.send(note("echo"), process_id{1}) == 1);
}

TEST_CASE("every death is news to somebody without anything being sent", "[ipc][crash]") {
  stage s;
  std::vector<pid_t> pids;
  for (unsigned i = 1; i <= 3; ++i) pids.push_back(s.member(i));
  REQUIRE(s.pass(0, 3));
  auto o = s.options(0, true);
  std::atomic<unsigned> lost{0};
  o.on_peer_lost = [&](process_id id, std::uint64_t incarnation) {
    if (incarnation == 7) lost |= 1U << static_cast<unsigned>(id);
  };
  ipc::endpoint self{o, s.membership()};
  // Its neighbours are connected in the background.
  REQUIRE(eventually([&] { return self.stats().received >= 3; }));
  s.kill(pids[0]);
  CHECK(eventually([&] { return lost == 0b0010; }));
  s.kill(pids[2]);
  CHECK(eventually([&] { return lost == 0b1010; }));
}

TEST_CASE("deaths are seen across PID namespaces", "[ipc][crash][container]") {
  if (::geteuid() != 0) {
    WARN("SKIP: only root makes PID namespaces");
    return;
  }
  stage s;
  const auto o = s.options(1);
  s.child([&] {
    if (::unshare(CLONE_NEWPID) != 0) {
      s.table().numbers[0] = 1;
      s.open(0);
      return;
    }
    const pid_t first = ::fork();  // pid 1 of the new namespace
    if (first == 0) {
      holds(s)();
      ipc::endpoint member{o, s.membership()};
      s.open(0);
      s.pass(15);
      ::_exit(0);
    }
    s.pass(2);
    ::kill(first, SIGKILL);
    ::waitpid(first, nullptr, 0);
  });
  REQUIRE(s.pass(0));
  if (s.table().numbers[0] != 0) {
    WARN("SKIP: this kernel refuses PID namespaces here");
    return;
  }
  ipc::endpoint self{s.options(0), s.membership()};
  CHECK(outcome_after(s, self, [&] { s.open(2); }) == outcome::died);
}
