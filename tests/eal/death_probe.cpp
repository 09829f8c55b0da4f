// SPDX-License-Identifier: BSD-3-Clause
// A member that holds something of everything, says "ready", and dies, as asked, when its input ends:
//   death_probe EAL-OPTIONS -- HOW [MIB]     HOW: abort, segv, exit, exec, oom, thread, leave; MIB of private memory
#include <sys/syscall.h>
#include <unistd.h>
#include <mpnet/mpnet.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "death_probe.hpp"

namespace {

void say(const char* text) {
  std::puts(text);
  std::fflush(stdout);
}

void wait_for_end_of_input() {
  char c = 0;
  while (read(STDIN_FILENO, &c, 1) > 0) {
  }
}

/// A turn on the ring that is never given back, objects in the hand and in caches.
void hold(mpnet::eal& e, std::size_t count) {
  const auto pool = mpnet::pool<token>::attach(e, "tokens");
  std::vector<token*> some(count);
  if (pool.get_bulk(some) == 0) throw mpnet::error{mpnet::errc::no_memory, "no tokens"};
  const auto turn = mpnet::ring<token*>::attach(e, "turns").reserve(1);
  if (!turn.empty()) say("has the turn");
}

[[noreturn]] void eat_memory() {
  for (std::size_t size = 16 << 20;;) {
    void* const memory = std::malloc(size);
    if (memory != nullptr) std::memset(memory, 7, size);
    asm volatile("" : : "r"(memory) : "memory");  // or the compiler sees that nobody reads it
  }
}

int* volatile nowhere = nullptr;  // volatile: or the compiler knows what will come

void die(const std::string& how) {
  if (how == "abort") std::abort();
  if (how == "segv") *nowhere = 1;
  if (how == "exit") _exit(3);
  if (how == "exec") execl("/bin/sleep", "sleep", "60", nullptr);
  if (how == "oom") eat_memory();
}

/// A thread of its own that becomes lcore 9 and ends without a word, while the process lives on.
void lose_a_thread(mpnet::eal& e) {
  std::thread{[&] {
    // NOLINTNEXTLINE: never destroyed, that is the point
    static_cast<void>(new mpnet::lcore_registration{e, {.id = mpnet::lcore{9}, .processors = {}}});
    hold(e, token_count / 4);
    ::syscall(SYS_exit, 0);
  }}.join();
}

void run(mpnet::eal& e, const std::string& how) {
  if (how == "thread") {
    lose_a_thread(e);
  } else {
    e.launch_all([&] {
      hold(e, token_count / 4);
      say("worker holds");
      return mpnet::wait_for_stop() ? 0 : 1;
    });
    hold(e, token_count / 4);
    static_cast<void>(mpnet::allocate(e, 1 << 20, {.life = mpnet::lifetime::process}));
  }
  say("ready");
  wait_for_end_of_input();
  die(how);
}

}  // namespace

int main(int argc, char** argv) {
  return mpnet::run_main([&] {
    mpnet::eal e{argc, argv};
    const auto args = e.args();
    std::vector<char> memory((args.size() > 1 ? mpnet::parse_number(args[1]) : 0) << 20);
    for (std::size_t i = 0; i < memory.size(); i += 4096) memory[i] = 1;
    run(e, args.empty() ? "leave" : args[0]);
  });
}
