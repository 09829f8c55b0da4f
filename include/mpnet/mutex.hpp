// SPDX-License-Identifier: BSD-3-Clause
// Locks for an application's own data in shared memory.  They survive their holder: whoever gets the lock after a death
// is told so, and mends the data before it goes on.  Place them in memzones or heap blocks; all-zero bytes are an
// unlocked lock.  The holder is a lease, so that a death is one load away; unregistered threads get a lease without an
// lcore id at their first use.
#pragma once

#include <mpnet/detail/lease.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

namespace mpnet {

/// What became of the lock's last holder.
enum class last_owner : std::uint8_t {
  unlocked,  // it let go; the data is as it wanted it
  died,      // it died, or its thread ended, while holding the lock; the data may be half changed
};

namespace detail {

/// {lease + 1, incarnation} of the holder; 0: free.  Shared by mutex and spinlock.
class owner_lock {
 public:
  /// One try.  Empty where a living thread holds it.  noexcept; an unregistered thread's first call is cold.
  [[nodiscard]] std::optional<last_owner> try_lock() noexcept;
  void unlock() noexcept;
  [[nodiscard]] bool held_by_me() const noexcept;
  /// The holder in words, for error texts; "nobody" where it is free.
  [[nodiscard]] std::atomic<std::uint32_t>& word() noexcept { return word_; }

 private:
  std::atomic<std::uint32_t> word_{0};
};

}  // namespace detail

/// Sleeps while a living thread holds it.  Control path.  Not recursive.
class mutex {
 public:
  /// Waits as long as the holder lives and holds.  Throws limit when no lease is left for the calling thread.
  last_owner lock();
  /// Waits at most that long; empty when a living thread (also a stopped one) held it all the time.
  [[nodiscard]] std::optional<last_owner> try_lock_for(std::chrono::milliseconds timeout);
  [[nodiscard]] std::optional<last_owner> try_lock() noexcept { return lock_.try_lock(); }
  /// Only the thread that locked it.
  void unlock() noexcept;

 private:
  detail::owner_lock lock_;
  std::atomic<std::uint32_t> waiters_{0};
};

/// Spins while a living thread holds it, a bounded time.  Hot.
class spinlock {
 public:
  /// Empty when a living thread (also a stopped one) held it for the whole of `spins` tries.
  [[nodiscard]] std::optional<last_owner> lock(std::uint32_t spins = 1'000'000) noexcept;
  [[nodiscard]] std::optional<last_owner> try_lock() noexcept { return lock_.try_lock(); }
  void unlock() noexcept { lock_.unlock(); }

 private:
  detail::owner_lock lock_;
};

static_assert(sizeof(mutex) == 8 && sizeof(spinlock) == 4, "part of applications' shared layouts");

}  // namespace mpnet
