// SPDX-License-Identifier: BSD-3-Clause
// Descriptors that a child of fork() must not keep: an inherited copy of a socket would make its dead owner look
// connected.  Each tracked_fd is on a list of the process; in the child of a fork they are all closed at once, and the
// child's copies of their owners then leave the numbers alone.
#pragma once

#include <cstdint>
#include <memory>

namespace mpnet::ipc {

/// Grows in each child of a fork.
[[nodiscard]] std::uint32_t fork_generation() noexcept;

/// Ends all of this process's connections, so that peers see at once what the kernel would only tell them once it has
/// written the core dump.  Async-signal-safe once an endpoint was made: for handlers of fatal signals.
void hang_up_all() noexcept;

class tracked_fd {
 public:
  tracked_fd() noexcept = default;
  /// Takes `fd` over.
  explicit tracked_fd(int fd);
  tracked_fd(tracked_fd&& other) noexcept;
  tracked_fd& operator=(tracked_fd&& other) noexcept;
  ~tracked_fd() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
  void reset() noexcept;

 private:
  int fd_ = -1;
  std::uint32_t generation_ = 0;
};

using shared_socket = std::shared_ptr<tracked_fd>;

}  // namespace mpnet::ipc
