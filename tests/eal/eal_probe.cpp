// SPDX-License-Identifier: BSD-3-Clause
// A small application for tests: starts EAL and does what its first argument after "--" says.
#include <pthread.h>
#include <unistd.h>
#include <mpnet/mpnet.hpp>
#include <mpnet/process.hpp>

#include <cstdio>

namespace {

void say(const std::string& text) {
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

std::string place() {
  char name[16] = "";
  pthread_getname_np(pthread_self(), name, sizeof name);
  const auto processors = mpnet::thread_processors();
  return "lcore " + std::to_string(static_cast<unsigned>(mpnet::lcore_id())) + " on " + mpnet::format_list(processors) +
         " named " + name;
}

void wait_for_end_of_input() {
  char c = 0;
  while (read(STDIN_FILENO, &c, 1) > 0) {
  }
}

/// Takes memory until none is left, says how much it was, and keeps it until its input ends.
void exhaust(mpnet::eal& eal) {
  unsigned mib = 0;
  try {
    for (;; ++mib) static_cast<void>(mpnet::allocate(eal, 1000 * 1000));
  } catch (const mpnet::error& e) {
    if (e.kind() != mpnet::errc::no_memory) throw;
  }
  say("exhausted after " + std::to_string(mib) + " blocks");
  wait_for_end_of_input();
}

/// For each line of input: uses memory, and says what of the group can be seen.
void beat(mpnet::eal& eal) {
  auto* const pattern = static_cast<unsigned char*>(mpnet::allocate(eal, 4096));
  for (int i = 0; i < 4096; ++i) pattern[i] = static_cast<unsigned char>(i * 7);
  say("ready");
  char c = 0;
  while (read(STDIN_FILENO, &c, 1) > 0) {
    void* const block = mpnet::allocate(eal, 10U << 20, {.zeroed = true});
    mpnet::deallocate(eal, block);
    bool whole = true;
    for (int i = 0; i < 4096; ++i) whole = whole && pattern[i] == static_cast<unsigned char>(i * 7);
    say(std::string{whole ? "fine" : "damaged"} + ": " + std::to_string(mpnet::list_processes(eal).size()) +
        " members, " + std::to_string(mpnet::list_recoveries(eal).size()) + " recoveries, " +
        std::to_string(eal.as_group().memory().block_count) + " blocks");
  }
}

void run(mpnet::eal& eal, const std::string& command) {
  say(eal.is_primary() ? "primary" : "secondary");
  if (command == "places") {
    say("main " + place());
    for (const mpnet::lcore id : eal.workers()) {
      eal.launch(id, [] { say(place()); });
      eal.wait(id);
    }
  } else if (command == "hold") {  // until its input ends
    mpnet::ipc::register_handler("greet", [](mpnet::ipc::message& m, mpnet::ipc::reply_token& reply) {
      reply.send(mpnet::ipc::bytes_of(std::string{m.text()} + " yourself"));
    });
    say("ready");
    wait_for_end_of_input();
    mpnet::ipc::unregister_handler("greet");
  } else if (command == "exhaust") {
    exhaust(eal);
  } else if (command == "beat") {
    beat(eal);
  } else if (command == "until-signal") {  // a sleeping worker and a sleeping main thread
    const mpnet::stop_on_signals handlers;
    eal.launch_all([] {
      mpnet::wait_for_stop();
      return 0;
    });
    say("ready");
    mpnet::wait_for_stop();
    eal.wait_all();
    say("stopped");
  } else if (command == "events") {  // tells what happens in the group until its input ends
    for (const auto kind : {mpnet::group_event_kind::process_joined, mpnet::group_event_kind::process_left,
                            mpnet::group_event_kind::process_died, mpnet::group_event_kind::role_changed,
                            mpnet::group_event_kind::recovery_done})
      eal.events().subscribe(kind, [](const mpnet::group_event& e) { say("event: " + e.text); });
    say("ready");
    wait_for_end_of_input();
  } else if (command == "ports") {
    for (const mpnet::port_info& p : mpnet::list_ports(eal)) say("port " + p.name + " " + p.arguments);
  } else if (command == "message") {
    const auto answer = eal.messages().call({.name = "greet", .data = mpnet::ipc::bytes_of("hello"), .fds = {}},
                                            mpnet::ipc::destination::primary(), std::chrono::seconds{30});
    say("answer: " + std::string{answer.text()});
  } else if (command == "no-worker") {
    eal.launch(eal.next_lcore(mpnet::lcore{511}), [] {});
  } else if (!command.empty()) {
    throw mpnet::error{mpnet::errc::usage, "unknown command '" + command + "'; see eal_probe.cpp"};
  }
}

}  // namespace

int main(int argc, char** argv) {
  return mpnet::run_main([&] {
    mpnet::eal eal{argc, argv};
    run(eal, eal.args().empty() ? "" : eal.args()[0]);
  });
}
