// SPDX-License-Identifier: BSD-3-Clause
// A real process under test: started with arguments, its output collected, always with a deadline, always reaped.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <mpnet/cycles.hpp>

#include <stdexcept>
#include <string>
#include <vector>

extern char** environ;

namespace eal_test {

class child {
 public:
  explicit child(std::vector<std::string> arguments, std::vector<std::string> wrapper = {}) {
    int out[2];
    int in[2];
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(in, O_CLOEXEC) != 0) throw std::runtime_error{"pipe"};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, out[1], 2);
    arguments.insert(arguments.begin(), wrapper.begin(), wrapper.end());
    std::vector<char*> argv;
    for (std::string& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    const int failed = posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(in[0]);
    out_ = out[0];
    in_ = in[1];
    reaped_ = failed != 0;
    if (failed != 0) throw std::runtime_error{"spawn " + arguments[0]};
  }
  ~child() {
    if (!reaped_) {
      ::kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close_input();
    close(out_);
  }
  child(const child&) = delete;
  child& operator=(const child&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const std::string& output() const { return output_; }
  void signal(int number) const { ::kill(pid_, number); }
  /// One byte of input.
  void prompt() const {
    if (::write(in_, "\n", 1) != 1) throw std::runtime_error{"write"};
  }
  /// Forgets what was printed so far: read_until() looks at what comes.
  void forget_output() { output_.clear(); }
  void close_input() {
    if (in_ >= 0) close(in_);
    in_ = -1;
  }

  /// Reads until `text` has been printed; false where the output ended first.  Throws at the deadline.
  bool read_until(const std::string& text) {
    begin_ = mpnet::detail::monotonic_ns();
    while (output_.find(text) == std::string::npos)
      if (!read_some()) return false;
    return true;
  }

  /// Reads all output and reaps; the exit code, or 128 + signal.
  int wait() {
    begin_ = mpnet::detail::monotonic_ns();
    while (read_some()) {
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    reaped_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  bool read_some() {
    const auto passed_ms = (mpnet::detail::monotonic_ns() - begin_) / 1'000'000;
    if (passed_ms >= deadline_ms) throw std::runtime_error{"deadline passed; output so far:\n" + output_};
    pollfd p{out_, POLLIN, 0};
    if (poll(&p, 1, static_cast<int>(deadline_ms - passed_ms)) <= 0) return true;
    char buffer[4096];
    const ssize_t n = read(out_, buffer, sizeof buffer);
    if (n > 0) output_.append(buffer, static_cast<std::size_t>(n));
    return n > 0;
  }

  static constexpr std::uint64_t deadline_ms = 60'000;
  std::uint64_t begin_ = 0;  // of the wait that is under way: the test may have others to wait for in between
  pid_t pid_ = -1;
  bool reaped_ = false;
  int out_ = -1;
  int in_ = -1;
  std::string output_;
};

}  // namespace eal_test
