// SPDX-License-Identifier: BSD-3-Clause
// Processes that the benchmark starts, steers and ends: members of a group, each with a few words in shared memory.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <stdexcept>

#include "machine.hpp"

namespace bench {

/// Waits until `condition` holds, sleeping in between: for what takes milliseconds.  False after `timeout_ms`.
template <class Condition>
[[nodiscard]] bool eventually(Condition condition, int timeout_ms = 20'000) {
  for (int i = 0; i < timeout_ms * 5; ++i) {
    if (condition()) return true;
    usleep(200);
  }
  return condition();
}

/// A forked process that plays a part and ends with it; killed when the actor goes.
class actor {
 public:
  explicit actor(const std::function<void()>& part) : pid_(fork_knowing_the_clock()) {
    if (pid_ < 0) throw std::runtime_error{"fork failed"};
    if (pid_ != 0) return;
    alarm(600);
    int code = 0;
    try {
      part();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "mpnet-bench: %s\n", e.what());
      code = 1;
    }
    _exit(code);
  }
  ~actor() { kill_now(); }
  actor(const actor&) = delete;
  actor& operator=(const actor&) = delete;

  /// SIGKILL, and waits for its end.
  void kill_now() noexcept {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  /// Waits for its end; whether it ended well.
  [[nodiscard]] bool finish() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0) {
    }
    pid_ = -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  /// True once it has ended; then it is waited for.
  [[nodiscard]] bool ended() noexcept {
    if (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
    return pid_ <= 0;
  }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

 private:
  /// The clock's rate takes 20 ms to measure: before the fork, or each part would do it anew, in the middle of what it
  /// times.
  static pid_t fork_knowing_the_clock() {
    static_cast<void>(cycles_per_us());
    return fork();
  }

  pid_t pid_;
};

}  // namespace bench
