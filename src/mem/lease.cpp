// SPDX-License-Identifier: BSD-3-Clause
#include <fmt/format.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <mpnet/cycles.hpp>
#include <mpnet/detail/lease.hpp>

#include <cstring>
#include <ctime>

#include "mem/conductor.hpp"
#include "mem/local_state.hpp"
#include "mem/membership.hpp"

namespace mpnet::detail {

constinit lease* lease_table = nullptr;
constinit std::uint16_t process_tag = 0;
thread_local constinit lease* this_lease = nullptr;
void (*on_lcore_released)(lcore) noexcept = nullptr;

namespace {

/// Gives the lease back when its thread ends in an orderly way; the kernel speaks for all others.
struct lease_guard {
  ~lease_guard() { release_lease(); }
  void arm() noexcept {}
};
thread_local lease_guard guard;

/// Peers read the futex word atomically while the C library, which TSan takes for plain code, sets it up.
#if defined(__SANITIZE_THREAD__)
extern "C" void AnnotateIgnoreWritesBegin(const char* file, int line);
extern "C" void AnnotateIgnoreWritesEnd(const char* file, int line);
struct futex_word_is_atomic {
  futex_word_is_atomic() { AnnotateIgnoreWritesBegin(__FILE__, __LINE__); }
  ~futex_word_is_atomic() { AnnotateIgnoreWritesEnd(__FILE__, __LINE__); }
};
#else
struct futex_word_is_atomic {
  futex_word_is_atomic() {}  // NOLINT: not trivial, so that the object counts as used
};
#endif

void lock_for_life(lease& l) {
  const futex_word_is_atomic annotation;
  // The memory is formatted anew for each owner: the last one is dead or unlocked it, and nobody else ever locks it.
  std::memset(&l.alive, 0, sizeof l.alive);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&l.alive, &attributes);
  pthread_mutexattr_destroy(&attributes);
  pthread_mutex_lock(&l.alive);
}

void clear_claims(lease& l) noexcept {
  // relaxed: nobody reads the claims of a lease that is not held
  l.ring.ring.store(0, std::memory_order_relaxed);
  l.pool.pool.store(0, std::memory_order_relaxed);
}

/// Slot (the low half) and state as one word: a lease is taken together with its owner's name, so that whoever dies at
/// that very instruction is known.
std::atomic<std::uint32_t>& holder_word(lease& l) noexcept {
  static_assert(offsetof(lease, slot) % 4 == 0 && offsetof(lease, state) == offsetof(lease, slot) + 2);
  void* const word = reinterpret_cast<char*>(&l) + offsetof(lease, slot);
  return *static_cast<std::atomic<std::uint32_t>*>(word);
}

/// Takes a free lease for the calling thread.
bool try_take(lease& l) noexcept {
  // relaxed: a guess for the exchange below
  std::uint32_t seen = holder_word(l).load(std::memory_order_relaxed);
  if (seen >> 16 != lease_free) return false;
  const std::uint32_t mine = std::uint32_t{lease_taken} << 16 | (process_tag - 1U);
  // [A-lease-state] pairs with [R-lease-state]: what the last owner or recovery left is visible.
  if (!holder_word(l).compare_exchange_strong(seen, mine, std::memory_order_acquire, std::memory_order_relaxed)) {
    return false;
  }
  // A death from here on is seen by the slot alone until the mutex is held; recovery looks at both.
  // [R-incarnation] who sees the new number knows that the former owner is gone; pairs with [A-incarnation].
  l.incarnation.fetch_add(1, std::memory_order_release);
  l.key.store(claim_key(l), std::memory_order_relaxed);
  clear_claims(l);
  lock_for_life(l);
  // relaxed: for people
  l.tid.store(static_cast<std::uint32_t>(::syscall(SYS_gettid)), std::memory_order_relaxed);
  this_lease = &l;
  guard.arm();
  return true;
}

}  // namespace

void forget_alive_word() noexcept {
  robust_list_head* head = nullptr;
  std::size_t bytes = 0;
  if (lease_table == nullptr || ::syscall(SYS_get_robust_list, 0, &head, &bytes) != 0 || head == nullptr) return;
  // The kernel's view of the list (futex.h): an entry lies `futex_offset` before its futex word; bit 0 of a link says
  // something about the next entry's kind and is no part of the address.
  const auto plain = [](robust_list* link) {
    return reinterpret_cast<robust_list*>(reinterpret_cast<std::uintptr_t>(link) & ~std::uintptr_t{1});
  };
  const auto is_lease = [head](const robust_list* entry) {
    const auto word = reinterpret_cast<std::uintptr_t>(entry) + static_cast<std::uintptr_t>(head->futex_offset);
    return word >= reinterpret_cast<std::uintptr_t>(lease_table) &&
           word < reinterpret_cast<std::uintptr_t>(lease_table + max_leases);
  };
  robust_list* at = &head->list;
  for (int steps = 0; steps < 2048; ++steps) {  // the kernel's own bound
    robust_list* const next = plain(at->next);
    if (next == &head->list || next == nullptr) return;
    if (is_lease(next)) {
      at->next = next->next;
    } else {
      at = next;
    }
  }
}

