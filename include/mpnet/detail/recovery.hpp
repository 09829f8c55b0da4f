// SPDX-License-Identifier: BSD-3-Clause
// How each kind of shared object takes part in recovery.  The table of functions is local to each process (no code
// address is ever shared); ring/, pool/, nic/ fill in theirs, eal/ runs the conductor.
//
// Order, which must not change (any other gives one object two owners):
//   1. repair() of every object, ports and rings alike, for each dead lease; 2. reclaim() of every pool, which scans
//   the backend, then the refill claims, then holdings() of every other object, and only then frees what carries the
//   dead tag;
//   3. leases; 4. the slot.  Every step may run again after the conductor itself died half-way.
#pragma once

#include <mpnet/detail/lease.hpp>
#include <mpnet/memzone.hpp>

#include <functional>
#include <span>

namespace mpnet::detail {

/// A dead process, or dead threads of a living one (then `tag` is 0 and only leases are repaired).
struct dead_party {
  process_id slot = no_process;
  std::uint16_t tag = 0;             // its ownership tag
  std::span<lease* const> leases{};  // all that it held
};

/// What a recovery did, by kind; summed into the journal of recoveries.
struct recovery_counts {
  std::uint64_t rolled_back = 0;       // claims undone
  std::uint64_t rolled_forward = 0;    // claims finished
  std::uint64_t objects_returned = 0;  // to their pools
  std::uint64_t zones_freed = 0;
  std::uint64_t blocks_freed = 0;
  std::uint64_t queues_released = 0;
};

struct kind_ops {
  zone_kind kind{};
  const char* name = "";
  void (*repair)(group&, const zone_info&, const dead_party&, recovery_counts&) = nullptr;
  void (*holdings)(group&, const zone_info&, const std::function<void(void* object)>& visit) = nullptr;
  void (*reclaim)(group&, const zone_info&, const dead_party&, recovery_counts&) = nullptr;
};

/// Registers a kind in this process; the last registration of a kind wins.  Control, before the group is entered.
void register_kind(const kind_ops& ops);
[[nodiscard]] const kind_ops* find_kind(zone_kind kind) noexcept;
[[nodiscard]] std::span<const kind_ops> all_kinds() noexcept;

}  // namespace mpnet::detail
