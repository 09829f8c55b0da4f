// SPDX-License-Identifier: BSD-3-Clause
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <mpnet/detail/lease.hpp>

#include <cstring>

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
  const auto tid = static_cast<std::uint32_t>(::syscall(SYS_gettid));
  // A thread that dumps core may still have this lease on its robust list; the kernel would take an equal id for it.
  if (l.tid.load(std::memory_order_relaxed) == tid) return false;  // relaxed: written by the last owner, long ago
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
  l.tid.store(tid, std::memory_order_release);  // for people, and for the check above
  this_lease = &l;
  guard.arm();
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
  if (!try_take(l)) mem::recover_dead(g);  // its owner may be dead, and nobody noticed yet
  if (this_lease == nullptr && !try_take(l)) {
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
