// SPDX-License-Identifier: BSD-3-Clause
// Between pointers and the 32-bit indexes that chunks hold: half the lines to move between processors.  Called by the
// owner of a chunk.  On x86 four or eight slots move at a time; aligned 4-byte parts of a vector store are as atomic as
// plain ones, and stores stay in order there, so a scan that reads a new slot sees the tags written before it.
#pragma once

#include <mpnet/detail/cpu.hpp>
#include <mpnet/detail/pool_header.hpp>
#include <mpnet/detail/prefetch.hpp>

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#include <immintrin.h>
#define MPNET_WIDE_SLOTS 1
#endif
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#undef MPNET_WIDE_SLOTS
#endif
#endif

namespace mpnet::detail {

#if defined(MPNET_WIDE_SLOTS)
inline constexpr std::uint32_t wide_run = 8;  // slots of one step of the wide functions, which take whole steps only

[[gnu::target("avx2"), gnu::noinline]] inline void read_slots_wide(const pool_header& pool,
                                                                   const std::atomic<std::uint32_t>* slots, void** out,
                                                                   std::uint32_t n) noexcept {
  const __m256i base = _mm256_set1_epi64x(static_cast<long long>(reinterpret_cast<std::uintptr_t>(pool.objects)));
  const __m256i stride = _mm256_set1_epi64x(static_cast<long long>(pool.stride_bytes));
  for (std::uint32_t k = 0; k < n; k += 4) {
    const __m256i i = _mm256_cvtepu32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(slots + k)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + k), _mm256_add_epi64(base, _mm256_mul_epu32(i, stride)));
  }
}

[[gnu::target("avx2"), gnu::noinline]] inline void write_slots_wide(const pool_header& pool,
                                                                    std::atomic<std::uint32_t>* slots,
                                                                    void* const* objects, std::uint32_t n) noexcept {
  // As in write_slots.
  const __m256i base = _mm256_set1_epi64x(static_cast<long long>(reinterpret_cast<std::uintptr_t>(pool.objects)));
  const __m256i inverse = _mm256_set1_epi64x(static_cast<long long>(pool.stride_inverse & 0xffffffff));
  const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(pool.stride_shift));
  for (std::uint32_t k = 0; k < n; k += wide_run) {
    const __m256i a = _mm256_sub_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(objects + k)), base);
    const __m256i b = _mm256_sub_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(objects + k + 4)), base);
    const __m256i low = _mm256_mul_epu32(_mm256_srl_epi64(a, shift), inverse);
    const __m256i high = _mm256_mul_epu32(_mm256_srl_epi64(b, shift), inverse);
    // Shuffles keep to halves of 128 bits; the permutation puts their pairs in order.
    const __m256 eight =
        _mm256_shuffle_ps(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high), _MM_SHUFFLE(2, 0, 2, 0));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(slots + k),
                        _mm256_permute4x64_epi64(_mm256_castps_si256(eight), _MM_SHUFFLE(3, 1, 2, 0)));
  }
}
#endif

/// Objects of `n` slots to `out`.
inline void read_slots(const pool_header& pool, const std::atomic<std::uint32_t>* slots, void** out,
                       std::uint32_t n) noexcept {
  std::uint32_t k = 0;
#if defined(MPNET_WIDE_SLOTS)
  if (has_avx2) read_slots_wide(pool, slots, out, k = n / wide_run * wide_run);
  const __m128i base = _mm_set1_epi64x(static_cast<long long>(reinterpret_cast<std::uintptr_t>(pool.objects)));
  const __m128i stride = _mm_set1_epi64x(static_cast<long long>(pool.stride_bytes));
  for (; k + 4 <= n; k += 4) {
    const __m128i i = _mm_loadu_si128(reinterpret_cast<const __m128i*>(slots + k));
    const __m128i low = _mm_unpacklo_epi32(i, _mm_setzero_si128());
    const __m128i high = _mm_unpackhi_epi32(i, _mm_setzero_si128());
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + k), _mm_add_epi64(base, _mm_mul_epu32(low, stride)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + k + 2), _mm_add_epi64(base, _mm_mul_epu32(high, stride)));
  }
#endif
  // Relaxed: owned.
  for (; k < n; ++k) out[k] = object_at(pool, slots[k].load(std::memory_order_relaxed));
}

/// Tags the objects of `n` slots.
inline void tag_slots(const pool_header& pool, const std::atomic<std::uint32_t>* slots, std::uint32_t n,
                      std::uint16_t tag) noexcept {
  // Often they carry the tag already, so look first.  A branch each, eight a turn: to combine what several looks say
  // takes more instructions, and this loop is a quarter of what a chunk costs.  Relaxed, all of it: nobody else writes
  // tags of objects in an owned chunk, nor its slots.
  const std::atomic<std::uint16_t>* const tags = pool.tags;
  const auto same = [&](std::uint32_t k) {
    return tags[slots[k].load(std::memory_order_relaxed)].load(std::memory_order_relaxed) == tag;
  };
  std::uint32_t k = 0;
  while (k + 8 <= n && same(k) && same(k + 1) && same(k + 2) && same(k + 3) && same(k + 4) && same(k + 5) &&
         same(k + 6) && same(k + 7)) {
    k += 8;
  }
  for (; k < n; ++k) tag_object(pool, slots[k].load(std::memory_order_relaxed), tag);
}

inline void write_slots(const pool_header& pool, std::atomic<std::uint32_t>* slots, void* const* objects,
                        std::uint32_t n) noexcept {
  std::uint32_t k = 0;
#if defined(MPNET_WIDE_SLOTS)
  if (has_avx2) write_slots_wide(pool, slots, objects, k = n / wide_run * wide_run);
  // 32 bits of the shifted offset and of the inverse are enough for 32 bits of the index.
  const __m128i base = _mm_set1_epi64x(static_cast<long long>(reinterpret_cast<std::uintptr_t>(pool.objects)));
  const __m128i inverse = _mm_set1_epi64x(static_cast<long long>(pool.stride_inverse & 0xffffffff));
  const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(pool.stride_shift));
  const auto indexes = [&](const void* at) {
    const __m128i p = _mm_loadu_si128(static_cast<const __m128i*>(at));
    return _mm_mul_epu32(_mm_srl_epi64(_mm_sub_epi64(p, base), shift), inverse);
  };
  for (; k + 4 <= n; k += 4) {
    const __m128 low = _mm_castsi128_ps(indexes(objects + k));
    const __m128 high = _mm_castsi128_ps(indexes(objects + k + 2));
    const __m128 four = _mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(slots + k), _mm_castps_si128(four));
  }
  // [R-slot] release: by the processor's own order of stores, see above; pairs with [A-slot].
  std::atomic_signal_fence(std::memory_order_release);
#endif
  // [R-slot] release: a scan that finds this value finds the tag of what lay here before; pairs with [A-slot].
  for (; k < n; ++k) slots[k].store(object_index(pool, objects[k]), std::memory_order_release);
}

}  // namespace mpnet::detail
