// SPDX-License-Identifier: BSD-3-Clause
#include "ipc/fork_guard.hpp"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <mutex>
#include <new>
#include <utility>

namespace mpnet::ipc {
namespace {

constexpr int max_tracked = 1 << 20;  // the kernel's default fs.nr_open

struct registry {
  std::mutex mutex;
  // A bit each descriptor: a signal handler can read it at any moment.
  std::array<std::atomic<std::uint64_t>, max_tracked / 64> fds{};

  void set(int fd, bool tracked) noexcept {
    if (fd >= max_tracked) return;
    auto& word = fds[static_cast<std::size_t>(fd) / 64];
    const std::uint64_t bit = 1ULL << (fd % 64);
    // relaxed: writers hold the mutex; a signal handler that misses the newest change misses a newborn or a closed one
    const std::uint64_t value = word.load(std::memory_order_relaxed);
    word.store(tracked ? value | bit : value & ~bit, std::memory_order_relaxed);
  }
  template <class F>
  void for_each(F&& visit) const noexcept {
    for (std::size_t w = 0; w < fds.size(); ++w) {
      for (std::uint64_t bits = fds[w].load(std::memory_order_relaxed); bits != 0;
           bits &= bits - 1) {  // relaxed: above
        visit(static_cast<int>(w * 64) + std::countr_zero(bits));
      }
    }
  }
  std::atomic<std::uint32_t> generation{0};
};

/// Never destroyed: threads may outlive static destructors.  Not on the heap, where there may be no room for it when a
/// function is asked that must not throw.
registry& all() {
  static registry* const instance = [] {
    alignas(registry) static unsigned char memory[sizeof(registry)];
    auto* r = ::new (memory) registry;
    pthread_atfork([] { all().mutex.lock(); }, [] { all().mutex.unlock(); },
                   [] {
                     registry& own = all();
                     own.for_each([](int fd) { ::close(fd); });
                     for (auto& word : own.fds) word.store(0, std::memory_order_relaxed);  // relaxed: one thread
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

void hang_up_all() noexcept {
  all().for_each([](int fd) { ::shutdown(fd, SHUT_RDWR); });  // fails for what is no socket
}

tracked_fd::tracked_fd(int fd) : fd_(fd), generation_(fork_generation()) {
  if (fd < 0) return;
  const std::lock_guard lock{all().mutex};
  all().set(fd, true);
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
  all().set(fd, false);
  ::close(fd);
}

}  // namespace mpnet::ipc
