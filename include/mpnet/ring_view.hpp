// SPDX-License-Identifier: BSD-3-Clause
// Rings as they look from outside of the group.  For tools such as `mpnet info`.  Control.
#pragma once

#include <mpnet/group_view.hpp>
#include <mpnet/ring.hpp>

#include <vector>

namespace mpnet {

/// All rings of the group, by name; those whose memory cannot be read from here are left out.
[[nodiscard]] std::vector<ring_info> list_rings(const group_view& view);

}  // namespace mpnet
