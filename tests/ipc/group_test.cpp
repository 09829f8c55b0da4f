// SPDX-License-Identifier: BSD-3-Clause
// Endpoints of real groups: roles, lcores, deaths, and memory that a member cannot open itself.
#include <catch2/catch.hpp>
#include <mpnet/group.hpp>
#include <mpnet/heap.hpp>

#include "ipc/troupe.hpp"
#include "mem/control.hpp"

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
