// SPDX-License-Identifier: BSD-3-Clause
// Time as the data path reads it.  Follows rte_cycles.h, but the frequency is measured once a group and kept in its
// config, so that all members convert alike.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace mpnet {

namespace detail {
struct clock_config {
  std::uint64_t hz = 1'000'000'000;
  bool use_tsc = false;  // false: the monotonic clock, in nanoseconds
};
extern constinit clock_config group_clock;  // written once, before any lcore runs
[[nodiscard]] std::uint64_t monotonic_ns() noexcept;
/// What this machine's clock is.  Control; takes about 10 ms.  Called by the process that makes the group.
[[nodiscard]] clock_config measure_clock();
}  // namespace detail

/// Ticks since some point in the past, the same in every process of the group.  Hot.
/// The TSC where it is invariant, else the monotonic clock (a vDSO call).
[[nodiscard]] inline std::uint64_t tsc_now() noexcept {
#if defined(__x86_64__)
  if (detail::group_clock.use_tsc) [[likely]]
    return __rdtsc();
#endif
  return detail::monotonic_ns();
}

/// Ticks a second.  Hot.
[[nodiscard]] inline std::uint64_t tsc_hz() noexcept {
  return detail::group_clock.hz;
}

/// Tells the processor that this is a spin loop.  Hot.
inline void cpu_relax() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

}  // namespace mpnet