namespace {

constexpr std::uint64_t burial_patience_ns = 5'000'000'000;  // somebody else may be at it, and be stopped

/// Whether the lease's owner is gone, so that it comes free as soon as somebody has recovered what it held.
bool is_coming_free(const group& g, const lease& l) {
  const auto state = l.state.load(std::memory_order_acquire);  // [A-lease-state]
  if (state == lease_free || state == lease_recovering || is_dead(l)) return true;
  const std::uint32_t slot = l.slot.load(std::memory_order_relaxed);  // relaxed: ordered by the state
  return slot < max_processes && slot != g.local().slot &&
         g.local().locks->holder(mem::lock_file::first_slot + static_cast<off_t>(slot)) == -1;
}

/// Takes a lease that is free, or whose owner is dead, as soon as that has been recovered.  False where it lives.
bool take_once_free(group& g, lease& l) {
  const std::uint64_t deadline = monotonic_ns() + burial_patience_ns;
  while (!try_take(l)) {
    if (!is_coming_free(g, l) || monotonic_ns() > deadline) return false;
    mem::recover_dead(g);  // nobody may have noticed yet
    const timespec nap{0, 50'000};
    ::nanosleep(&nap, nullptr);
  }
  return true;
}

}  // namespace

lease& take_lease(group& g, lcore id) {
  mem::check_usable(g);
  const auto index = static_cast<std::size_t>(id);
  if (index >= max_lcores) {
    throw error{errc::invalid_argument, fmt::format("lcore {}: the highest id is {}", index, max_lcores - 1)};
  }
  if (this_lease != nullptr && lcore_id() != no_lcore) {
    throw error{errc::exists,
                fmt::format("lcore {}: this thread is lcore {} already", index, lease_index(*this_lease))};
  }
  release_lease();  // one without an lcore id
  lease& l = lease_table[index];
  if (!take_once_free(g, l)) {
    throw error{errc::busy,
                fmt::format("lcore {}: held by {}; choose another lcore id (-l, --lcores), or end that process", index,
                            mem::describe_slot(g.control(), l.slot.load(std::memory_order_relaxed)))};
  }
  return l;
}

lease& take_any_lcore(group& g) {
  mem::check_usable(g);
  if (this_lease != nullptr && lcore_id() == no_lcore) release_lease();
  for (int attempt = 0; attempt < 2; ++attempt) {
    for (std::size_t i = 0; i < max_lcores; ++i) {
      if (lease_table[i].state.load(std::memory_order_relaxed) == lease_free &&
          try_take(lease_table[i])) {  // relaxed: hint
        return lease_table[i];
      }
    }
    if (attempt == 0) mem::recover_dead(g);  // some owners may be dead, and nobody noticed yet
  }
  throw error{errc::limit, fmt::format("register a thread: all {} lcore ids are taken", max_lcores)};
}

void release_lease() noexcept {
  lease* const l = this_lease;
  if (l == nullptr || lease_table == nullptr) return;
  const lcore id = lcore_id();
  if (id != no_lcore && on_lcore_released != nullptr) on_lcore_released(id);
  this_lease = nullptr;
  clear_claims(*l);
  {
    const futex_word_is_atomic annotation;
    pthread_mutex_unlock(&l->alive);
  }
  l->tid.store(0, std::memory_order_relaxed);  // relaxed: for people
  // A claim that the thread has left standing names an owner that is gone from now on, and whoever meets it repairs it.
  l->incarnation.fetch_add(1, std::memory_order_release);  // [R-incarnation] as in try_take()
  // [R-lease-state] pairs with [A-lease-state] in try_take().
  l->state.store(lease_free, std::memory_order_release);
}

lease* acquire_anonymous_lease() noexcept {
  if (lease_table == nullptr || process_tag == 0) return nullptr;
  for (std::size_t i = max_lcores; i < max_leases; ++i) {
    if (lease_table[i].state.load(std::memory_order_relaxed) == lease_free &&
        try_take(lease_table[i])) {  // relaxed: hint
      return this_lease;
    }
  }
  return nullptr;
}

}  // namespace mpnet::detail
