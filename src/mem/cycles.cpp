// SPDX-License-Identifier: BSD-3-Clause
#include <mpnet/cycles.hpp>

#include <ctime>

namespace mpnet::detail {

constinit clock_config group_clock{};

std::uint64_t monotonic_ns() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000ULL + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace mpnet::detail
