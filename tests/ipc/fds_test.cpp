// SPDX-License-Identifier: BSD-3-Clause
// The keyed store of descriptors.
#include <fcntl.h>
#include <sys/stat.h>
#include <catch2/catch.hpp>

#include "ipc/troupe.hpp"

using namespace troupe;

namespace {

ino_t inode(int fd) {
  struct stat s {};
  return ::fstat(fd, &s) == 0 ? s.st_ino : 0;
}

mpnet::detail::unique_fd memory_file() {
  return mpnet::detail::unique_fd{::memfd_create("ipc-test", MFD_CLOEXEC)};
}

}  // namespace

TEST_CASE("a process that is no member yet fetches descriptors knowing only the directory", "[ipc][fds]") {
  stage s;
  const auto file = memory_file();
  s.member(3, [&] {
    const int fd = file.get();
    ipc::publish_fds("region.0", {&fd, 1}, ipc::bytes_of("2 MiB pages"));
  });
  s.member(1);
  REQUIRE(s.pass(0, 2));
  const auto before = open_fds();
  {
    const auto got = ipc::fetch_fds(s.place(), "region.0", 10s);
    REQUIRE(got);
    REQUIRE(got->fds.size() == 1);
    CHECK(inode(got->fds[0].get()) == inode(file.get()));
    CHECK((::fcntl(got->fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(std::string_view{reinterpret_cast<const char*>(got->data.data()), got->data.size()} == "2 MiB pages");
    CHECK(got->from == process_id{3});
  }
  CHECK_FALSE(ipc::fetch_fds(s.place(), "region.1", 10s));
  CHECK(open_fds() == before);
}

TEST_CASE("a fetch finds nothing where nobody is", "[ipc][fds]") {
  stage s;
  CHECK_FALSE(ipc::fetch_fds(s.place(), "key", 10s));
  CHECK_FALSE(ipc::fetch_fds({"/nonexistent", "ipc"}, "key", 10s));
  CHECK_THROWS_AS(ipc::fetch_fds(s.place(), "", 10s), mpnet::error);
}

TEST_CASE("a stopped member keeps nobody from fetching, and is named where only it may have the key", "[ipc][fds]") {
  stage s;
  const auto file = memory_file();
  std::vector<pid_t> stopped;
  for (unsigned i = 1; i <= 3; ++i) stopped.push_back(s.member(i));
  s.member(9, [&] {
    const int fd = file.get();
    ipc::publish_fds("key", {&fd, 1});
  });
  REQUIRE(s.pass(0, 4));
  for (const pid_t pid : stopped) s.stop(pid);
  const auto got = ipc::fetch_fds(s.place(), "key", 20s);
  REQUIRE(got);
  CHECK(got->from == process_id{9});
  try {
    static_cast<void>(ipc::fetch_fds(s.place(), "other", 50ms));
    FAIL("nobody can know");
  } catch (const mpnet::error& e) {
    CHECK(e.kind() == mpnet::errc::timed_out);
    CHECK(std::string{e.what()}.find(" 1 2 3;") != std::string::npos);
  }
}

TEST_CASE("who keeps what it fetched offers it after the publisher's death", "[ipc][fds]") {
  stage s;
  const auto file = memory_file();
  const pid_t publisher = s.member(1, [&] {
    const int fd = file.get();
    ipc::publish_fds("device", {&fd, 1});
  });
  REQUIRE(s.pass(0));
  const auto o = s.options(2);
  s.child([&] {
    ipc::endpoint self{o, s.membership()};
    EXPECT(ipc::fetch_fds("device", 10s, true).has_value());
    s.open(1);
    s.pass(15);
  });
  REQUIRE(s.pass(1));
  s.kill(publisher);
  const auto got = ipc::fetch_fds(s.place(), "device", 10s);
  REQUIRE(got);
  CHECK(got->from == process_id{2});
  CHECK(inode(got->fds.at(0).get()) == inode(file.get()));
}

TEST_CASE("253 descriptors travel under one key, 254 are refused", "[ipc][fds]") {
  stage s;
  const auto file = memory_file();
  const std::vector<int> many(254, file.get());
  const auto before = open_fds();
  try {
    ipc::publish_fds("many", many);
    FAIL("too many");
  } catch (const mpnet::error& e) {
    CHECK(e.kind() == mpnet::errc::limit);
  }
  const int closed = 9999;
  CHECK_THROWS_AS(ipc::publish_fds("closed", {&closed, 1}), mpnet::error);
  CHECK(open_fds() == before);
  s.member(0, [&] { ipc::publish_fds("many", {many.data(), 253}); });
  REQUIRE(s.pass(0));
  const auto got = ipc::fetch_fds(s.place(), "many", 10s);
  REQUIRE(got);
  CHECK(got->fds.size() == 253);
}

TEST_CASE("offers are replaced and withdrawn", "[ipc][fds]") {
  const auto a = memory_file();
  const auto b = memory_file();
  const auto before = open_fds();
  int fd = a.get();
  ipc::publish_fds("replaced", {&fd, 1});
  fd = b.get();
  ipc::publish_fds("replaced", {&fd, 1});
  CHECK(inode(ipc::own_fds("replaced")->fds.at(0).get()) == inode(b.get()));
  CHECK(ipc::withdraw_fds("replaced"));
  CHECK_FALSE(ipc::withdraw_fds("replaced"));
  CHECK_FALSE(ipc::own_fds("replaced"));
  CHECK(open_fds() == before);
}
