// SPDX-License-Identifier: BSD-3-Clause
// This process's half of its pools: which ones it knows, the caches of its threads, and the objects that could not be
// put anywhere.  One row of pointers to caches a thread; all of it ordinary private memory.
#pragma once

#include <mpnet/detail/pool_cache.hpp>

#include <atomic>
#include <mutex>
#include <vector>

namespace mpnet::detail {

struct pool_local {
  pool_header* header = nullptr;
  std::uint64_t uid = 0;
  std::byte* objects = nullptr;  // range of the objects, to be asked when the pool may be gone
  std::uint64_t objects_bytes = 0;
  std::mutex mutex;
  pool_cache* caches = nullptr;                // under the mutex
  std::vector<void*> stranded;                 // found no room in the backend; under the mutex
  std::atomic<std::size_t> stranded_count{0};  // relaxed: tells whether the mutex is worth taking
  pool_local* retired_before = nullptr;        // under locals_mutex
};

/// Makes the pool known to this process, if it is not yet.  Null only when out of memory.
pool_local* local_of(pool_header& pool) noexcept;

/// Keeps objects that found no room in the backend until there is some.
void strand(pool_header& pool, void* const* objects, std::size_t n) noexcept;

/// Forgets a pool whose memory is about to go, or has gone, and what its caches hold.  Nobody here uses it any more.
void forget_local(std::uint32_t index) noexcept;

/// Objects in this process's caches and stranded ones: visit(object).  The lcores are quiet, or it is a snapshot.
void visit_local(pool_header& pool, void (*visit)(void* context, void* object), void* context);
[[nodiscard]] std::size_t count_local(pool_header& pool) noexcept;

[[nodiscard]] pool_cache* new_cache(pool_header& pool, std::size_t size, bool private_to_user) noexcept;
void flush_cache(pool_cache& cache) noexcept;
void delete_cache(pool_cache* cache) noexcept;  // flushes first

}  // namespace mpnet::detail
