// SPDX-License-Identifier: BSD-3-Clause
// What a datagram must be to be taken.
#include "ipc/wire.hpp"

#include <sys/socket.h>
#include <catch2/catch.hpp>

#include <cstring>

#include "ipc/socket.hpp"

using namespace mpnet;
using namespace mpnet::ipc;

namespace {

/// The bytes that sending this makes.
std::vector<std::byte> bytes_sent(const frame_fields& fields, const outgoing& what) {
  int ends[2] = {-1, -1};
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  const unique_fd a{ends[0]};
  const unique_fd b{ends[1]};
  REQUIRE(send_frame(a.get(), fields, what) == send_status::sent);
  std::vector<std::byte> bytes(max_frame_bytes);
  const auto n = ::recv(b.get(), bytes.data(), bytes.size(), 0);
  REQUIRE(n > 0);
  bytes.resize(static_cast<std::size_t>(n));
  return bytes;
}

frame_fields request() {
  frame_fields f;
  f.kind = frame_kind::request;
  f.id = 77;
  f.channel = 5;
  f.sender = process_id{3};
  f.incarnation = 9;
  return f;
}

}  // namespace

TEST_CASE("a datagram is read as it was written", "[ipc][wire]") {
  const auto bytes = bytes_sent(request(), {.name = "handler", .data = bytes_of("data"), .fds = {}});
  const auto view = parse_frame(bytes, 0);
  REQUIRE(view);
  CHECK(view->kind() == frame_kind::request);
  CHECK(view->name == "handler");
  CHECK(view->data.size() == 4);
  CHECK(view->header.id == 77);
  CHECK(view->header.channel == 5);
  CHECK(view->sender() == process_id{3});
  CHECK(view->header.incarnation == 9);
}

TEST_CASE("a datagram cut anywhere, or grown, is refused", "[ipc][wire]") {
  auto bytes = bytes_sent(request(), {.name = "handler", .data = bytes_of("data"), .fds = {}});
  for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(parse_frame({bytes.data(), n}, 0));
  bytes.push_back(std::byte{0});
  CHECK_FALSE(parse_frame(bytes, 0));
}

TEST_CASE("a datagram whose header lies is refused", "[ipc][wire]") {
  const auto good = bytes_sent(request(), {.name = "handler", .data = bytes_of("data"), .fds = {}});
  const auto with = [&](auto&& change) {
    auto bytes = good;
    frame_header h{};
    std::memcpy(&h, bytes.data(), sizeof h);
    change(h);
    std::memcpy(bytes.data(), &h, sizeof h);
    return parse_frame(bytes, 0).has_value();
  };
  CHECK(with([](frame_header&) {}));
  CHECK_FALSE(with([](frame_header& h) { h.magic ^= 1; }));
  CHECK_FALSE(with([](frame_header& h) { ++h.version; }));
  CHECK_FALSE(with([](frame_header& h) { h.kind = 0; }));
  CHECK_FALSE(with([](frame_header& h) { h.kind = 99; }));
  CHECK_FALSE(with([](frame_header& h) { ++h.name_len; }));
  CHECK_FALSE(with([](frame_header& h) { h.name_len = 255; }));
  CHECK_FALSE(with([](frame_header& h) { ++h.data_len; }));
  CHECK_FALSE(with([](frame_header& h) { h.data_len = 0xffff'ffff; }));
  CHECK_FALSE(with([](frame_header& h) { h.fd_count = 1; }));
  CHECK_FALSE(with([](frame_header& h) { h.kind = static_cast<std::uint8_t>(frame_kind::hello); }));
  CHECK_FALSE(with([](frame_header& h) { h.kind = static_cast<std::uint8_t>(frame_kind::channel); }));
  CHECK_FALSE(with([](frame_header& h) { h.kind = static_cast<std::uint8_t>(frame_kind::fetch); }));
  CHECK_FALSE(parse_frame(good, 1));
  auto nameless = good;
  nameless[sizeof(frame_header)] = std::byte{7};  // a control character
  CHECK_FALSE(parse_frame(nameless, 0));
}

TEST_CASE("socket files are told from others by their names", "[ipc][wire]") {
  const socket_place place{"/run/x", "ipc"};
  const auto name = parse_socket_name(place, "ipc.12.345");
  REQUIRE(name);
  CHECK(name->id == process_id{12});
  CHECK(name->incarnation == 345);
  CHECK(socket_path(place, *name) == "/run/x/ipc.12.345");
  for (const char* other : {"ipc", "ipc.", "ipc.1", "ipc.1.", "ipc..1", "ipc.1.2.3", "ipc.x.1", "ipc.-1.1", "ipc.512.1",
                            "ipc.1.2.new.77", "lock", "ipd.1.2", "ipc.1.99999999999999999999"}) {
    CHECK_FALSE(parse_socket_name(place, other));
  }
}
