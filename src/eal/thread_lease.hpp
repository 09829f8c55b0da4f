// SPDX-License-Identifier: BSD-3-Clause
// Leases of the calling thread, as mem/ hands them out.
#pragma once

#include <mpnet/detail/lease.hpp>
#include <mpnet/group.hpp>

namespace mpnet::detail {

/// Takes the lease of lcore `id` for the calling thread.  Throws busy, naming pid, command and start time of its
/// holder.
lease& take_lease(group& g, lcore id);
/// Takes the lease of an unused lcore.  Throws limit.
lease& take_any_lcore(group& g);
/// Gives back what take_lease() or take_any_lcore() took; nothing where the calling thread holds none.
void release_lease() noexcept;

}  // namespace mpnet::detail
