// SPDX-License-Identifier: BSD-3-Clause
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <mpnet/cycles.hpp>
#include <mpnet/error.hpp>
#include <mpnet/mutex.hpp>

#include <ctime>

namespace mpnet {
namespace {

constexpr std::uint32_t lease_bits = 12;
constexpr std::uint32_t lease_mask = (1U << lease_bits) - 1;

/// The calling thread's word; 0 where it can have no lease.
std::uint32_t my_word() noexcept {
  const detail::lease* l = detail::current_lease();
  if (l == nullptr) return 0;
  // relaxed: written by this thread
  const std::uint32_t incarnation = l->incarnation.load(std::memory_order_relaxed);
  return (std::uint32_t{detail::lease_index(*l)} + 1) | (incarnation << lease_bits);
}

/// Whether the owner that the word names is gone: dead, or its lease given back or passed on.
bool owner_gone(std::uint32_t word) noexcept {
  const std::uint32_t index = (word & lease_mask) - 1;
  if (index >= max_leases || detail::lease_table == nullptr) return true;
  const detail::lease& l = detail::lease_table[index];
  // [A-lease-state] pairs with [R-lease-state]
  if (l.state.load(std::memory_order_acquire) != detail::lease_taken) return true;
  // relaxed: ordered by the state
  const std::uint32_t incarnation = l.incarnation.load(std::memory_order_relaxed);
  return ((incarnation << lease_bits) ^ word) >> lease_bits != 0 || detail::is_dead(l);
}

void sleep_on(std::atomic<std::uint32_t>& word, std::uint32_t seen) noexcept {
  const timespec slice{0, 1'000'000};  // the holder may die without waking anyone
  ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, &slice, nullptr, 0);
}

}  // namespace

std::optional<last_owner> detail::owner_lock::try_lock() noexcept {
  const std::uint32_t mine = my_word();
  if (mine == 0) return std::nullopt;
  // relaxed: a guess for the exchange below
  std::uint32_t seen = word_.load(std::memory_order_relaxed);
  // Cases: free; a dead owner's word, which one of its finders exchanges; a living owner's.
  if (seen != 0 && !owner_gone(seen)) return std::nullopt;
  const last_owner fate = seen == 0 ? last_owner::unlocked : last_owner::died;
  // [A-owner] pairs with [R-owner] in unlock(); after a death with [A-lease]'s pair.
  if (!word_.compare_exchange_strong(seen, mine, std::memory_order_acquire, std::memory_order_relaxed)) {
    return std::nullopt;
  }
  return fate;
}

void detail::owner_lock::unlock() noexcept {
  word_.store(0, std::memory_order_release);  // [R-owner] pairs with [A-owner] in try_lock()
}

bool detail::owner_lock::held_by_me() const noexcept {
  const std::uint32_t mine = my_word();
  return mine != 0 && word_.load(std::memory_order_relaxed) == mine;  // relaxed: only this thread writes that value
}

std::optional<last_owner> mutex::try_lock_for(std::chrono::milliseconds timeout) {
  if (detail::current_lease() == nullptr) {
    throw error{errc::limit, "lock a mutex: no lease is left for this thread; join the group, or end other threads"};
  }
  const std::uint64_t deadline =
      detail::monotonic_ns() + static_cast<std::uint64_t>(timeout.count()) * std::uint64_t{1'000'000};
  for (;;) {
    if (const auto fate = lock_.try_lock()) return fate;
    if (detail::monotonic_ns() >= deadline) return std::nullopt;
    // relaxed: a missed waiter wakes by its slice
    waiters_.fetch_add(1, std::memory_order_relaxed);
    const std::uint32_t seen = lock_.word().load(std::memory_order_relaxed);
    if (seen != 0 && !owner_gone(seen)) sleep_on(lock_.word(), seen);
    waiters_.fetch_sub(1, std::memory_order_relaxed);
  }
}

last_owner mutex::lock() {
  for (;;) {
    if (const auto fate = try_lock_for(std::chrono::hours{1})) return *fate;
  }
}

void mutex::unlock() noexcept {
  lock_.unlock();
  // relaxed: see try_lock_for
  if (waiters_.load(std::memory_order_relaxed) != 0) {
    ::syscall(SYS_futex, &lock_.word(), FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }
}

std::optional<last_owner> spinlock::lock(std::uint32_t spins) noexcept {
  for (std::uint32_t i = 0; i < spins; ++i) {
    if (const auto fate = lock_.try_lock()) return fate;
    cpu_relax();
  }
  return std::nullopt;
}

}  // namespace mpnet
