// SPDX-License-Identifier: BSD-3-Clause
// Asynchronous requests: one callback each, whatever happens.
#include <catch2/catch.hpp>
#include <mpnet/event.hpp>

#include <future>

#include "ipc/troupe.hpp"

using namespace troupe;
using ipc::outcome;

namespace {

struct answer {
  std::string request;
  ipc::replies result;
};

/// Asks and waits for the callback.
answer ask(ipc::endpoint& self, const ipc::outgoing& what, ipc::destination to, std::chrono::milliseconds timeout) {
  std::promise<answer> promise;
  std::atomic<int> calls{0};
  self.request_async(what, to, timeout, [&](const ipc::message& request, ipc::replies& result) {
    ++calls;
    promise.set_value({request.name + ":" + std::string{request.text()}, std::move(result)});
  });
  auto future = promise.get_future();
  if (future.wait_for(std::chrono::seconds{deadline_s}) != std::future_status::ready)
    throw std::runtime_error("no call");
  return future.get();
}

}  // namespace

TEST_CASE("an asynchronous request's callback runs with the request and all parts", "[ipc][async]") {
  stage s;
  s.member(1, echo);
  s.member(2, [] { ipc::register_handler("echo", [](ipc::message&, ipc::reply_token&) { ::raise(SIGKILL); }); });
  s.member(3, [] { ipc::register_handler("echo", [](ipc::message&, ipc::reply_token&) { ::raise(SIGSTOP); }); });
  s.member(4);
  REQUIRE(s.pass(0, 4));
  ipc::endpoint self{s.options(0, true), s.membership()};
  const auto got = ask(self, note("echo", "text"), {}, 300ms);
  CHECK(got.request == "echo:text");
  CHECK(got.result.nb_sent == 4);
  CHECK(got.result.nb_received == 1);
  CHECK(got.result.who(outcome::answered) == std::vector{process_id{1}});
  CHECK(got.result.who(outcome::died) == std::vector{process_id{2}});
  CHECK(got.result.who(outcome::slow) == std::vector{process_id{3}});
  CHECK(got.result.who(outcome::no_handler) == std::vector{process_id{4}});
}

TEST_CASE("a callback runs once, in the same threads, where there is nobody to ask", "[ipc][async]") {
  stage s;
  ipc::endpoint self{s.options(0, true), s.membership()};
  const auto got = ask(self, note("echo", "alone"), {}, 30s);
  CHECK(got.request == "echo:alone");
  CHECK(got.result.nb_sent == 0);
  CHECK(got.result.parts.empty());
}

TEST_CASE("callbacks may ask again, both ways, and set alarms", "[ipc][async]") {
  stage s;
  s.member(1, echo);
  REQUIRE(s.pass(0));
  mpnet::event_loop loop;
  ipc::endpoint self{s.options(0), s.membership()};
  std::promise<std::string> promise;
  self.request_async(note("echo", "a"), process_id{1}, 30s, [&](const auto&, ipc::replies& first) {
    const std::string a{first.parts.at(0).reply.text()};
    const auto b = self.call(note("echo", a + "b"), process_id{1}, 30s);
    self.request_async(
        note("echo", std::string{b.text()} + "c"), process_id{1}, 30s, [&](const auto&, ipc::replies& second) {
          loop.alarm(1ms, [&, text = std::string{second.parts.at(0).reply.text()}] { promise.set_value(text); });
        });
  });
  CHECK(promise.get_future().get() == "abc");
}

TEST_CASE("every one of many asynchronous requests is answered once while peers die", "[ipc][async]") {
  stage s;
  std::vector<pid_t> pids;
  for (unsigned i = 1; i <= 4; ++i) pids.push_back(s.member(i, echo));
  REQUIRE(s.pass(0, 4));
  ipc::endpoint self{s.options(0, true), s.membership()};
  std::atomic<std::size_t> calls{0};
  std::atomic<std::size_t> wrong{0};
  std::size_t asked = 0;
  for (int i = 0; i < 400; ++i) {
    if (i % 100 == 50) s.kill(pids[static_cast<std::size_t>(i / 100)]);
    self.request_async(note("echo", std::to_string(i)), {}, 30s, [&](const ipc::message& request, ipc::replies& got) {
      if (got.parts.size() != 4) ++wrong;
      for (const auto& p : got.parts) {
        const bool fine = p.how == outcome::answered ? p.reply.text() == request.text()
                                                     : p.how == outcome::died || p.how == outcome::dropped;
        if (!fine) ++wrong;
      }
      ++calls;
    });
    ++asked;
  }
  CHECK(eventually([&] { return calls == asked; }));
  CHECK(wrong == 0);
}

TEST_CASE("the endpoint's end ends what is pending, with its callbacks run", "[ipc][async]") {
  stage s;
  s.member(1, [] { ipc::register_handler("never", [](ipc::message&, ipc::reply_token&) { ::pause(); }); });
  REQUIRE(s.pass(0));
  std::atomic<int> died{0};
  {
    ipc::endpoint self{s.options(0), s.membership()};
    for (int i = 0; i < 3; ++i) {
      self.request_async(note("never"), process_id{1}, 600s, [&](const auto&, ipc::replies& got) {
        died += got.parts.at(0).how == outcome::died ? 1 : 100;
      });
    }
  }
  CHECK(died == 3);
}

TEST_CASE("a callback that throws harms nobody", "[ipc][async]") {
  stage s;
  s.member(1, echo);
  REQUIRE(s.pass(0));
  ipc::endpoint self{s.options(0), s.membership()};
  self.request_async(note("echo"), process_id{1}, 30s,
                     [](const auto&, auto&) { throw std::runtime_error("on purpose"); });
  CHECK(ask(self, note("echo", "next"), process_id{1}, 30s).result.nb_received == 1);
}
