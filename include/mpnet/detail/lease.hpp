// SPDX-License-Identifier: BSD-3-Clause
// Leases: how a spinning peer learns, with one plain load, that a thread is dead.
//
// Each thread that uses shared rings and pools holds one lease of the group.  Lease i < max_lcores belongs to lcore i;
// the others serve threads without an lcore id.  The lease's robust mutex is locked by its thread for the thread's life
// and by nobody else ever; when the thread dies, however it dies, the kernel sets FUTEX_OWNER_DIED in the futex word
// (set_robust_list(2)).  A process that crashes sets the same bit itself, after it parked its other threads, so that
// nobody waits for its core dump.
//
// The claim lines are the thread's own: it writes there, before the claim takes effect, what survivors need to finish
// or to undo it.  They are written by the owner, and by recovery after the owner's death.
#pragma once

#include <linux/futex.h>
#include <pthread.h>
#include <mpnet/types.hpp>

#include <atomic>
#include <cstdint>

namespace mpnet::detail {

/// What a thread is about to do to a ring.  Defined and used by ring/.
struct alignas(cache_line) ring_claim {
  std::atomic<std::uint64_t> ring;      // address of the ring's header, 0: none (written last when armed, cleared last)
  std::atomic<std::uint64_t> position;  // where the claim starts
  std::atomic<std::uint64_t> previous;  // the head that the CAS expected
  std::atomic<std::uint32_t> count;     // objects claimed
  std::atomic<std::uint32_t> side;      // 0 producer, 1 consumer
  std::uint64_t spare[4];
};
static_assert(sizeof(ring_claim) == 64);

/// What a thread is about to do to a pool's backend.  Defined and used by pool/.
struct alignas(cache_line) pool_claim {
  std::atomic<std::uint64_t> pool;   // address of the pool's header, 0: none
  std::atomic<std::uint64_t> chunk;  // the chunk being popped or pushed
  std::atomic<std::uint64_t> step;
  std::uint64_t spare[5];
};
static_assert(sizeof(pool_claim) == 64);

struct alignas(cache_line) lease {
  pthread_mutex_t alive;                   // robust, process-shared; first word is the futex word
  std::atomic<std::uint32_t> incarnation;  // counts its owners: one more when taken, and when given back
  std::atomic<std::uint16_t> slot;         // the owner's process slot; taken together with
  std::atomic<std::uint16_t> state;        // lease_state, in one exchange of both (mem/lease.cpp)
  std::atomic<std::uint32_t> tid;          // the owner's thread id in its own PID namespace, for people
  std::atomic<std::uint32_t> key;          // names this owner of this lease in ring words; 0: not yet computed
  ring_claim ring;
  pool_claim pool;
};
static_assert(sizeof(lease) == 192);

/// `lease_recovering`: its thread is dead and all that it had claimed is repaired; the next owner is not let in yet.
enum lease_state : std::uint16_t { lease_free, lease_taken, lease_recovering };

[[nodiscard]] inline std::atomic<std::uint32_t>& alive_word(lease& l) noexcept {
  return *reinterpret_cast<std::atomic<std::uint32_t>*>(&l.alive);
}

/// Hot.  True once the kernel (or the crashing process itself) has said that the owner is dead.
/// [A-lease] acquire: everything that the owner stored before it died is visible after a true answer; pairs with the
/// kernel's locked exchange on the futex word in exit_robust_list.
[[nodiscard]] inline bool is_dead(const lease& l) noexcept {
  return (alive_word(const_cast<lease&>(l)).load(std::memory_order_acquire) & FUTEX_OWNER_DIED) != 0;
}

/// The group's leases; set by whoever maps the control segment, null outside a group.
extern constinit lease* lease_table;
/// This process's tag in ownership tables: its slot + 1; 0 outside a group.
extern constinit std::uint16_t process_tag;

/// The calling thread's lease, or null.
#if defined(__GNUC__)
extern thread_local constinit lease* this_lease __attribute__((tls_model("initial-exec")));
#endif

/// Cold: takes a lease without an lcore id for the calling thread and gives it back when the thread ends.
/// Null when there is none left, when the process is in no group, or in the child of a plain fork().
[[nodiscard]] lease* acquire_anonymous_lease() noexcept;

/// Hot.
[[nodiscard]] inline lease* current_lease() noexcept {
  if (this_lease != nullptr) [[likely]]
    return this_lease;
  return acquire_anonymous_lease();
}

[[nodiscard]] inline std::uint16_t lease_index(const lease& l) noexcept {
  return static_cast<std::uint16_t>(&l - lease_table);
}

/// {incarnation 12, lease index + 1 12}: names one owner of one lease, in words that survivors read.
[[nodiscard]] inline std::uint32_t claim_key(const lease& l) noexcept {
  // relaxed: changed only while nobody holds the lease.
  const std::uint32_t incarnation = l.incarnation.load(std::memory_order_relaxed);
  return ((incarnation & 0xfffU) << 12) | (lease_index(l) + 1U);
}

}  // namespace mpnet::detail

namespace mpnet {

/// The calling thread's lcore id, or no_lcore for a thread that holds none.  Hot.  Follows rte_lcore_id.
[[nodiscard]] inline lcore lcore_id() noexcept {
  const detail::lease* l = detail::this_lease;
  if (l == nullptr) return no_lcore;
  const auto index = detail::lease_index(*l);
  return index < max_lcores ? lcore{index} : no_lcore;
}

}  // namespace mpnet
