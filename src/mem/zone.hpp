// SPDX-License-Identifier: BSD-3-Clause
// What recovery needs of the directory.
#pragma once

#include <mpnet/memzone.hpp>

#include "mem/journal.hpp"

namespace mpnet::mem {

inline constexpr std::uint64_t zone_owner = ~0ULL;  // the owner of blocks that zones lie in

/// An entry of the directory in words.
[[nodiscard]] zone_info describe_zone(const control& c, std::uint32_t index);

/// Frees the zones that a dead process was making; returns how many.  Commits as it goes.
std::uint64_t free_half_made_zones(transaction& tx, std::uint64_t owner);

}  // namespace mpnet::mem
