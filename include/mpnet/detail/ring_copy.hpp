// SPDX-License-Identifier: BSD-3-Clause
// Moving objects between an array and a ring's slots.  Hot.
//
// Both ways in the widest pieces there are: a burst that comes out soon after it went in then reads pieces that were
// stored whole, which processors forward from the store buffer; 8 bytes at a time in and 16 out cost twice as much.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mpnet::detail {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MPNET_PLAIN_COPY 1  // sanitizers do not see into the assembly below
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define MPNET_PLAIN_COPY 1
#endif
#endif

#if defined(__x86_64__) && !defined(MPNET_PLAIN_COPY)
/// Whether copy_wide() may be called: the processor has AVX2.  Set before main().
extern const bool has_wide_copy;
/// Worth a branch from here on.
inline constexpr std::size_t wide_copy_bytes = 64;

/// At least 64 bytes, the last 64 overlapping.  Assembly, because programs are mostly built for processors without
/// AVX2, where a function with another target cannot be inlined, and the call costs more than it gains.
[[gnu::always_inline]] inline void copy_wide(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  const std::byte* const last = from + bytes - 64;
  const std::ptrdiff_t shift = to - from;
  for (; from < last; from += 64) {
    asm volatile(
        "vmovdqu (%0), %%ymm0\n\tvmovdqu 32(%0), %%ymm1\n\t"
        "vmovdqu %%ymm0, (%0,%1)\n\tvmovdqu %%ymm1, 32(%0,%1)"
        :
        : "r"(from), "r"(shift)
        : "memory", "xmm0", "xmm1");
  }
  asm volatile(
      "vmovdqu (%0), %%ymm0\n\tvmovdqu 32(%0), %%ymm1\n\t"
      "vmovdqu %%ymm0, (%0,%1)\n\tvmovdqu %%ymm1, 32(%0,%1)\n\tvzeroupper"
      :
      : "r"(last), "r"(shift)
      : "memory", "xmm0", "xmm1");
}

/// A multiple of 4 bytes that do not overlap.
[[gnu::always_inline]] inline void copy_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  if (bytes >= wide_copy_bytes && has_wide_copy) return copy_wide(to, from, bytes);
  std::size_t i = 0;
  for (; i + 32 <= bytes; i += 32) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i + 16));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), a);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i + 16), b);
  }
  if ((bytes & 16) != 0) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
    i += 16;
  }
  if ((bytes & 8) != 0) {
    std::memcpy(to + i, from + i, 8);
    i += 8;
  }
  if ((bytes & 4) != 0) std::memcpy(to + i, from + i, 4);
}
#else
inline void copy_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  std::memcpy(to, from, bytes);
}
#endif

/// Into the slots from `position` on; wraps.
template <class T>
[[gnu::always_inline]] inline void copy_in(std::byte* slots, std::uint64_t mask, std::uint64_t position,
                                           const T* objects, std::size_t count) noexcept {
  const auto* from = reinterpret_cast<const std::byte*>(objects);
  const std::size_t at = position & mask;
  const std::size_t first = mask + 1 - at;
  if (count <= first) [[likely]] {
    copy_bytes(slots + at * sizeof(T), from, count * sizeof(T));
  } else {
    copy_bytes(slots + at * sizeof(T), from, first * sizeof(T));
    copy_bytes(slots, from + first * sizeof(T), (count - first) * sizeof(T));
  }
}

/// Out of the slots from `position` on; wraps.
template <class T>
[[gnu::always_inline]] inline void copy_out(T* objects, const std::byte* slots, std::uint64_t mask,
                                            std::uint64_t position, std::size_t count) noexcept {
  auto* to = reinterpret_cast<std::byte*>(objects);
  const std::size_t at = position & mask;
  const std::size_t first = mask + 1 - at;
  if (count <= first) [[likely]] {
    copy_bytes(to, slots + at * sizeof(T), count * sizeof(T));
  } else {
    copy_bytes(to, slots + at * sizeof(T), first * sizeof(T));
    copy_bytes(to + first * sizeof(T), slots, (count - first) * sizeof(T));
  }
}

}  // namespace mpnet::detail
