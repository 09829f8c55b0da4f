// SPDX-License-Identifier: BSD-3-Clause
// Reclaim: what the dead held goes back to its pool.  Run by one survivor at a time (the conductor), which may itself
// die anywhere; the next one starts over.
//
// An object that carries a dead process's tag is in one of these places, and does not get out of the first three
// without getting another tag first: (1) in the backend, where tags are stale; (2) in a claim of a living thread that
// is taking it; (3) in a ring or queue; (4) nowhere but in the dead one's caches and hands.  (1) and (2) are one word,
// the state of a chunk, so one look tells both.  What was seen in none of them, and still carries the tag when its CAS
// is tried, is (4).
#pragma once

#include <mpnet/detail/recovery.hpp>
#include <mpnet/mbuf.hpp>

#include <functional>
#include <span>
#include <vector>

namespace mpnet::detail {

/// What reclaim has to know about the rest of the group.
struct surroundings {
  std::span<pool_header* const> mbuf_pools;                               // all of them
  std::function<void(const std::function<void(void*)>& visit)> holdings;  // of rings, ports …: heads of chains
  std::function<bool(std::uint16_t tag)> is_alive;
};

enum place : std::uint8_t { in_backend = 1, in_claim = 2, in_ring = 4, in_cache = 8, in_hands = 16, twice = 128 };

/// Where each object of the pool was seen, in the order that reclaim needs: backend first, holdings after.
[[nodiscard]] std::vector<std::uint8_t> locate(const pool_header& pool, const surroundings& around);

/// Gives the objects that carry `dead_tag` and lie nowhere back to the pool.  Idempotent.
void reclaim_pool(pool_header& pool, std::uint16_t dead_tag, const surroundings& around, recovery_counts& counts);

/// Makes an mbuf of the dead independent of the one whose data it shows.  False where a process that is alive but
/// stopped inside attach or free leaves open whether it was counted.
[[nodiscard]] bool settle_link(mbuf& m, const surroundings& around);

/// A dead process's mbuf: true where it may go back to its pool, false where clones of others keep it alive or a living
/// process is just taking it.
[[nodiscard]] bool settle_references(mbuf& m, std::uint16_t dead_tag, const surroundings& around);

/// Accounts for every object.
[[nodiscard]] pool_audit audit_pool(pool_header& pool, const surroundings& around, std::span<void* const> in_hands);

}  // namespace mpnet::detail
