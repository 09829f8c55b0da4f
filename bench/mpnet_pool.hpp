// SPDX-License-Identifier: BSD-3-Clause
// mpnet's pools as contestants.
#pragma once

#include "contestant.hpp"

namespace bench {

/// With caches of 256 and 512, each worker a member of one group, ownership tags on as always.
[[nodiscard]] contestants mpnet_pools();

}  // namespace bench
