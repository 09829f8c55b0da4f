// SPDX-License-Identifier: BSD-3-Clause
// The shared half of a pool, as it lies in its zone: header | bitmap | chunks | tags | objects.
//
// The backend is an array of chunks.  A chunk's state word says who has it, so one CAS both claims the chunk and leaves
// the evidence that survivors need: nothing else has to be written before or after it, there is no linked structure to
// be caught half-way, and undoing a dead owner's claim is one CAS too.  The bitmap only says where to look.
// Written by src/pool; other layers read `index` through the inline functions of pool_cache.hpp.
#pragma once

#include <mpnet/types.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace mpnet::detail {

inline constexpr std::uint64_t pool_magic = 0x6d706e65'74504f32;
inline constexpr std::uint16_t tag_nobody = 0;      // never given out
inline constexpr std::uint16_t tag_group = 0xffff;  // lies in a ring or queue, or is kept alive by clones of others

/// A run of object indexes.  `state`: bit 0 owned; bits 1-16 count of objects inside (while owned: before the claim).
/// While owned, bits 17-28 the owner's lease, bits 32-63 that lease's incarnation.  While open, bits 32-47 the tag that
/// all objects inside carry; 0 where they differ.
struct pool_chunk {
  std::atomic<std::uint64_t> state;
  std::atomic<std::uint32_t> slots[1];  // chunk_capacity of them; chunks lie chunk_bytes apart
};

/// Bit i of word w: chunk w * chunks_per_word + i holds objects.  A line each, so that lcores that keep to chunks of
/// their own do not take lines from each other.
struct alignas(cache_line) bitmap_word {
  std::atomic<std::uint64_t> bits;
};
inline constexpr std::uint32_t chunks_per_word = 32;

struct alignas(cache_line) pool_header {
  // Written once, before the pool is published (index: by everyone who finds the zone, with the same value).
  std::uint64_t magic;
  std::atomic<std::uint32_t> index;  // of its zone in the directory
  std::uint32_t object_count;
  std::uint32_t stride_bytes;    // from object to object
  std::uint32_t stride_shift;    // stride = odd << shift …
  std::uint64_t stride_inverse;  // … and odd * inverse == 1, so an index is a shift and a multiplication away
  std::byte* objects;
  std::atomic<std::uint16_t>* tags;  // one an object: who holds it (slot + 1); stale while it is in the backend
  std::byte* chunks;
  bitmap_word* bitmap;  // which chunks hold objects (a hint: may lag behind the state words)

  std::uint32_t chunk_count;
  std::uint32_t chunk_capacity;
  std::uint32_t chunk_bytes;
  std::uint32_t bitmap_words;
  std::uint32_t cache_size;
  std::uint32_t object_bytes;
  std::uint32_t private_bytes;
  std::uint16_t flags;            // pool_flag
  std::uint16_t data_room_bytes;  // mbuf pools
  std::uint64_t uid;              // tells pools apart that follow each other at one address
  std::uint64_t layout;
  std::uint64_t total_bytes;
  std::byte* private_area;

  // Hints about the backend, written by threads without a cache; any value is right.
  alignas(cache_line) std::atomic<std::uint32_t> filled_hint;  // bitmap word where objects were found last
  std::atomic<std::uint32_t> room_hint;                        // bitmap word where room was found last
  std::atomic<std::uint32_t> partial_hint;                     // chunk that small gets and puts use

  // Counters of rare events, written by whoever meets one.
  alignas(cache_line) std::atomic<std::uint64_t> claims_undone;
  std::atomic<std::uint64_t> objects_reclaimed;
};
static_assert(offsetof(pool_header, chunk_count) == 64);
static_assert(offsetof(pool_header, filled_hint) == 128);
static_assert(offsetof(pool_header, claims_undone) == 192);
static_assert(sizeof(pool_header) == 256);

enum pool_flag : std::uint16_t { pool_of_mbufs = 1 };

[[nodiscard]] inline pool_chunk& chunk_at(const pool_header& pool, std::uint32_t i) noexcept {
  return *reinterpret_cast<pool_chunk*>(pool.chunks + std::size_t{i} * pool.chunk_bytes);
}
[[nodiscard]] inline std::byte* object_at(const pool_header& pool, std::uint32_t i) noexcept {
  return pool.objects + std::size_t{i} * pool.stride_bytes;
}
/// `object` must be one of the pool's.
[[nodiscard]] inline std::uint32_t object_index(const pool_header& pool, const void* object) noexcept {
  const auto offset = static_cast<std::uint64_t>(static_cast<const std::byte*>(object) - pool.objects);
  return static_cast<std::uint32_t>((offset >> pool.stride_shift) * pool.stride_inverse);
}
[[nodiscard]] inline bool contains(const pool_header& pool, const void* address) noexcept {
  return static_cast<std::uint64_t>(static_cast<const std::byte*>(address) - pool.objects) <
         std::uint64_t{pool.object_count} * pool.stride_bytes;
}

/// Hot.  Writes down that this process holds the object now.  Skips the store where the tag says so already, so that
/// objects which stay within a process keep their tags' cache lines shared.
inline void tag_object(const pool_header& pool, std::uint32_t index, std::uint16_t tag) noexcept {
  auto& word = pool.tags[index];
  // Relaxed: the claim that surrounds this store publishes it (the chunk's state, or the ring's tail).
  if (word.load(std::memory_order_relaxed) != tag) word.store(tag, std::memory_order_relaxed);
}

}  // namespace mpnet::detail
