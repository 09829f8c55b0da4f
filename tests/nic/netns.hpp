// SPDX-License-Identifier: BSD-3-Clause
// Network namespaces for tests: a child process in one of its own, which the kernel removes with the child, its veth
// pairs included.  Nothing has a name that another test could meet.
#pragma once

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "support/child.hpp"

namespace test {

/// In a child: a check that ends it with a message.
#define EXPECT(condition)                                                          \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      return 1;                                                                    \
    }                                                                              \
  } while (false)

inline bool shell(const std::string& command) {
  return std::system((command + " >/dev/null").c_str()) == 0;
}

/// Why tests of interfaces cannot run here, or an empty text.
inline std::string no_network_reason() {
  child probe{[]() -> int {
    if (::unshare(CLONE_NEWNET) != 0) return 1;
    return shell("ip link add name ta type veth peer name tb 2>&1") ? 0 : 2;
  }};
  switch (probe.wait()) {
    case 0:
      return {};
    case 1:
      return "no right to make network namespaces";
    default:
      return "no veth interfaces here";
  }
}

/// Runs `body` in a child with its own network namespace, loopback up.
inline int in_new_network(const std::function<int()>& body, int timeout_ms = 60'000) {
  child c{[&]() -> int {
    if (::unshare(CLONE_NEWNET) != 0 || !shell("ip link set lo up")) return 98;
    return body();
  }};
  return c.wait(timeout_ms);
}

/// A pair in this namespace, both up, without the packets that IPv6 sends by itself.
inline bool add_veth(const std::string& a, const std::string& b) {
  return shell("ip link add name " + a + " type veth peer name " + b) &&
         shell("sysctl -qw net.ipv6.conf." + a + ".disable_ipv6=1 net.ipv6.conf." + b + ".disable_ipv6=1") &&
         shell("ip link set dev " + a + " up") && shell("ip link set dev " + b + " up");
}

/// The far end of a cable: a plain packet socket.
class raw_end {
 public:
  explicit raw_end(const std::string& interface) : fd_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL))) {
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
    if (::bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) std::abort();
    const int on = 1;
    ::setsockopt(fd_, SOL_PACKET, 23 /* PACKET_IGNORE_OUTGOING */, &on, sizeof on);
  }
  raw_end(const raw_end&) = delete;
  ~raw_end() { ::close(fd_); }
  [[nodiscard]] bool send(const std::vector<std::uint8_t>& frame) const {
    return ::send(fd_, frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size());
  }
  /// The next frame, or nothing when none comes in time.
  [[nodiscard]] std::optional<std::vector<std::uint8_t>> receive(int timeout_ms = 5'000) const {
    pollfd p{fd_, POLLIN, 0};
    if (::poll(&p, 1, timeout_ms) != 1) return {};
    std::vector<std::uint8_t> frame(70'000);
    const ssize_t got = ::recv(fd_, frame.data(), frame.size(), 0);
    if (got < 0) return {};
    frame.resize(static_cast<std::size_t>(got));
    return frame;
  }

 private:
  int fd_;
};

}  // namespace test
