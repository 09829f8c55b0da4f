// SPDX-License-Identifier: BSD-3-Clause
// Processors, clock, shared memory, distance of two processors.
#include "machine.hpp"

#include <fmt/format.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <fstream>
#include <system_error>

namespace bench {

double cycles_per_us() {
  static const double value = [] {
    const auto now_ns = [] {
      timespec t{};
      clock_gettime(CLOCK_MONOTONIC, &t);
      return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
    };
    const auto ns0 = now_ns();
    const auto c0 = cycles();
    while (now_ns() - ns0 < 2e7) _mm_pause();
    const auto c1 = cycles();
    return static_cast<double>(c1 - c0) / (now_ns() - ns0) * 1e3;
  }();
  return value;
}

void pin_to(unsigned processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    throw std::system_error{errno, std::generic_category(), fmt::format("pin to processor {}", processor)};
  }
}

std::vector<unsigned> usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::vector<unsigned> found;
  for (unsigned i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) found.push_back(i);
  }
  return found;
}

std::string describe_machine() {
  std::string model = "unknown processor";
  std::ifstream info{"/proc/cpuinfo"};
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) model = line.substr(line.find(':') + 2);
  }
  utsname system{};
  uname(&system);
  return fmt::format("{}, {} processors, {:.0f} MHz time stamp counter, Linux {}, compiler {}", model,
                     usable_processors().size(), cycles_per_us(), system.release,
#ifdef __clang__
                     "clang " __clang_version__
#else
                     "gcc " __VERSION__
#endif
  );
}

arena::arena(std::size_t size_bytes) {
  constexpr std::size_t huge_page = 2UL << 20;
  size_ = (size_bytes + huge_page - 1) / huge_page * huge_page;
  constexpr int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE;
  data_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);
  huge_ = data_ != MAP_FAILED;
  if (!huge_) data_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (data_ == MAP_FAILED) throw std::system_error{errno, std::generic_category(), "map the shared arena"};
}

arena::~arena() {
  munmap(data_, size_);
}

void barrier::wait(std::uint32_t parties, unsigned spins) noexcept {
  const auto before = generation.load(std::memory_order_relaxed);  // relaxed: this party's arrival orders it
  auto* word = reinterpret_cast<std::uint32_t*>(&generation);
  if (arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == parties) {
    arrived.store(0, std::memory_order_relaxed);  // relaxed: published by the generation
    generation.store(before + 1, std::memory_order_release);
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    return;
  }
  for (unsigned i = 0; generation.load(std::memory_order_acquire) == before; ++i) {
    if (i < spins) {
      _mm_pause();
    } else {
      syscall(SYS_futex, word, FUTEX_WAIT, before, nullptr, nullptr, 0);
    }
  }
}

double line_round_trip(ping_line& line, unsigned side, unsigned trips) {
  constexpr unsigned batches = 5;  // the median of several: a preempted batch does not count
  std::array<double, batches> taken{};
  auto& ball = line.ball;
  std::uint64_t next = ball.load(std::memory_order_acquire) / 2 * 2;
  for (auto& each : taken) {
    const auto begin = cycles();
    for (unsigned i = 0; i < trips; ++i, next += 2) {
      if (side == 0) {
        ball.store(next + 1, std::memory_order_release);
        wait_until([&] { return ball.load(std::memory_order_acquire) == next + 2; });
      } else {
        wait_until([&] { return ball.load(std::memory_order_acquire) == next + 1; });
        ball.store(next + 2, std::memory_order_release);
      }
    }
    each = static_cast<double>(cycles() - begin) / trips;
  }
  std::ranges::sort(taken);
  return taken[batches / 2];
}

}  // namespace bench
