// SPDX-License-Identifier: BSD-3-Clause
// A small application for tests: starts EAL and does what its first argument after "--" says.
#include <pthread.h>
#include <unistd.h>
#include <mpnet/mpnet.hpp>

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
