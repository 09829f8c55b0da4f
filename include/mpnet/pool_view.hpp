// SPDX-License-Identifier: BSD-3-Clause
// Pools as they look from outside of the group, and who holds their objects.  For tools such as `mpnet ps`.  Control.
#pragma once

#include <mpnet/group_view.hpp>
#include <mpnet/types.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace mpnet {

/// A snapshot of one pool; where members get and put at the moment, an object may be counted in neither place or in
/// both.
struct pool_snapshot {
  struct holder {
    process_id process = no_process;
    std::size_t objects = 0;
  };

  std::string name;
  std::size_t object_count = 0;
  std::size_t object_bytes = 0;
  std::size_t cache_size = 0;
  bool mbufs = false;
  bool readable = false;       // false: the memory could not be read from here, and what follows is 0
  std::size_t in_backend = 0;  // free for every member to take
  /// By id.  What a member holds is what carries its ownership tag outside of the backend: in its hands, in its lcores'
  /// caches, on its ports' queues, and what it put into a ring and nobody has taken out yet.
  std::vector<holder> holders{};
  std::size_t of_nobody = 0;  // left in a ring by a member that is gone, or kept alive by clones of others
};

/// All pools of the group, by name.
[[nodiscard]] std::vector<pool_snapshot> list_pools(const group_view& view);

}  // namespace mpnet
