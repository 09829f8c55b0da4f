// SPDX-License-Identifier: BSD-3-Clause
// mpnet's rings as contestants.
#pragma once

#include "contestant.hpp"

namespace bench {

/// One for each mode, in plain shared memory, safe to kill as always.
[[nodiscard]] contestants mpnet_rings();

/// Gives the calling worker a lease in memory that its host shared, as a group would; for rings outside a group.
void share_leases();
void take_lease(unsigned worker);

}  // namespace bench
