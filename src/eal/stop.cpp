// SPDX-License-Identifier: BSD-3-Clause
// Asking this process to stop: a flag that is also a futex, an eventfd once somebody wants to poll, and, on request,
// handlers for SIGINT and SIGTERM.  Everything that a handler runs is async-signal-safe: atomics and system calls.
#include "eal/stop.hpp"

#include <fmt/format.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <mpnet/cycles.hpp>
#include <mpnet/eal.hpp>
#include <mpnet/error.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <ctime>

namespace mpnet {
namespace {

// Sequentially consistent with stop_event: a request and the making of the eventfd must not both miss the other.
constinit std::atomic<std::uint32_t> stop_flag{0};
constinit std::atomic<int> stop_event{-1};
// Kernel ids of lcore threads; 0: none.  Relaxed: a thread missed here still sees the flag.
constinit std::array<std::atomic<int>, max_lcores * 2> lcore_tids{};
constinit std::atomic<bool> handlers_installed{false};
constinit std::atomic<int> handlers_running{0};
struct sigaction old_int;
struct sigaction old_term;

void write_event(int fd) noexcept {
  const std::uint64_t one = 1;
  // A full counter refuses, and is readable, which is all that is asked of it.
  [[maybe_unused]] const ssize_t written = ::write(fd, &one, sizeof one);
}

int futex(int operation, std::uint32_t value, const timespec* timeout) noexcept {
  return static_cast<int>(syscall(SYS_futex, &stop_flag, operation, value, timeout, nullptr, 0));
}

void on_signal(int signal) noexcept {
  const int saved = errno;
  handlers_running.fetch_add(1, std::memory_order_seq_cst);
  const bool first = stop_flag.load(std::memory_order_seq_cst) == 0;
  request_stop();
  if (first) {
    const auto self = static_cast<int>(syscall(SYS_gettid));
    for (auto& entry : lcore_tids) {
      const int tid = entry.load(std::memory_order_relaxed);
      if (tid != 0 && tid != self) syscall(SYS_tgkill, getpid(), tid, signal);
    }
  }
  handlers_running.fetch_sub(1, std::memory_order_seq_cst);
  errno = saved;
}

/// Signals on their way to other threads must not meet the default action, which would kill the process on its way out:
/// ignoring a signal discards those that are pending.
void discard_pending() noexcept {
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGINT, &ignore, nullptr);
  sigaction(SIGTERM, &ignore, nullptr);
}

}  // namespace

bool stop_requested() noexcept {
  // Relaxed: the flag carries no data, and loops ask again soon.
  return stop_flag.load(std::memory_order_relaxed) != 0;
}

void request_stop() noexcept {
  stop_flag.store(1, std::memory_order_seq_cst);
  futex(FUTEX_WAKE_PRIVATE, INT_MAX, nullptr);
  const int fd = stop_event.load(std::memory_order_seq_cst);
  if (fd >= 0) write_event(fd);
}

bool wait_for_stop(int timeout_ms) noexcept {
  const std::uint64_t begin = detail::monotonic_ns();
  while (stop_flag.load(std::memory_order_seq_cst) == 0) {
    timespec left{};
    if (timeout_ms >= 0) {
      const std::uint64_t passed = detail::monotonic_ns() - begin;
      const std::uint64_t all = static_cast<std::uint64_t>(timeout_ms) * 1'000'000U;
      if (passed >= all) return false;
      left.tv_sec = static_cast<time_t>((all - passed) / 1'000'000'000U);
      left.tv_nsec = static_cast<long>((all - passed) % 1'000'000'000U);
    }
    futex(FUTEX_WAIT_PRIVATE, 0, timeout_ms >= 0 ? &left : nullptr);
  }
  return true;
}

int stop_fd() {
  // A child of a fork must not share it: its own request would stop the parent.
  static const int once = pthread_atfork(nullptr, nullptr, eal_detail::new_stop_state_in_child);
  static_cast<void>(once);
  int fd = stop_event.load(std::memory_order_seq_cst);
  if (fd >= 0) return fd;
  const int made = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (made < 0) {
    throw error{errc::system,
                fmt::format("make an eventfd for stop requests: {}; raise the limit of open files (ulimit -n)",
                            std::strerror(errno))};
  }
  if (!stop_event.compare_exchange_strong(fd, made, std::memory_order_seq_cst)) {
    close(made);
    return fd;
  }
  if (stop_flag.load(std::memory_order_seq_cst) != 0) write_event(made);
  return made;
}

stop_on_signals::stop_on_signals() {
  // Relaxed: one at a time is the caller's business; this only detects a mistake.
  if (handlers_installed.exchange(true, std::memory_order_relaxed))
    throw error{errc::exists, "stop_on_signals: another one lives in this process; make one, in main()"};
  struct sigaction action {};
  action.sa_handler = on_signal;  // without SA_RESTART: blocking calls return EINTR
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &old_int);
  sigaction(SIGTERM, &action, &old_term);
}

stop_on_signals::~stop_on_signals() {
  discard_pending();
  while (handlers_running.load(std::memory_order_seq_cst) != 0) sched_yield();  // one that still forwards; microseconds
  discard_pending();
  sigaction(SIGINT, &old_int, nullptr);
  sigaction(SIGTERM, &old_term, nullptr);
  handlers_installed.store(false, std::memory_order_relaxed);  // relaxed: as above
}

namespace eal_detail {

void interrupt_thread_on_stop() noexcept {
  const auto self = static_cast<int>(syscall(SYS_gettid));
  for (auto& entry : lcore_tids) {
    int none = 0;
    if (entry.compare_exchange_strong(none, self, std::memory_order_relaxed)) return;  // relaxed: see lcore_tids
  }
}

void forget_thread() noexcept {
  const auto self = static_cast<int>(syscall(SYS_gettid));
  for (auto& entry : lcore_tids) {
    int mine = self;
    if (entry.compare_exchange_strong(mine, 0, std::memory_order_relaxed)) return;  // relaxed: see lcore_tids
  }
}

void new_stop_state_in_child() noexcept {
  const int fd = stop_event.exchange(-1, std::memory_order_seq_cst);
  if (fd >= 0) close(fd);
  for (auto& entry : lcore_tids) entry.store(0, std::memory_order_relaxed);  // relaxed: the child has one thread
  stop_flag.store(0, std::memory_order_seq_cst);
}

void clear_stop() noexcept {
  stop_flag.store(0, std::memory_order_seq_cst);
  const int fd = stop_event.load(std::memory_order_seq_cst);
  std::uint64_t count = 0;
  if (fd >= 0) {
    [[maybe_unused]] const ssize_t drained = ::read(fd, &count, sizeof count);
  }
}

}  // namespace eal_detail
}  // namespace mpnet
