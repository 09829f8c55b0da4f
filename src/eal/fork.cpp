// SPDX-License-Identifier: BSD-3-Clause
// Members by fork.  The child forgets what is the parent's (locks, threads, the mapping, which the kernel did not
// copy), maps the region at the same address, takes a slot of its own, and starts its own services; handles that lie in
// copied memory are right again then.
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <mpnet/cycles.hpp>
#include <mpnet/eal.hpp>
#include <mpnet/error.hpp>
#include <mpnet/fork.hpp>
#include <mpnet/lcore.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "eal/machine.hpp"
#include "eal/services.hpp"
#include "eal/stop.hpp"
#include "mem/fork_hooks.hpp"
#include "mem/system.hpp"

namespace mpnet {
namespace {

cpu_set_t all_processors() {
  cpu_set_t all;
  std::memset(&all, 0xff, sizeof all);  // the kernel takes those that exist and are allowed
  return all;
}

int run_as_member(group& g, const fork_options& options, const std::function<int()>& body) {
  return run_main([&] {
    eal_detail::new_stop_state_in_child();
    mem::run_fork_hooks();
    g.enter_again_after_fork(options.name);
    if (options.processors.empty()) eal_detail::set_thread_affinity(all_processors());
    int code = 0;
    {
      const lcore_registration registered{
          g,
          {.id = options.id == no_lcore ? std::nullopt : std::optional{options.id}, .processors = options.processors}};
      const eal_detail::lcore_place place{static_cast<unsigned>(registered.id()), options.processors};
      const eal_detail::services services{g, all_processors(), {&place, 1}};
      code = body();
    }
    g.leave();
    return code;
  });
}

[[noreturn]] void live_as_child(group& g, const fork_options& options, const std::function<int()>& body, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);  // it died before it could be watched
  if (!options.name.empty()) ::prctl(PR_SET_NAME, options.name.c_str());
  const int code = run_as_member(g, options, body);
  std::fflush(nullptr);
  ::_exit(code);  // the parent's destructors and exit handlers are not the child's to run
}

}  // namespace

child_process::child_process(child_process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::exchange(other.pidfd_, -1)), status_(other.status_) {}

child_process& child_process::operator=(child_process&& other) noexcept {
  if (this == &other) return *this;
  if (pidfd_ >= 0) ::close(pidfd_);
  pid_ = std::exchange(other.pid_, -1);
  pidfd_ = std::exchange(other.pidfd_, -1);
  status_ = other.status_;
  return *this;
}

child_process::~child_process() {
  if (pidfd_ >= 0) ::close(pidfd_);
}

void child_process::kill(int signal) const noexcept {
  if (running()) ::kill(pid_, signal);  // not reaped yet, so the number is still its own
}

bool child_process::wait(int timeout_ms) {
  if (!running()) return true;
  pollfd p{pidfd_, POLLIN, 0};
  const std::uint64_t begin = detail::monotonic_ns();
  for (int left_ms = timeout_ms;;) {
    const int ready = ::poll(&p, 1, left_ms);
    if (ready > 0) break;
    if (ready == 0 || errno != EINTR) return false;
    if (timeout_ms < 0) continue;
    const auto passed_ms = static_cast<std::int64_t>((detail::monotonic_ns() - begin) / 1'000'000);
    left_ms = static_cast<int>(std::max<std::int64_t>(timeout_ms - passed_ms, 0));
  }
  while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return true;
}

child_process fork_member(group& g, const fork_options& options, const std::function<int()>& body) {
  std::fflush(nullptr);  // or both would write what is buffered
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw mem::system_error("fork a member", errno, "raise the limit of processes (ulimit -u)");
  if (pid == 0) live_as_child(g, options, body, parent);
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) {
    const int number = errno;
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    throw mem::system_error("watch a forked member", number, "raise the limit of open files (ulimit -n)");
  }
  return {pid, pidfd};
}

}  // namespace mpnet
