// SPDX-License-Identifier: BSD-3-Clause
// The doorbell: consumers of an idle ring sleep in the kernel; producers call it only when somebody said that he
// sleeps.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <mpnet/cycles.hpp>
#include <mpnet/ring.hpp>

#include <climits>
#include <ctime>

namespace mpnet::detail {
namespace {

// A producer may die between its commit and the bell, and recovery may take a moment to ring for it: nobody sleeps
// longer than this without looking.
constexpr std::int64_t longest_nap_ns = 100'000'000;

void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t timeout_ns) noexcept {
  const timespec timeout{.tv_sec = timeout_ns / 1'000'000'000, .tv_nsec = timeout_ns % 1'000'000'000};
  syscall(SYS_futex, &word, FUTEX_WAIT, expected, &timeout, nullptr, 0);  // early returns are fine: the caller looks
}

}  // namespace

void ring_wake_consumers(ring_header& h) noexcept {
  // Both sides read, modify and write `sleeping` in one step, so one of the two comes first:
  //  - the sleeper: then we read what it wrote, and ring;
  //  - we: then the sleeper reads from us, and with it sees the tail that we stored before.
  // [R-sleeping] [A-sleeping] both directions.
  std::uint32_t seen = h.sleeping.fetch_or(0, std::memory_order_acq_rel);
  if (seen == 0) return;
  h.bell.fetch_add(1, std::memory_order_relaxed);  // relaxed: only compared, by the kernel
  syscall(SYS_futex, &h.bell, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  // After the wake: a ringer that dies before it leaves the flag, and the next producer rings.  Only if nobody came
  // since `seen`: somebody whom this bell woke may have taken all there is, and lain down again, before we get here,
  // and must be rung for the next time.  relaxed: nothing comes with it.
  h.sleeping.compare_exchange_strong(seen, 0, std::memory_order_relaxed, std::memory_order_relaxed);
}

bool ring_wait_for_objects(ring_header& h, std::int64_t timeout_ms) noexcept {
  if (ring_approx_count(h) != 0) return true;
  if ((h.flags & ring_doorbell) == 0 || timeout_ms == 0) return false;
  const std::int64_t deadline =
      timeout_ms < 0 ? INT64_MAX : static_cast<std::int64_t>(monotonic_ns()) + timeout_ms * 1'000'000;
  for (;;) {
    const std::uint32_t bell = h.bell.load(std::memory_order_relaxed);  // relaxed: the kernel compares it again
    // [R-sleeping] [A-sleeping] see ring_wake_consumers.  Another number each time.
    h.sleeping.fetch_add(1, std::memory_order_acq_rel);
    if (ring_approx_count(h) != 0) return true;
    const std::int64_t left = deadline - static_cast<std::int64_t>(monotonic_ns());
    if (left <= 0) return false;
    futex_wait(h.bell, bell, std::min(left, longest_nap_ns));
    if (ring_approx_count(h) != 0) return true;
  }
}

}  // namespace mpnet::detail
