// SPDX-License-Identifier: BSD-3-Clause
// A process that leaves while its endpoint's threads still work.  Nothing is wrong then, and nothing is said.
#include <sys/mman.h>
#include <catch2/catch.hpp>

#include "ipc/troupe.hpp"

using namespace troupe;
using mpnet::errc;

namespace {

/// What this process writes to stderr meanwhile.
template <class F>
std::string said_during(F&& run) {
  const mpnet::detail::unique_fd said{::memfd_create("said", MFD_CLOEXEC)};
  const mpnet::detail::unique_fd before{::dup(STDERR_FILENO)};
  ::dup2(said.get(), STDERR_FILENO);
  run();
  ::dup2(before.get(), STDERR_FILENO);
  std::string text(static_cast<std::size_t>(::lseek(said.get(), 0, SEEK_END)), '\0');
  if (::pread(said.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) text = "(not read)";
  return text;
}

const std::string nothing;

}  // namespace

TEST_CASE("a process that leaves while it still looks for its neighbours has nothing to complain of", "[ipc][leave]") {
  stage s;
  s.member(
      1, [] {}, true);
  REQUIRE(s.pass(0));
  // A primary is looked at as often as it is named: the end comes between two looks.
  ipc::membership members = s.membership();
  members.list = [primary = *members.find_primary()] { return std::vector<ipc::member>(100'000, primary); };
  members.find = [](process_id) { return std::nullopt; };
  bool looked = true;
  const std::string said = said_during([&] {
    for (int i = 0; i < 30; ++i) {
      ipc::endpoint self{s.options(0), members};
      // Sending tells a process that was there from one that never was.
      const auto seen = [&self] { return kind_of([&] { self.send(note("news"), process_id{1}); }) == errc::peer_died; };
      looked = looked && eventually(seen);
    }
  });
  CHECK(looked);
  CHECK(said == nothing);
}

TEST_CASE("callbacks and handlers that send while their process leaves are ended without complaint", "[ipc][leave]") {
  stage s;
  s.enter(1);
  std::atomic<int> entered{0};
  std::atomic<int> after{0};
  const auto send_until_the_end = [&entered](ipc::endpoint& self) {
    ++entered;
    for (;;) self.send(note("news"), ipc::destination::everyone());
  };
  const std::string said = said_during([&] {
    std::unique_ptr<ipc::endpoint> self;
    const scoped_handler forward{"forward", [&](ipc::message&, ipc::reply_token&) {
                                   send_until_the_end(*self);
                                   ++after;
                                 }};
    self = std::make_unique<ipc::endpoint>(s.options(0), s.membership());
    self->send(note("forward"), process_id{0});
    self->request_async(note("news"), process_id{1}, 30s, [&](const auto&, ipc::replies&) {
      send_until_the_end(*self);
      ++after;
    });
    if (!eventually([&] { return entered == 2; })) return;
    self.reset();
  });
  CHECK(entered == 2);
  CHECK(after == 0);
  CHECK(said == nothing);
}
