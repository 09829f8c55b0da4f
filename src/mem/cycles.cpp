// SPDX-License-Identifier: BSD-3-Clause
// The group's clock: whether the TSC may be used and how fast it ticks.  Measured by the process that makes the group,
// read from the config by all others, so that a stamp taken in one process means the same in another.
// Intel SDM vol. 3, "Invariant TSC" and CPUID leaf 0x15; AMD APM vol. 3, CPUID Fn8000_0007.
#include <mpnet/cycles.hpp>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace mpnet::detail {

constinit clock_config group_clock{};

namespace {

std::uint64_t read_clock(clockid_t clock) noexcept {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000ULL + static_cast<std::uint64_t>(now.tv_nsec);
}

#if defined(__x86_64__)

bool invariant_tsc() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(0x80000007, &a, &b, &c, &d) == 0 || (d & (1U << 8)) == 0) return false;
  // The kernel withdraws the TSC from this list when its watchdog found processors drifting apart.
  std::ifstream list{"/sys/devices/system/clocksource/clocksource0/available_clocksource"};
  if (!list) return true;
  for (std::string name; list >> name;)
    if (name == "tsc") return true;
  return false;
}

/// From the crystal's frequency, where the processor tells it; else 0.
std::uint64_t cpuid_hz() noexcept {
  unsigned denominator = 0;
  unsigned numerator = 0;
  unsigned crystal_hz = 0;
  unsigned unused = 0;
  if (__get_cpuid(0x15, &denominator, &numerator, &crystal_hz, &unused) == 0) return 0;
  if (denominator == 0 || numerator == 0 || crystal_hz == 0) return 0;
  return std::uint64_t{crystal_hz} * numerator / denominator;
}

struct stamp {
  std::uint64_t tsc;
  std::uint64_t ns;
};

/// One instant on both clocks: of several tries the one that was disturbed least.
stamp take_stamp() noexcept {
  stamp best{};
  std::uint64_t best_width = ~0ULL;
  for (int i = 0; i < 16; ++i) {
    const std::uint64_t before = __rdtsc();
    const std::uint64_t ns = read_clock(CLOCK_MONOTONIC_RAW);
    const std::uint64_t width = __rdtsc() - before;
    if (width < best_width) {
      best_width = width;
      best = {before + width / 2, ns};
    }
  }
  return best;
}

std::uint64_t measured_hz() noexcept {
  const stamp begin = take_stamp();
  timespec pause{0, 10'000'000};  // 10 ms: a few parts in a million of error
  while (nanosleep(&pause, &pause) != 0) {
  }
  const stamp end = take_stamp();
  if (end.ns <= begin.ns || end.tsc <= begin.tsc) return 0;
  return static_cast<std::uint64_t>(static_cast<double>(end.tsc - begin.tsc) * 1e9 /
                                    static_cast<double>(end.ns - begin.ns));
}

#endif

}  // namespace

std::uint64_t monotonic_ns() noexcept {
  return read_clock(CLOCK_MONOTONIC);
}

clock_config measure_clock() {
#if defined(__x86_64__)
  if (!invariant_tsc()) return {};
  const std::uint64_t measured = measured_hz();
  if (measured < 1'000'000) return {};  // a TSC that stands still
  // The processor's own figure is exact, but a hypervisor may pass another machine's on: believe it within 0.1 %.
  const std::uint64_t told = cpuid_hz();
  const std::uint64_t distance = std::max(told, measured) - std::min(told, measured);
  return {.hz = distance < measured / 1000 ? told : measured, .use_tsc = true};
#else
  return {};
#endif
}

}  // namespace mpnet::detail
