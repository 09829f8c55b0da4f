// SPDX-License-Identifier: BSD-3-Clause
// Moving objects between an array and a ring's slots.  Hot.
//
// In: 8 bytes at a time, because the caller has just stored its array so, and a wider load of what lies in the store
// buffer in pieces waits until all of it has drained.  Out: vectors, because the slots were stored a while ago.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace mpnet::detail {

using may_alias_u64 [[gnu::may_alias]] = std::uint64_t;
using may_alias_u32 [[gnu::may_alias]] = std::uint32_t;

template <class Word>
[[gnu::always_inline]] inline void copy_words(void* to, const void* from, std::size_t words) noexcept {
  auto* d = static_cast<Word*>(to);
  const auto* s = static_cast<const Word*>(from);
  std::size_t i = 0;
  for (; i + 4 <= words; i += 4) {
    const Word a = s[i], b = s[i + 1], c = s[i + 2], e = s[i + 3];
    // Keeps the compiler from joining the four into a vector.
    asm("" ::"r"(a), "r"(b), "r"(c), "r"(e));
    d[i] = a;
    d[i + 1] = b;
    d[i + 2] = c;
    d[i + 3] = e;
  }
  if ((words & 2) != 0) {
    const Word a = s[i], b = s[i + 1];
    asm("" ::"r"(a), "r"(b));
    d[i] = a;
    d[i + 1] = b;
    i += 2;
  }
  if ((words & 1) != 0) d[i] = s[i];
}

/// Into slots that do not wrap.
template <class T>
[[gnu::always_inline]] inline void copy_run_in(std::byte* slots, const T* objects, std::size_t count) noexcept {
  if constexpr (sizeof(T) % 8 == 0 && alignof(T) >= 8) {
    copy_words<may_alias_u64>(slots, objects, count * (sizeof(T) / 8));
  } else if constexpr (sizeof(T) == 4 && alignof(T) >= 4) {
    copy_words<may_alias_u32>(slots, objects, count);
  } else {
    for (std::size_t i = 0; i < count; ++i) std::memcpy(slots + i * sizeof(T), objects + i, sizeof(T));
  }
}

/// Out of slots that do not wrap.
template <class T>
[[gnu::always_inline]] inline void copy_run_out(T* objects, const std::byte* slots, std::size_t count) noexcept {
#if defined(__SSE2__)
  auto* d = reinterpret_cast<std::byte*>(objects);
  std::size_t left = count * sizeof(T);
#if defined(__AVX__)
  for (; left >= 32; left -= 32, d += 32, slots += 32)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(d), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(slots)));
  if (left >= 16) {
#else
  for (; left >= 32; left -= 32, d += 32, slots += 32) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(slots));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(slots + 16));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(d), a);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(d + 16), b);
  }
  if (left >= 16) {
#endif
    _mm_storeu_si128(reinterpret_cast<__m128i*>(d), _mm_loadu_si128(reinterpret_cast<const __m128i*>(slots)));
    left -= 16, d += 16, slots += 16;
  }
  if (left >= 8) {
    std::memcpy(d, slots, 8);
    left -= 8, d += 8, slots += 8;
  }
  if (left >= 4) std::memcpy(d, slots, 4);
#else
  for (std::size_t i = 0; i < count; ++i) std::memcpy(objects + i, slots + i * sizeof(T), sizeof(T));
#endif
}

template <class T>
[[gnu::always_inline]] inline void copy_in(std::byte* slots, std::uint64_t mask, std::uint64_t position,
                                           const T* objects, std::size_t count) noexcept {
  const std::size_t at = position & mask;
  const std::size_t first = mask + 1 - at;
  if (count <= first) [[likely]] {
    copy_run_in(slots + at * sizeof(T), objects, count);
  } else {
    copy_run_in(slots + at * sizeof(T), objects, first);
    copy_run_in(slots, objects + first, count - first);
  }
}

template <class T>
[[gnu::always_inline]] inline void copy_out(T* objects, const std::byte* slots, std::uint64_t mask,
                                            std::uint64_t position, std::size_t count) noexcept {
  const std::size_t at = position & mask;
  const std::size_t first = mask + 1 - at;
  if (count <= first) [[likely]] {
    copy_run_out(objects, slots + at * sizeof(T), count);
  } else {
    copy_run_out(objects, slots + at * sizeof(T), first);
    copy_run_out(objects + first, slots, count - first);
  }
}

}  // namespace mpnet::detail
