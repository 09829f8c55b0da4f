// SPDX-License-Identifier: BSD-3-Clause
#include "mem/fault.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <mpnet/cycles.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>

#include "mem/hooks.hpp"
#include "mem/local_state.hpp"
#include "mem/membership.hpp"
#include "mem/nudge.hpp"

namespace mpnet::mem {
namespace {

constexpr std::array fatal_signals{SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
std::array<struct sigaction, fatal_signals.size()> previous_actions;
constinit hooks<> crash_functions;
std::atomic<group*> guarded{nullptr};
std::atomic<bool> installed{false};
std::atomic<bool> dying{false};
std::atomic<int> parked{0};

struct kernel_dirent {  // what getdents64(2) returns
  std::uint64_t inode;
  std::int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[1];
};

void park(int) {
  detail::forget_alive_word();
  parked.fetch_add(1, std::memory_order_release);  // [R-park] pairs with [A-park]
  for (;;) ::pause();                              // until the process is gone
}

/// Sends the park signal to every other thread; how many there are, or -1 where nobody can tell.  Async-signal-safe.
int signal_other_threads() {
  const int fd = ::open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -1;
  const auto self = static_cast<pid_t>(::syscall(SYS_gettid));
  int others = 0;
  alignas(8) char buffer[4096];
  for (long got = 0; (got = ::syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0;) {
    for (long at = 0; at < got;) {
      kernel_dirent entry{};
      std::memcpy(&entry, buffer + at, offsetof(kernel_dirent, name));
      const char* name = buffer + at + offsetof(kernel_dirent, name);
      pid_t tid = 0;
      for (; *name >= '0' && *name <= '9'; ++name) tid = tid * 10 + (*name - '0');
      const bool other = tid > 0 && tid != self;
      // A full queue of signals is no sign of the thread's end.
      if (other && (::syscall(SYS_tgkill, ::getpid(), tid, park_signal()) == 0 || errno == EAGAIN)) ++others;
      at += entry.length;
    }
  }
  ::close(fd);
  return others;
}

/// Waits until every other thread sits in the park handler, where all signals are blocked, so that none counts twice.
/// False where some thread does not answer: then the kernel's word, after the dump, has to do.
bool park_other_threads() {
  struct sigaction action {};
  action.sa_handler = park;
  sigfillset(&action.sa_mask);
  ::sigaction(park_signal(), &action, nullptr);
  const std::uint64_t deadline = detail::monotonic_ns() + 200'000'000;
  // Threads end meanwhile, and one that is not parked yet may start another: two looks must find the same, all parked.
  for (int before = -1;;) {
    const int others = signal_other_threads();
    if (others < 0) return false;
    const bool all = parked.load(std::memory_order_acquire) >= others;  // [A-park]
    if (all && others == before) return true;
    before = all ? others : -1;
    if (detail::monotonic_ns() > deadline) return false;
    const timespec nap{0, 50'000};
    ::nanosleep(&nap, nullptr);
  }
}

/// Says for this process what the kernel would say after the dump.
void declare_dead(group& g) {
  // Another thread crashed first: it parks this one by the signal, and counts it then.
  while (dying.exchange(true, std::memory_order_acq_rel)) ::pause();
  if (park_other_threads()) {
    detail::forget_alive_word();
    for (detail::lease& l : g.control().leases) {
      if (l.state.load(std::memory_order_acquire) != detail::lease_taken ||
          l.slot.load(std::memory_order_relaxed) != g.local().slot) {  // relaxed: ordered by the state
        continue;
      }
      detail::alive_word(l).fetch_or(FUTEX_OWNER_DIED, std::memory_order_release);  // [R-lease] pairs with [A-lease]
    }
    g.local().locks->unlock_all();
  }
  crash_functions.call();
  nudge_members(g.control(), g.local().runtime_dir, g.local().slot);
}

void on_fatal(int number, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  group* const g = guarded.load(std::memory_order_acquire);
  if (g != nullptr && number == SIGSEGV && info->si_code > 0 &&
      g->local().map->open_at(reinterpret_cast<std::uintptr_t>(info->si_addr))) {
    errno = saved_errno;
    return;
  }
  std::size_t index = 0;
  while (index < fatal_signals.size() && fatal_signals[index] != number) ++index;
  const struct sigaction& before = previous_actions[index];
  if ((before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction != nullptr) {
    before.sa_sigaction(number, info, context);
    return;
  }
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(number);
    return;
  }
  if (g != nullptr) declare_dead(*g);
  ::signal(number, SIG_DFL);
  // A real fault repeats by itself when the handler returns; one that was sent has to be sent again.
  if (info->si_code <= 0) ::raise(number);
  errno = saved_errno;
}

}  // namespace

int park_signal() noexcept {
  return SIGRTMAX - 2;
}

void at_crash(void (*function)() noexcept) {
  crash_functions.add(function);
}

void install_fault_handlers(group& g) {
  guarded.store(&g, std::memory_order_release);
  const bool again = installed.exchange(true, std::memory_order_acq_rel);
  for (std::size_t i = 0; i < fatal_signals.size(); ++i) {
    struct sigaction action {};
    // A handler that came after ours may have ours behind it: then it stays in front.  Where somebody went back to the
    // default since, ours is gone.
    if (again && (::sigaction(fatal_signals[i], nullptr, &action) != 0 || action.sa_handler != SIG_DFL)) continue;
    action.sa_sigaction = on_fatal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    ::sigaction(fatal_signals[i], &action, &previous_actions[i]);
  }
}

void remove_fault_handlers() noexcept {
  // The handlers stay, since others may have been chained behind them; without a group they only pass signals on.
  guarded.store(nullptr, std::memory_order_release);
}

void forget_region_in_child() noexcept {
  guarded.store(nullptr, std::memory_order_release);
}

}  // namespace mpnet::mem
