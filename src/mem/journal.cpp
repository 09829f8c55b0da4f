// SPDX-License-Identifier: BSD-3-Clause
#include "mem/journal.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <mpnet/cycles.hpp>

#include <chrono>

#include "mem/local_state.hpp"
#include "mem/membership.hpp"

namespace mpnet::mem {
namespace {

constexpr auto patience = std::chrono::seconds{10};

/// Keeps the compiler from moving stores across; the processor's order does not matter to a reader that runs after the
/// writer's death, and living processes are ordered by the lock.
void compiler_barrier() noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

std::uint32_t lock_word(const local_state& local) noexcept {
  return (local.slot + 1) | ((local.incarnation & 0xffff) << 16);
}

void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t seen) noexcept {
  const timespec slice{0, 2'000'000};  // the owner may die without waking anyone
  ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, &slice, nullptr, 0);
}

[[noreturn]] void give_up(const control& c, std::uint32_t word) {
  throw error{errc::timed_out, fmt::format("the group's control lock: held by {} for more than {} s; is it stopped?",
                                           describe_slot(c, (word & 0xffff) - 1), patience.count())};
}

bool lock_patiently(std::timed_mutex& m) {
#if defined(MPNET_TSAN)
  // GCC 12's ThreadSanitizer does not see pthread_mutex_clocklock(), which try_lock_for() calls.
  return m.try_lock_until(std::chrono::system_clock::now() + patience);
#else
  return m.try_lock_for(patience);
#endif
}

}  // namespace

transaction::transaction(group& g) : group_(g), control_(g.control()) {
  check_usable(g);
  if (!lock_patiently(g.local().control_mutex)) {
    throw error{errc::timed_out, "the group's control lock: another thread of this process holds it; is it stopped?"};
  }
  try {
    lock();
  } catch (...) {
    g.local().control_mutex.unlock();
    throw;
  }
}

void transaction::count_inheritance() noexcept {
  // relaxed, both: statistics
  control_.locks_inherited.fetch_add(1, std::memory_order_relaxed);
  if (control_.undo.count != 0 || control_.intent.segment != 0)
    control_.journals_undone.fetch_add(1, std::memory_order_relaxed);
}

void transaction::lock() {
  const std::uint32_t mine = lock_word(group_.local());
  const std::uint64_t deadline =
      detail::monotonic_ns() + static_cast<std::uint64_t>(std::chrono::nanoseconds{patience}.count());
  std::atomic<std::uint32_t>& word = control_.control_lock;
  // relaxed: only a guess for the exchange below
  std::uint32_t seen = word.load(std::memory_order_relaxed);
  for (;;) {
    // Cases: 0 free; a dead process's word; ours from a forked-off past cannot be (the incarnation differs); a living
    // process's word.
    const bool stolen = seen != 0 && is_process_dead(group_, (seen & 0xffff) - 1, seen >> 16);
    if (seen == 0 || stolen) {
      // [A-control] pairs with [R-control] below: the last owner's changes are visible.
      if (!word.compare_exchange_strong(seen, mine, std::memory_order_acquire, std::memory_order_relaxed)) continue;
      if (stolen) count_inheritance();
      break;
    }
    if (detail::monotonic_ns() > deadline) give_up(control_, seen);
    // relaxed: a count of sleepers, read by the unlocker after its release; a missed one wakes by its slice
    control_.control_waiters.fetch_add(1, std::memory_order_relaxed);
    futex_wait(word, seen);
    control_.control_waiters.fetch_sub(1, std::memory_order_relaxed);
    seen = word.load(std::memory_order_relaxed);  // relaxed: as above
  }
  // A dead owner's journal; nothing where the last owner unlocked by itself.
  undo();
  reconcile();
}

transaction::~transaction() {
  undo();
  reconcile();
  // [R-control] pairs with [A-control] in lock().
  control_.control_lock.store(0, std::memory_order_release);
  // relaxed: see lock()
  if (control_.control_waiters.load(std::memory_order_relaxed) != 0) {
    ::syscall(SYS_futex, &control_.control_lock, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }
  group_.local().control_mutex.unlock();
}

void transaction::set(std::uint64_t& field, std::uint64_t value) {
  journal& j = control_.undo;
  if (j.count == journal_entries) throw error{errc::limit, "the control journal is full: the change is too large"};
  j.entries[j.count] = {reinterpret_cast<std::uint64_t>(&field), field};
  compiler_barrier();
  // relaxed: read by the next owner of the lock only; the compiler barriers keep entry, count and store in this order
  std::atomic_ref{j.count}.store(j.count + 1, std::memory_order_relaxed);
  compiler_barrier();
  // [R-granule] pairs with [A-granule] in region.cpp, where `field` is a word of published granules.
  std::atomic_ref{field}.store(value, std::memory_order_release);
  compiler_barrier();
}

void transaction::set(std::atomic<std::uint64_t>& field, std::uint64_t value) {
  set(reinterpret_cast<std::uint64_t&>(field), value);
}

void transaction::commit() noexcept {
  compiler_barrier();
  // relaxed: as in set()
  std::atomic_ref{control_.undo.count}.store(0, std::memory_order_relaxed);
  compiler_barrier();
  reconcile();
}

void transaction::undo() noexcept {
  journal& j = control_.undo;
  while (j.count != 0) {
    const journal::entry e = j.entries[j.count - 1];
    // relaxed: as in set(); the store comes before the count goes down, so a second undo repeats it
    std::atomic_ref{*reinterpret_cast<std::uint64_t*>(e.address)}.store(e.old_value, std::memory_order_relaxed);
    compiler_barrier();
    std::atomic_ref{j.count}.store(j.count - 1, std::memory_order_relaxed);
    compiler_barrier();
  }
}

void transaction::announce(std::uint64_t segment_index, std::uint64_t first, std::uint64_t count) noexcept {
  extent_intent& intent = control_.intent;
  intent.first = first;
  intent.count = count;
  compiler_barrier();
  std::atomic_ref{intent.segment}.store(segment_index + 1, std::memory_order_relaxed);  // relaxed: as in set()
  compiler_barrier();
}

void transaction::reconcile() noexcept {
  extent_intent& intent = control_.intent;
  if (intent.segment == 0) return;
  const std::size_t index = intent.segment - 1;
  const segment& s = control_.segments[index];
  region& map = *group_.local().map;
  // Somebody may have seen granules as published that are not, or the other way round, and must look again.
  // [R-extent] pairs with [A-extent] in region.cpp.
  control_.extent_epoch.fetch_add(1, std::memory_order_release);
  for (std::uint64_t g = intent.first; g < intent.first + intent.count; ++g) {
    // relaxed: under the lock
    if (((s.published[g / 64].load(std::memory_order_relaxed) >> (g % 64)) & 1) != 0) continue;
    notify_observers(group_, reinterpret_cast<void*>(group_.base_address() + s.window_offset + g * s.granule_bytes),
                     s.granule_bytes, s.page_bytes, false);
    map.close_extent(index, g, 1);
    ::fallocate(map.segment_fd(index), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                static_cast<off_t>(g * s.granule_bytes), static_cast<off_t>(s.granule_bytes));
  }
  compiler_barrier();
  std::atomic_ref{intent.segment}.store(0, std::memory_order_relaxed);  // relaxed: as in set()
}

}  // namespace mpnet::mem
