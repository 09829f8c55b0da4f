// SPDX-License-Identifier: BSD-3-Clause
// Moving objects between an array and a ring's slots.  Hot.
//
// Both ways in the widest pieces there are: a burst that comes out soon after it went in then reads pieces that were
// stored whole, which processors forward from the store buffer; 8 bytes at a time in and 16 out cost twice as much.
#pragma once

#include <mpnet/detail/cpu.hpp>
#include <mpnet/types.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace mpnet::detail {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MPNET_PLAIN_COPY 1  // sanitizers do not see into the assembly below
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define MPNET_PLAIN_COPY 1
#endif
#endif

#if defined(__x86_64__) && !defined(MPNET_PLAIN_COPY)
/// Worth a branch from here on.
inline constexpr std::size_t wide_copy_bytes = 64;

#if defined(__AVX__)
[[gnu::always_inline]] inline void copy_64(std::byte* to, const std::byte* from) noexcept {
  std::memcpy(to, from, 64);
}
#else
/// Assembly, because programs are mostly built for processors without AVX, where a function with another target cannot
/// be inlined, and the call costs more than it gains.  In a program built for AVX it would not do: the compiler keeps
/// values in the upper halves, which vzeroupper clears.
[[gnu::always_inline]] inline void copy_64(std::byte* to, const std::byte* from) noexcept {
  asm volatile(
      "vmovdqu (%1), %%ymm0\n\tvmovdqu 32(%1), %%ymm1\n\t"
      "vmovdqu %%ymm0, (%0)\n\tvmovdqu %%ymm1, 32(%0)\n\tvzeroupper"
      :
      : "r"(to), "r"(from)
      : "memory", "xmm0", "xmm1");
}
#endif

[[nodiscard, gnu::always_inline]] inline bool may_copy_wide() noexcept {
#if defined(__AVX__)
  return true;
#else
  return has_avx2;
#endif
}

/// At least 64 bytes, the last 64 overlapping.
[[gnu::always_inline]] inline void copy_wide(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  std::size_t i = 0;
  for (; i + 64 < bytes; i += 64) copy_64(to + i, from + i);
  copy_64(to + bytes - 64, from + bytes - 64);
}

/// A multiple of 4 bytes that do not overlap.
[[gnu::always_inline]] inline void copy_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  if (bytes >= wide_copy_bytes && may_copy_wide()) return copy_wide(to, from, bytes);
  std::size_t i = 0;
  for (; i + 32 <= bytes; i += 32) std::memcpy(to + i, from + i, 32);
  if ((bytes & 16) != 0) {
    std::memcpy(to + i, from + i, 16);
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
  if (bytes != 0) std::memcpy(to, from, bytes);  // an empty span may have no address
}
#endif

/// One object: never wraps, and its size is known.
template <std::size_t Bytes>
[[gnu::always_inline]] inline void copy_one(std::byte* to, const std::byte* from) noexcept {
  std::memcpy(to, from, Bytes);
}

/// Into the slots from `position` on; wraps.
template <class T>
[[gnu::always_inline]] inline void copy_in(std::byte* slots, std::uint64_t mask, std::uint64_t position,
                                           const T* objects, std::size_t count) noexcept {
  const auto* from = reinterpret_cast<const std::byte*>(objects);
  const std::size_t at = position & mask;
  if (count == 1) return copy_one<sizeof(T)>(slots + at * sizeof(T), from);
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
  if (count == 1) return copy_one<sizeof(T)>(to, slots + at * sizeof(T));
  const std::size_t first = mask + 1 - at;
  if (count <= first) [[likely]] {
    copy_bytes(to, slots + at * sizeof(T), count * sizeof(T));
  } else {
    copy_bytes(to, slots + at * sizeof(T), first * sizeof(T));
    copy_bytes(to + first * sizeof(T), slots, (count - first) * sizeof(T));
  }
}

/// Calls `visit` with the first word of one slot of each line that `count` slots from `position` on lie in, but perhaps
/// for the first, where the operation before ended.
template <class T, class Visit>
[[gnu::always_inline]] inline void for_each_line(std::byte* slots, std::uint64_t mask, std::uint64_t position,
                                                 std::size_t count, const Visit& visit) noexcept {
  constexpr std::ptrdiff_t step = cache_line / sizeof(T);
  for (auto i = static_cast<std::ptrdiff_t>(count) - 1; i >= 0; i -= step) {
    auto* slot = slots + ((position + static_cast<std::uint64_t>(i)) & mask) * sizeof(T);
    visit(std::atomic_ref<std::uint32_t>{*reinterpret_cast<std::uint32_t*>(slot)});
  }
}

/// Producers of a ring between processors look at what they are about to overwrite: loads of several operations fetch
/// their lines side by side, while stores wait for theirs one after the other.
template <class T>
[[gnu::always_inline]] inline void fetch_lines(std::byte* slots, std::uint64_t mask, std::uint64_t position,
                                               std::size_t count) noexcept {
  // relaxed: the value is not used.
  for_each_line<T>(slots, mask, position, count, [](std::atomic_ref<std::uint32_t> word) {
    const std::uint32_t unused = word.load(std::memory_order_relaxed);
    asm volatile("" : : "r"(unused));
  });
}

/// Consumers of such a ring store what they have read: a line that only one processor has, because it wrote to it, goes
/// to the next one faster than a line that two have read.  The slots are still the consumer's, and keep their values.
template <class T>
[[gnu::always_inline]] inline void own_lines(std::byte* slots, std::uint64_t mask, std::uint64_t position,
                                             std::size_t count) noexcept {
  // relaxed: nobody waits for it.
  for_each_line<T>(slots, mask, position, count, [](std::atomic_ref<std::uint32_t> word) {
    word.store(word.load(std::memory_order_relaxed), std::memory_order_relaxed);
  });
}

}  // namespace mpnet::detail
