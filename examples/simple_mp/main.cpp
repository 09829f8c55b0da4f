// SPDX-License-Identifier: BSD-3-Clause
// Two processes talk through shared memory: what is typed in one is printed by the other.  Either may be killed and
// started again at any time.  Follows DPDK's sample of the same name.
#include <mpnet/mpnet.hpp>

#include <cstdio>

#include "line_reader.hpp"

namespace {

struct message {
  char text[248];
};
using messages = mpnet::pool<message>;
using channel = mpnet::ring<message*>;

void receive(channel in, messages pool) {
  const auto self = static_cast<unsigned>(mpnet::lcore_id());
  std::printf("Starting core %u\n", self);
  for (message* m = nullptr; !mpnet::stop_requested();) {
    if (!in.wait(std::chrono::milliseconds{100}) || !in.dequeue(m)) continue;
    std::printf("core %u: Received '%s'\n", self, m->text);
    pool.put(m);
  }
}

void send(const std::string& text, channel out, messages pool) {
  if (text.size() >= sizeof message::text) {
    std::printf("not sent: a message has at most %zu bytes\n", sizeof message::text - 1);
    return;
  }
  message* m = pool.get();
  if (m == nullptr) {
    std::puts("not sent: all messages of the pool are under way; the peer does not fetch them");
    return;
  }
  text.copy(m->text, text.size());
  m->text[text.size()] = '\0';
  if (!out.enqueue(m)) {
    pool.put(m);
    std::puts("not sent: the ring is full; the peer does not fetch its messages");
  }
}

bool command(const std::string& line, channel out, messages pool) {
  const std::string word = line.substr(0, line.find(' '));
  if (word == "quit") return false;
  if (word == "send" && line.size() > 5) {
    send(line.substr(5), out, pool);
  } else if (word == "help" || word == "send") {
    std::puts("send TEXT   sends TEXT to the other process\nhelp        this\nquit        leaves");
  } else if (!word.empty()) {
    std::printf("there is no command '%s'; 'help' lists them\n", word.c_str());
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  return mpnet::run_main([&] {
    mpnet::eal eal{argc, argv};
    mpnet::parse_args(eal.args(), {});
    if (eal.lcore_count() < 2) {
      throw mpnet::error{mpnet::errc::usage, "two lcores are needed, one to read and one to receive: -l 0-1"};
    }
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // lines appear at once in a pipe, too
    const bool first = eal.is_primary();
    const mpnet::ring_options ring{.capacity = 64, .doorbell = true};
    auto pool = messages::create_or_attach(eal, "MSG_POOL", {.object_count = 1023, .cache_size = 32});
    auto out = channel::create_or_attach(eal, first ? "PRI_2_SEC" : "SEC_2_PRI", ring);
    auto in = channel::create_or_attach(eal, first ? "SEC_2_PRI" : "PRI_2_SEC", ring);

    const mpnet::stop_on_signals signals;
    for (const mpnet::lcore id : eal.workers()) eal.launch(id, [&] { receive(in, pool); });
    constexpr const char* commands[] = {"send", "quit", "help"};
    line_reader::read_lines("simple_mp > ", commands,
                            [&](const std::string& line) { return command(line, out, pool); });
  });
}
