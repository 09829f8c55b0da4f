// SPDX-License-Identifier: BSD-3-Clause
// Requests, synchronous and asynchronous, and how their parts end.
#include <fcntl.h>
#include <catch2/catch.hpp>

#include <future>
#include <thread>

#include "ipc/troupe.hpp"

using namespace troupe;
using ipc::bytes_of;
using ipc::outcome;

namespace {

void echo() {
  ipc::register_handler("echo", [](ipc::message& in, ipc::reply_token& reply) {
    std::vector<int> fds;
    for (const auto& fd : in.fds) fds.push_back(fd.get());
    reply.send(in.data, fds);
  });
}

ipc::outgoing text(std::string_view name, std::string_view data = {}) {
  return {.name = name, .data = bytes_of(data), .fds = {}};
}

[[maybe_unused]] mpnet::errc kind_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const mpnet::error& e) {
    return e.kind();
  }
  return mpnet::errc{};
}

}  // namespace

TEST_CASE("a request is answered, by whom it was asked", "[ipc][request]") {
  stage s;
  s.member(1, echo);
  REQUIRE(s.pass(0));
  ipc::endpoint self{s.options(0, true), s.membership()};
  for (int i = 0; i < 100; ++i) {
    const auto got = self.request(text("echo", std::to_string(i)), {}, 10s);
    REQUIRE(got.nb_sent == 1);
    REQUIRE(got.nb_received == 1);
    CHECK(got.parts.at(0).how == outcome::answered);
    CHECK(got.parts.at(0).from == process_id{1});
    CHECK(got.parts.at(0).reply.text() == std::to_string(i));
  }
}
