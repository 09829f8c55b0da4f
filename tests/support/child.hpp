// SPDX-License-Identifier: BSD-3-Clause
// Child processes for tests.  A child runs a function and exits with its result; it is made by fork() before the test
// enters a group, or it enters one of its own (a forked child of a member is no member).  Every wait has a deadline.
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <string>
#include <utility>

namespace test {

/// A pipe that carries single bytes: how processes in tests wait for each other.
class signal_pipe {
 public:
  signal_pipe() {
    if (::pipe(ends_) != 0) std::abort();
  }
  signal_pipe(const signal_pipe&) = delete;
  signal_pipe& operator=(const signal_pipe&) = delete;
  ~signal_pipe() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  void notify(char byte = '!') const {
    if (::write(ends_[1], &byte, 1) != 1) std::abort();
  }
  /// The byte, or 0 when none came in time.
  char wait(int timeout_ms = 20'000) const {
    pollfd p{ends_[0], POLLIN, 0};
    char byte = 0;
    if (::poll(&p, 1, timeout_ms) != 1 || ::read(ends_[0], &byte, 1) != 1) return 0;
    return byte;
  }

 private:
  int ends_[2];
};

class child {
 public:
  explicit child(const std::function<int()>& run) : pid_(::fork()) {
    if (pid_ != 0) return;
    int code = 99;
    try {
      code = run();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "child: %s\n", e.what());
    }
    std::fflush(nullptr);
    ::_exit(code);
  }
  child(child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  child& operator=(child&&) = delete;
  ~child() {
    if (pid_ > 0) {
      kill(SIGKILL);
      (void)wait();
    }
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  void kill(int signal) const { ::kill(pid_, signal); }
  /// The exit code, or 1000 + the signal that ended it, or -1 where it did not end in time (it is killed then).
  int wait(int timeout_ms = 30'000) {
    const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    pollfd p{fd, POLLIN, 0};
    const bool ended = ::poll(&p, 1, timeout_ms) == 1;
    ::close(fd);
    if (!ended) kill(SIGKILL);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    if (!ended) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

 private:
  pid_t pid_;
};

/// A group's name that no other test, and no other run of this one, uses.
inline std::string unique_prefix(const char* name) {
  static int count = 0;
  return std::string{"t-"} + name + "-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

}  // namespace test
