// SPDX-License-Identifier: BSD-3-Clause
// What strangers and broken peers send: it is counted and dropped, and nothing is lost by it.
#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <catch2/catch.hpp>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "ipc/socket.hpp"
#include "ipc/troupe.hpp"
#include "ipc/wire.hpp"

using namespace troupe;
using mpnet::errc;

namespace {

ipc::tracked_fd raw_connection(const stage& s, unsigned id) {
  auto link = ipc::connect_to(s.place(), {process_id{static_cast<std::uint16_t>(id)}, 7});
  REQUIRE(link.status == ipc::connect_status::connected);
  return std::move(link.fd);
}

void send_raw(int socket, std::span<const std::byte> bytes, std::span<const int> fds = {}) {
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  std::vector<std::byte> control(CMSG_SPACE(fds.size_bytes()));
  if (!fds.empty()) {
    m.msg_control = control.data();
    m.msg_controllen = control.size();
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  ssize_t n = -1;
  do n = ::sendmsg(socket, &m, MSG_NOSIGNAL);
  while (n < 0 && errno == EAGAIN && ::usleep(200) == 0);
  REQUIRE(n == static_cast<ssize_t>(bytes.size()));
}

/// Whether the kernel has all other threads of this process asleep.
bool others_sleep() {
  for (const auto& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
    if (task.path().filename() == std::to_string(::gettid())) continue;
    std::ifstream file{task.path() / "stat"};
    const std::string line{std::istreambuf_iterator<char>{file}, {}};
    if (line[line.rfind(')') + 2] != 'S') return false;
  }
  return true;
}

}  // namespace

TEST_CASE("who connects, says nothing of meaning and hangs up leaves the threads asleep", "[ipc][hostile]") {
  stage s;
  ipc::endpoint self{s.options(0), s.membership()};
  const auto fds_before = open_fds();
  for (int n = 0; n < 3; ++n) send_raw(raw_connection(s, 0).get(), std::array{std::byte{}});
  // A thread that finds the same end again and again keeps the connection, and never sleeps.
  CHECK(eventually([&] { return self.stats().malformed == 3 && open_fds() == fds_before && others_sleep(); }));
}

TEST_CASE("garbage is counted and dropped, its descriptors are closed, and the endpoint goes on", "[ipc][hostile]") {
  stage s;
  const scoped_handler mine{"mine", [](ipc::message& in, ipc::reply_token& reply) { reply.send(in.data); }};
  ipc::endpoint self{s.options(0), s.membership()};
  self.call(note("mine"), process_id{0}, 10s);
  const auto fds_before = open_fds();
  std::uint64_t sent = 0;
  {
    const auto socket = raw_connection(s, 0);
    const int size = 1 << 20;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    const auto file = carried_file();
    const std::vector<int> fds(50, file.get());
    std::mt19937 random{1};
    const auto junk = [&](std::size_t n) {
      std::vector<std::byte> bytes(n);
      for (auto& b : bytes) b = std::byte(random());
      return bytes;
    };
    for (const std::size_t n : {0U, 1U, 39U, 40U, 41U, 1000U, 65'700U, 150'000U}) {
      send_raw(socket.get(), junk(n));
      ++sent;
      if (n == 0) continue;  // a datagram without a byte carries no descriptors
      send_raw(socket.get(), junk(n), fds);
      ++sent;
    }
    // Well-formed, but not from a member, or not asked for.
    for (const auto kind : {ipc::frame_kind::note, ipc::frame_kind::request}) {
      CHECK(ipc::send_frame(socket.get(), {.kind = kind, .sender = process_id{1}},
                            {.name = "mine", .data = {}, .fds = fds}) == ipc::send_status::sent);
      ++sent;
    }
    CHECK(ipc::send_frame(socket.get(), {.kind = ipc::frame_kind::fetched}, {.name = {}, .data = {}, .fds = fds}) ==
          ipc::send_status::sent);
    ++sent;
    CHECK(ipc::send_frame(socket.get(), {.kind = ipc::frame_kind::reply, .id = 1},
                          {.name = {}, .data = {}, .fds = fds}) == ipc::send_status::sent);
    CHECK(eventually([&] { return self.stats().malformed == sent && self.stats().late_replies == 1; }));
    CHECK(self.call(note("mine", "well"), process_id{0}, 10s).text() == "well");
  }
  CHECK(eventually([] { return open_carried() == 0; }));
  CHECK(eventually([&] { return open_fds() <= fds_before; }));  // fewer where a greeting's was counted
}

TEST_CASE("a hello with anything as its descriptor, or that contradicts an earlier one, harms nobody",
          "[ipc][hostile]") {
  stage s;
  const scoped_handler mine{"mine", [](ipc::message& in, ipc::reply_token& reply) { reply.send(in.data); }};
  ipc::endpoint self{s.options(0), s.membership()};
  const auto fds_before = open_fds();
  {
    const auto socket = raw_connection(s, 0);
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int zero = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
    const auto hello = [&](std::uint16_t id, std::uint64_t incarnation, int fd) {
      CHECK(ipc::send_frame(socket.get(),
                            {.kind = ipc::frame_kind::hello, .sender = process_id{id}, .incarnation = incarnation},
                            {.name = {}, .data = {}, .fds = {&fd, 1}}) == ipc::send_status::sent);
    };
    s.enter(5, false, 1);
    s.enter(6, false, 1);
    hello(5, 2, null);  // not the incarnation that lives
    hello(0, 8, null);  // not this one either
    hello(5, 1, null);
    hello(5, 1, zero);
    hello(6, 1, null);
    CHECK(eventually([&] { return self.stats().malformed == 3; }));
    for (std::uint32_t i = 1; i <= 1200; ++i) {
      ipc::frame_fields f{.kind = ipc::frame_kind::channel};
      f.channel = i;
      while (ipc::send_frame(socket.get(), f, {.name = {}, .data = {}, .fds = {&null, 1}}) != ipc::send_status::sent) {
        ::usleep(200);
      }
    }
    CHECK(eventually([&] { return self.stats().malformed == 3 + 1200 - 1024; }));  // bounded
    CHECK(self.call(note("mine", "well"), process_id{0}, 10s).text() == "well");
    ::close(null);
    ::close(zero);
  }
  CHECK(eventually([&] { return open_fds() <= fds_before + 8; }));  // its own connection to itself is new
}

TEST_CASE("sockets are private files, and another user's process is turned away", "[ipc][hostile]") {
  stage s;
  const auto o = s.options(0);
  ipc::endpoint self{o, s.membership()};
  const std::string path = ipc::socket_path(s.place(), {process_id{0}, 7});
  struct stat st {};
  REQUIRE(::stat(path.c_str(), &st) == 0);
  CHECK((st.st_mode & 07777) == 0600);
  if (::geteuid() != 0) {
    WARN("SKIP: only root can become another user");
    return;
  }
  // Even where the file's mode lets it pass, the kernel's word on its user does not.
  REQUIRE(::chmod(path.c_str(), 0777) == 0);
  REQUIRE(::chmod(s.place().dir.c_str(), 0777) == 0);
  const pid_t stranger = ::fork();
  if (stranger == 0) {
    EXPECT(::setgroups(0, nullptr) == 0 && ::setgid(65534) == 0 && ::setuid(65534) == 0);
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    std::strncpy(where.sun_path, path.c_str(), sizeof where.sun_path - 1);
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET, 0);
    EXPECT(::connect(fd, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0);
    std::byte one{};
    EXPECT(::recv(fd, &one, 1, 0) <= 0);  // closed without a word
    ::_exit(0);
  }
  int status = -1;
  ::waitpid(stranger, &status, 0);
  CHECK(status == 0);
  // Turned away first, counted a moment later.
  for (const auto end = std::chrono::steady_clock::now() + 10s;
       self.stats().foreign == 0 && std::chrono::steady_clock::now() < end;) {
    std::this_thread::yield();
  }
  CHECK(self.stats().foreign == 1);
}

TEST_CASE("one endpoint listens under a name, what dead ones left is removed", "[ipc][hostile]") {
  stage s;
  const pid_t pid = s.member(1);
  REQUIRE(s.pass(0));
  CHECK(kind_of([&] { ipc::endpoint second{s.options(1), s.membership()}; }) == errc::exists);
  s.kill(pid);
  const std::string left = ipc::socket_path(s.place(), {process_id{1}, 7});
  CHECK(std::filesystem::exists(left));
  ipc::remove_stale_sockets(s.place());
  CHECK_FALSE(std::filesystem::exists(left));
  {
    ipc::endpoint self{s.options(2), s.membership()};
    ipc::remove_stale_sockets(s.place());
    CHECK(ipc::list_sockets(s.place()).size() == 1);
  }
  CHECK(ipc::list_sockets(s.place()).empty());
}

TEST_CASE("a runtime directory with a path of any length will do", "[ipc][hostile]") {
  stage s;
  auto o = s.options(0);
  o.place.dir += "/" + std::string(150, 'd');
  std::filesystem::create_directory(o.place.dir);
  const scoped_handler mine{"mine", [](ipc::message& in, ipc::reply_token& reply) { reply.send(in.data); }};
  ipc::endpoint self{o, s.membership()};
  CHECK(self.call(note("mine", "far"), process_id{0}, 10s).text() == "far");
}

TEST_CASE("a runtime directory that is missing is an error that names it", "[ipc][hostile]") {
  stage s;
  auto o = s.options(0);
  o.place.dir = "/nonexistent/mpnet";
  const auto before = open_fds();
  try {
    ipc::endpoint self{o, s.membership()};
    FAIL("there is no such directory");
  } catch (const mpnet::error& e) {
    CHECK(std::string{e.what()}.find("/nonexistent/mpnet/ipc.0.7") != std::string::npos);
  }
  CHECK(open_fds() == before);
}
