// SPDX-License-Identifier: BSD-3-Clause
// The hot half of pools: a stack of pointers in memory of this process, one for each lcore and pool, and the inline
// functions that get from it and put to it.  A cache is used by its thread alone and needs no care for crashes: what is
// in it carries this process's tag, and goes back to the backend with everything else that the process held.
// Threads without an lcore id have no cache; their calls go to the backend.
#pragma once

#include <mpnet/detail/pool_header.hpp>

#include <cstring>

namespace mpnet::detail {

struct pool_local;

/// Where a cache's owner last found objects and room in the backend; any value is right.  An lcore that gets and puts
/// comes back to the chunks that it filled and emptied itself, whose lines it still has.
struct chunk_hints {
  static constexpr std::uint32_t depth = 8;
  std::uint32_t filled_word;
  std::uint32_t room_word;
  std::uint32_t filled_count;
  std::uint32_t emptied_count;
  std::uint32_t filled[depth];  // the last on top, as a ring
  std::uint32_t emptied[depth];
};

struct pool_cache {
  std::atomic<std::uint32_t> length;  // its thread: w, statistics: r; relaxed, for it orders nothing
  std::uint32_t capacity;             // a put that would pass it flushes a chunk
  std::uint32_t size;                 // more in one call goes past the cache
  bool private_to_user;               // made by pool::make_cache
  pool_header* pool;
  pool_cache* next;  // in the list of the process's caches of this pool, under its mutex
  chunk_hints hints;
  pool_local* owner;                     // of that list; null once the pool is gone, and then capacity is 0
  alignas(cache_line) void* objects[1];  // capacity of them

  [[nodiscard]] std::uint32_t count() const noexcept { return length.load(std::memory_order_relaxed); }
  void set_count(std::uint32_t n) noexcept { length.store(n, std::memory_order_relaxed); }
};

/// Caches of the calling thread by index of pool; points to a row of nulls until the thread has one.
extern thread_local constinit pool_cache** thread_caches __attribute__((tls_model("initial-exec")));

// The backend and the slow paths, src/pool.  Each returns how many objects it moved.
[[nodiscard]] std::size_t pool_get_slow(pool_header& pool, pool_cache* cache, void** out, std::size_t n,
                                        bool all_or_none) noexcept;
void pool_put_slow(pool_header& pool, pool_cache* cache, void* const* objects, std::size_t n) noexcept;

template <std::size_t N>
inline void copy_block(void** to, void* const* from) noexcept {
  std::memcpy(static_cast<void*>(to), from, N * sizeof(void*));
}

/// Copies pointers.  For the short runs of bursts a call to memcpy costs more than the copy, and so do the branches
/// that choose among wide blocks; for long runs these pay.
inline void copy_pointers(void** to, void* const* from, std::size_t n) noexcept {
  if (n == 1) {
    *to = *from;
    return;
  }
  if (n >= 64) [[unlikely]] {
    for (; n >= 16; n -= 16, to += 16, from += 16) copy_block<16>(to, from);
  }
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) copy_block<4>(to + i, from + i);
  if ((n & 2) != 0) copy_block<2>(to + i, from + i), i += 2;
  if ((n & 1) != 0) copy_block<1>(to + i, from + i);
}

[[nodiscard]] inline pool_cache* thread_cache(const pool_header& pool) noexcept {
  // Relaxed: written before the pool could be known to this thread, always with the same value.
  return thread_caches[pool.index.load(std::memory_order_relaxed)];
}

[[nodiscard]] inline std::size_t cache_get(pool_header& pool, pool_cache* cache, void** out, std::size_t n,
                                           bool all_or_none) noexcept {
  if (cache != nullptr) [[likely]] {
    const std::uint32_t have = cache->count();
    if (n <= have) [[likely]] {
      const auto left = have - static_cast<std::uint32_t>(n);
      copy_pointers(out, cache->objects + left, n);
      cache->set_count(left);
      return n;
    }
  }
  return pool_get_slow(pool, cache, out, n, all_or_none);
}

inline void cache_put(pool_header& pool, pool_cache* cache, void* const* objects, std::size_t n) noexcept {
  if (cache != nullptr) [[likely]] {
    const std::uint32_t have = cache->count();
    if (n <= cache->capacity - have) [[likely]] {
      copy_pointers(cache->objects + have, objects, n);
      cache->set_count(have + static_cast<std::uint32_t>(n));
      return;
    }
  }
  pool_put_slow(pool, cache, objects, n);
}

[[nodiscard]] inline void* pool_get_one(pool_header& pool) noexcept {
  pool_cache* cache = thread_cache(pool);
  if (cache != nullptr) [[likely]] {
    const std::uint32_t have = cache->count();
    if (have != 0) [[likely]] {
      cache->set_count(have - 1);
      return cache->objects[have - 1];
    }
  }
  void* object = nullptr;
  return pool_get_slow(pool, cache, &object, 1, true) == 1 ? object : nullptr;
}

inline void pool_put_one(pool_header& pool, void* object) noexcept {
  pool_cache* cache = thread_cache(pool);
  if (cache != nullptr) [[likely]] {
    const std::uint32_t have = cache->count();
    if (have < cache->capacity) [[likely]] {
      cache->objects[have] = object;
      cache->set_count(have + 1);
      return;
    }
  }
  pool_put_slow(pool, cache, &object, 1);
}

/// Gives back what the calling thread's caches hold and frees them.  Control; EAL calls it before a thread gives back
/// its lcore id, and a thread that ends with caches does it by itself.
void flush_thread_caches() noexcept;

/// Gives back what this process holds in caches that no thread uses any more.  Control, when leaving the group: the
/// process's lcores are quiet.
void flush_process_caches() noexcept;

/// Writes down that this process holds `objects` now, each a pool's object (a chain of mbufs: every segment).  Rings
/// that carry a pool's objects call it between claim and commit.  Hot; pointers to anything else are left alone.
void take_ownership(void* const* objects, std::size_t n) noexcept;

/// The pool of this process's acquaintance that contains `object`, or null.
[[nodiscard]] pool_header* find_pool_of(const void* object) noexcept;

}  // namespace mpnet::detail
