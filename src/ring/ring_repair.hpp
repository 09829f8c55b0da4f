// SPDX-License-Identifier: BSD-3-Clause
// What recovery calls for rings.  Control; any thread of a survivor; idempotent.
#pragma once

#include <mpnet/detail/recovery.hpp>
#include <mpnet/detail/ring_layout.hpp>

namespace mpnet::detail {

/// Undoes or finishes every claim of the dead on the ring, wakes its sleepers, empties a private ring of a dead
/// process.
void ring_repair(ring_header& h, const dead_party& dead, recovery_counts& counts) noexcept;

/// Repairs the claim `word` of a dead owner for somebody who wants the side, and counts it as such.  Any thread.
void ring_repair_on_the_spot(ring_header& h, ring_side side, std::uint64_t word) noexcept;

/// Visits each pool object that lies in the ring, claimed or not.  Order against reclaim: see recovery.hpp.
void ring_holdings(ring_header& h, const std::function<void(void*)>& visit);

/// Registers rings with recovery (kind_ops for zone_kind::ring).  Called by eal/ before the group is entered.
void register_ring_kind();

}  // namespace mpnet::detail
