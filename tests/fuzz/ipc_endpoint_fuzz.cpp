// SPDX-License-Identifier: BSD-3-Clause
// A living endpoint, and a connection to it on which anything is sent.  The input is a list of datagrams: a length
// byte, a descriptor count (0 to 3), then that many bytes, or, for a length over 200, a header made of the next 16
// bytes so that the states behind the parser are reached.  Afterwards the endpoint still answers, and no descriptor is
// left.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "ipc/socket.hpp"
#include "ipc/wire.hpp"

using namespace mpnet;
using namespace mpnet::ipc;

namespace {

struct target {
  std::string dir =
      (std::filesystem::temp_directory_path() / ("mpnet-ipc-fuzz-" + std::to_string(::getpid()))).string();
  socket_place place{dir, "ipc"};
  member self{process_id{0}, 1, true};
  std::optional<endpoint> served;
  int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);

  target() {
    std::filesystem::create_directories(dir);
    register_handler("a", [](message& in, reply_token& reply) {
      if (reply) reply.send(in.data);
    });
    publish_fds("k", {&null, 1});
    membership m;
    m.list = [this] { return std::vector{self}; };
    m.find = [this](process_id id) { return id == self.id ? std::optional{self} : std::nullopt; };
    m.find_primary = [this] { return std::optional{self}; };
    m.alive = [this](process_id id, std::uint64_t incarnation) {
      return id != self.id || incarnation == self.incarnation;
    };
    m.holder = [](lcore) { return process_id{0}; };
    served.emplace(endpoint_options{place, self, {}, {}}, m);
  }
  ~target() {
    served.reset();
    std::error_code ignored;
    std::filesystem::remove_all(dir, ignored);
  }
};

void send_one(int socket, std::span<const std::byte> bytes, std::span<const int> fds) {
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(3 * sizeof(int))> control{};
  if (!fds.empty()) {
    m.msg_control = control.data();
    m.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  [[maybe_unused]] const auto n = ::sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/// A datagram whose header passes, with its fields chosen by the input.
std::vector<std::byte> shaped(std::span<const std::uint8_t, 16> in, std::size_t fd_count) {
  frame_header h{};
  h.magic = frame_magic;
  h.version = frame_version;
  h.kind = static_cast<std::uint8_t>(1 + in[0] % 8);
  h.status = in[1];
  h.id = in[2];
  h.incarnation = in[3] % 4;
  h.channel = in[4];
  h.sender = static_cast<std::uint16_t>(1 + in[5] % 3);
  h.name_len = in[6] % 2;
  h.data_len = in[7] % 8;
  h.fd_count = static_cast<std::uint16_t>(fd_count);
  std::vector<std::byte> bytes(sizeof h + h.name_len + h.data_len, std::byte(in[8] % 2 == 0 ? 'a' : 'k'));
  std::memcpy(bytes.data(), &h, sizeof h);
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static target t;
  auto link = connect_to(t.place, {t.self.id, t.self.incarnation});
  if (link.status != connect_status::connected) std::abort();
  const std::array<int, 3> fds{t.null, t.null, t.null};
  while (size >= 2) {
    const std::size_t len = data[0];
    const std::span<const int> some{fds.data(), data[1] % 4U};
    data += 2;
    size -= 2;
    if (len > 200 && size >= 16) {
      send_one(link.fd.get(), shaped(std::span<const std::uint8_t, 16>{data, 16}, some.size()), some);
      data += 16;
      size -= 16;
    } else {
      const std::size_t n = std::min(len, size);
      send_one(link.fd.get(), std::as_bytes(std::span{data, n}), some);
      data += n;
      size -= n;
    }
  }
  // Behind all that on the same connection: still read, and answered.
  send_one(link.fd.get(), {}, {});
  const auto sent = send_frame(link.fd.get(), {.kind = frame_kind::fetch}, {.name = "k"});
  if (sent == send_status::gone) std::abort();
  link.fd.reset();
  if (t.served->call({.name = "a", .data = bytes_of("x")}, t.self.id, std::chrono::seconds{20}).text() != "x")
    std::abort();
  static std::size_t runs = 0;
  if (++runs % 256 == 0) {
    std::size_t open = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) ++open;
    if (open > 200) std::abort();  // those of connections that are just being closed, and no more
  }
  return 0;
}
