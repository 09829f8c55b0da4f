// SPDX-License-Identifier: BSD-3-Clause
// Asking for cache lines ahead of time.  Hot.
#pragma once

#include <mpnet/types.hpp>

#include <cstddef>

namespace mpnet::detail {

/// Asks for the line at `at`, to be read or (so that no other processor has a copy then) to be written.
template <bool for_writing>
inline void prefetch_line(const void* at) noexcept {
#if defined(__x86_64__)
  // The builtin asks for writing only where the compiler was told that the processor can; on others this does nothing.
  if constexpr (for_writing) {
    asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(at)));
    return;
  }
#endif
  __builtin_prefetch(at, for_writing ? 1 : 0);
}

/// The same for all lines of `bytes`.
template <bool for_writing>
inline void prefetch_lines(const void* from, std::size_t bytes) noexcept {
  const char* at = static_cast<const char*>(from);
  for (const char* end = at + bytes; at < end; at += cache_line) prefetch_line<for_writing>(at);
}

}  // namespace mpnet::detail
