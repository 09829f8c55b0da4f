// SPDX-License-Identifier: BSD-3-Clause
// Fork after start-up, which DPDK never supported: the child becomes a member of its own, with a slot, an lcore id, and
// messages and events of its own; rings and pools that the parent has open are usable in it at once, ports are found
// again (find_port).  The child of a plain fork() is no member, and is told so by every function that it calls.
#pragma once

#include <mpnet/group.hpp>
#include <mpnet/types.hpp>

#include <functional>
#include <string>
#include <vector>

namespace mpnet {

struct fork_options {
  std::string name{};                  // what ps and mpnet ps show; empty: the parent's
  lcore id = no_lcore;                 // its lcore id; no_lcore: an unused one
  std::vector<unsigned> processors{};  // to pin it to; empty: it floats over all processors
};

/// A child of this process.  Destroying the object leaves the child alone.
class child_process {
 public:
  child_process() noexcept = default;
  child_process(int pid, int pidfd) noexcept : pid_(pid), pidfd_(pidfd) {}
  child_process(child_process&& other) noexcept;
  child_process& operator=(child_process&& other) noexcept;
  ~child_process();

  [[nodiscard]] int pid() const noexcept { return pid_; }
  /// Readable once the child is gone; stays this object's.
  [[nodiscard]] int pidfd() const noexcept { return pidfd_; }
  [[nodiscard]] bool running() const noexcept { return pid_ > 0; }
  void kill(int signal) const noexcept;
  /// Waits at most that long (negative: for ever) for the end; true when it is over and reaped.
  bool wait(int timeout_ms);
  /// As waitpid(2) gives it; valid once wait() has returned true.
  [[nodiscard]] int wait_status() const noexcept { return status_; }

 private:
  int pid_ = -1;
  int pidfd_ = -1;
  int status_ = 0;
};

/// Forks a member.  Control; call it from a thread that runs no hot path at the moment.  In the child `body` runs on
/// the only thread, which holds the lcore id; its result is the exit code, an exception is printed and becomes 1 (2 for
/// usage). The child gets SIGTERM when the thread that forked it ends.  Throws system; what fails in the child (id
/// taken, group full) is printed there and ends it with 1.
[[nodiscard]] child_process fork_member(group& g, const fork_options& options, const std::function<int()>& body);

}  // namespace mpnet
