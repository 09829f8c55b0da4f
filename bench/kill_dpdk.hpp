// SPDX-License-Identifier: BSD-3-Clause
// What the same kills do to DPDK.
#pragma once

#include "options.hpp"

namespace bench {

struct dpdk_kills {
  unsigned kills = 0, wedges = 0;
  unsigned lost = 0;  // in the runs that did not wedge
};

/// Each kill in a group of its own: after a wedge there is nothing to go on with.
[[nodiscard]] dpdk_kills kill_dpdk(const options& o, unsigned kills);

}  // namespace bench
