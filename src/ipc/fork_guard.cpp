// SPDX-License-Identifier: BSD-3-Clause
#include "ipc/fork_guard.hpp"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <unordered_set>
#include <utility>

namespace mpnet::ipc {
namespace {

struct registry {
  std::mutex mutex;
  std::unordered_set<int> fds;
  std::atomic<std::uint32_t> generation{0};
};

/// Never destroyed: threads may outlive static destructors.
registry& all() {
  static registry* const instance = [] {
    auto* r = new registry;  // NOLINT: lives as long as the process
    pthread_atfork([] { all().mutex.lock(); }, [] { all().mutex.unlock(); },
                   [] {
                     registry& own = all();
                     for (const int fd : own.fds) ::close(fd);
                     own.fds.clear();
                     // relaxed: a fork's child has one thread
                     own.generation.fetch_add(1, std::memory_order_relaxed);
                     own.mutex.unlock();
                   });
    return r;
  }();
  return *instance;
}

}  // namespace

std::uint32_t fork_generation() noexcept {
  // relaxed: changes only in a child that has no other thread yet
  return all().generation.load(std::memory_order_relaxed);
}

tracked_fd::tracked_fd(int fd) : fd_(fd), generation_(fork_generation()) {
  if (fd < 0) return;
  const std::lock_guard lock{all().mutex};
  all().fds.insert(fd);
}

tracked_fd::tracked_fd(tracked_fd&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), generation_(other.generation_) {}

tracked_fd& tracked_fd::operator=(tracked_fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
    generation_ = other.generation_;
  }
  return *this;
}

void tracked_fd::reset() noexcept {
  const int fd = std::exchange(fd_, -1);
  if (fd < 0 || generation_ != fork_generation()) return;
  const std::lock_guard lock{all().mutex};
  all().fds.erase(fd);
  ::close(fd);
}

}  // namespace mpnet::ipc
