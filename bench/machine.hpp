// SPDX-License-Identifier: BSD-3-Clause
// The machine under the benchmark: processors, clock, shared memory, and how far apart two processors are.
#pragma once

#include <immintrin.h>
#include <sched.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bench {

/// Cycles of the time stamp counter.  The fences keep what is timed inside.
[[nodiscard]] inline std::uint64_t cycles() noexcept {
  _mm_lfence();
  const auto now = __builtin_ia32_rdtsc();
  _mm_lfence();
  return now;
}

[[nodiscard]] double cycles_per_us();

/// Pins the calling thread; throws std::system_error.
void pin_to(unsigned processor);
[[nodiscard]] std::vector<unsigned> usable_processors();

/// What a report says about the machine: processor, kernel, page size, compiler.
[[nodiscard]] std::string describe_machine();

/// Memory that forked workers share at one address.  On hugepages where some are free.
class arena {
 public:
  explicit arena(std::size_t size_bytes);
  ~arena();
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;
  [[nodiscard]] void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool huge() const noexcept { return huge_; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
  bool huge_ = false;
};

/// Spins, and yields when that takes long: workers may be more than processors.
template <class Condition>
inline void wait_until(Condition&& condition) noexcept {
  for (unsigned spins = 0; !condition(); ++spins) {
    if (spins < 4096) {
      _mm_pause();
    } else {
      sched_yield();
    }
  }
}

/// A barrier for threads and processes; lives in an arena.
struct alignas(64) barrier {
  std::atomic<std::uint32_t> arrived;
  std::atomic<std::uint32_t> generation;

  /// Spins a while, then sleeps: where workers are more than processors the waiting ones must not slow those at work.
  void wait(std::uint32_t parties, unsigned spins = 20'000) noexcept;
};

/// The two lines that line_round_trip and line_stream bounce; live in an arena.
struct alignas(64) ping_line {
  std::atomic<std::uint64_t> ball;
  char pad[120];
};

/// Cycles that a cache line takes there and back between two processors.  Called at once by two workers, `side` 0 and
/// 1, after a barrier; both get the answer of their own clock.
[[nodiscard]] double line_round_trip(ping_line& line, unsigned side, unsigned trips = 100);

/// Round trips at least this long mean that the two processors do not share a cache.
inline constexpr double far_round_trip_cycles = 500;

}  // namespace bench
