// SPDX-License-Identifier: BSD-3-Clause
// The shared backend of a pool: chunks of object indexes that members take objects from and add objects to, without
// locks. Called by the slow half of gets and puts (pool_slow.cpp), by recovery and by tests; any thread of any member
// that has a lease.
#pragma once

#include <mpnet/detail/lease.hpp>
#include <mpnet/detail/pool_cache.hpp>

namespace mpnet::detail {

/// The state word of a chunk, apart.
struct chunk_state {
  bool owned;
  std::uint32_t count;  // objects inside; while owned, those inside before the claim
  std::uint16_t lease;  // while owned
  std::uint16_t tag;    // while open: of all objects inside, or tag_nobody
  std::uint32_t incarnation;
};

[[nodiscard]] constexpr std::uint64_t open_chunk(std::uint32_t count, std::uint16_t tag = tag_nobody) noexcept {
  return std::uint64_t{count} << 1 | std::uint64_t{tag} << 32;
}
[[nodiscard]] constexpr std::uint64_t owned_chunk(std::uint32_t count, std::uint16_t lease,
                                                  std::uint32_t incarnation) noexcept {
  return 1 | std::uint64_t{count} << 1 | std::uint64_t{lease} << 17 | std::uint64_t{incarnation} << 32;
}
[[nodiscard]] constexpr chunk_state parse_chunk(std::uint64_t word) noexcept {
  return {.owned = (word & 1) != 0,
          .count = static_cast<std::uint32_t>(word >> 1 & 0xffff),
          .lease = static_cast<std::uint16_t>(word >> 17 & 0xfff),
          .tag = static_cast<std::uint16_t>(word >> 32 & 0xffff),
          .incarnation = static_cast<std::uint32_t>(word >> 32)};
}

/// Takes up to `n` objects and tags them as this process's.  Returns fewer when the backend has no more, or when the
/// last ones are in claims of threads that do not move on for a bounded while.
[[nodiscard]] std::size_t backend_take(pool_header& pool, chunk_hints* hints, void** out, std::size_t n) noexcept;

/// Adds objects that the caller holds.  Returns how many: all, unless each chunk with room is in the claim of a thread
/// that does not move on; the caller keeps the rest.
[[nodiscard]] std::size_t backend_add(pool_header& pool, chunk_hints* hints, void* const* objects,
                                      std::size_t n) noexcept;

/// Undoes the claims of dead owners, and brings the bitmap up to date.  Returns how many claims it undid.  Any number
/// of members at a time; may be cut off anywhere and run again.
std::size_t backend_repair(pool_header& pool) noexcept;

/// Calls visit(index of object) for all that lie in the backend, those in claims under way included.
template <class F>
void backend_visit(const pool_header& pool, F&& visit) {
  for (std::uint32_t i = 0; i < pool.chunk_count; ++i) {
    const pool_chunk& chunk = chunk_at(pool, i);
    // [A-chunk] acquire: where this says that an object has left, its new tag is visible; pairs with [R-chunk].
    const auto state = parse_chunk(chunk.state.load(std::memory_order_acquire));
    for (std::uint32_t k = 0; k < state.count && k < pool.chunk_capacity; ++k) {
      // [A-slot] acquire: where a slot was overwritten since, so was the tag of what lay there before; pairs with
      // [R-slot].
      const std::uint32_t index = chunk.slots[k].load(std::memory_order_acquire);
      if (index < pool.object_count) visit(index, state.owned);
    }
  }
}

}  // namespace mpnet::detail
