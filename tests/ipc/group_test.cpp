// SPDX-License-Identifier: BSD-3-Clause
// Endpoints of real groups: roles, lcores, deaths, and memory that a member cannot open itself.
#include <sys/ptrace.h>
#include <catch2/catch.hpp>
#include <mpnet/group.hpp>
#include <mpnet/heap.hpp>
#include <mpnet/process.hpp>

#include <future>

#include "ipc/socket.hpp"
#include "ipc/troupe.hpp"
#include "mem/control.hpp"
#include "support/sanitized.hpp"

using namespace troupe;
using mpnet::errc;
using mpnet::group;
using mpnet::process_type;

namespace {

mpnet::group_options in_group(process_type type) {
  mpnet::group_options o;
  o.file_prefix = "ipc-test-" + std::to_string(::getpgrp()) + "-" + std::to_string(::getpid());
  o.type = type;
  o.no_huge = true;
  return o;
}

}  // namespace

TEST_CASE("members of a real group talk by role, and see each other die", "[ipc][group]") {
  stage s;
  auto o = in_group(process_type::secondary);
  const pid_t pid = s.child([&] {
    echo();
    s.pass(1);
    group g{o};
    ipc::endpoint member{g};
    EXPECT(member.call(note("echo", "up"), {}, 20s).text() == "up");
    s.open(0);
    s.pass(15);
  });
  const scoped_handler mine{"echo", [](ipc::message& in, ipc::reply_token& reply) { reply.send(in.data); }};
  o.type = process_type::primary;
  std::optional<group> g{o};
  {
    std::atomic<bool> lost{false};
    ipc::endpoint self{*g, {}, [&](process_id, std::uint64_t) { lost = true; }};
    s.open(1);
    REQUIRE(s.pass(0));
    const auto got = self.request(note("echo", "down"), {}, 20s);
    REQUIRE(got.nb_received == 1);
    CHECK(got.parts.at(0).reply.text() == "down");
    s.kill(pid);
    CHECK(eventually([&] { return lost.load(); }));
    CHECK(self.send(note("echo")) == 0);
    CHECK(kind_of([&] { self.send(note("echo"), got.parts.at(0).from); }) == errc::peer_died);
  }
}

TEST_CASE("a process gets the group's memory from a member when it cannot open the files", "[ipc][group][container]") {
  stage s;
  auto o = in_group(process_type::secondary);
  const pid_t pid = s.child([&] {
    s.pass(1);
    ipc::fetch_memory_from_members();
    group g{o};
    EXPECT(g.memory().used_bytes > 0);
  });
  o.type = process_type::primary;
  group g{o};
  void* block = mpnet::allocate(g, 1 << 20);
  ipc::endpoint self{g};
  const auto got = ipc::fetch_fds({g.runtime_dir(), "ipc"}, "segment:0", 10s);
  REQUIRE(got);
  CHECK(got->fds.size() == 1);
  // Hide the file, as a container without that mount would.
  const std::string path = g.control().segments[0].path;
  std::filesystem::rename(path, path + ".hidden");
  s.open(1);
  CHECK(s.wait(pid) == 0);
  std::filesystem::rename(path + ".hidden", path);
  mpnet::deallocate(g, block);
}

TEST_CASE("a process that crashes has hung up before its core is dumped", "[ipc][group][crash]") {
  if (test::skip_sanitized("the sanitizer takes fatal signals")) return;
  stage s;
  auto o = in_group(process_type::secondary);
  const pid_t pid = s.child([&] {
    ::signal(SIGSEGV, SIG_DFL);  // the test framework's handler would be chained
    ipc::register_handler("held", [&s](ipc::message&, ipc::reply_token&) {
      s.open(2);
      ::pause();
    });
    s.pass(1);
    group g{o};
    ipc::endpoint member{g};
    EXPECT(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0);
    s.open(0);
    s.pass(3);
    ::raise(SIGSEGV);
  });
  o.type = process_type::primary;
  group g{o};
  std::atomic<unsigned> lost{0};
  ipc::endpoint self{g, {}, [&](process_id, std::uint64_t) { ++lost; }};
  s.open(1);
  REQUIRE(s.pass(0));
  auto asked = std::async(std::launch::async, [&] {
    return self.request(note("held"), ipc::destination::everyone(), 600s).parts.at(0).how;
  });
  REQUIRE(s.pass(2));
  s.open(3);
  // The kernel stops it for us before the handler of the signal runs, and again before the default action, the dump.
  const auto stopped_by_segv = [&] {
    int status = 0;
    while (::waitpid(pid, &status, 0) != pid) {
      if (errno != EINTR) return false;
    }
    return WIFSTOPPED(status) && WSTOPSIG(status) == SIGSEGV;
  };
  REQUIRE(stopped_by_segv());
  CHECK(lost == 0);
  REQUIRE(::ptrace(PTRACE_CONT, pid, nullptr, SIGSEGV) == 0);
  REQUIRE(stopped_by_segv());
  CHECK(asked.get() == ipc::outcome::died);
  CHECK(eventually([&] { return lost == 1; }));
  CHECK(mpnet::recover_dead(g) == 1);
  CHECK(ipc::list_sockets(self.place()).size() == 1);
  s.kill(pid);
}

TEST_CASE("recovery removes the files that a killed member had in the runtime directory", "[ipc][group][crash]") {
  stage s;
  auto o = in_group(process_type::secondary);
  const pid_t pid = s.child([&] {
    s.pass(1);
    group g{o};
    ipc::endpoint member{g};
    s.open(0);
    s.pass(15);
  });
  o.type = process_type::primary;
  group g{o};
  ipc::endpoint self{g};
  s.open(1);
  REQUIRE(s.pass(0));
  REQUIRE(ipc::list_sockets(self.place()).size() == 2);
  s.kill(pid);
  static_cast<void>(mpnet::recover_dead(g));
  CHECK(ipc::list_sockets(self.place()).size() == 1);
  CHECK(ipc::list_sockets(self.place()).at(0).id == g.self());
}
