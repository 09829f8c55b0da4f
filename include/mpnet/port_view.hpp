// SPDX-License-Identifier: BSD-3-Clause
// Ports as they look from outside of the group, and who drives their queues.  For tools such as `mpnet info`.  Control.
#pragma once

#include <mpnet/detail/port_types.hpp>
#include <mpnet/group_view.hpp>

#include <cstdint>
#include <vector>

namespace mpnet {

struct queue_snapshot {
  queue_driver driver{};          // slot is no_process where nobody drives it
  std::uint64_t taken_count = 0;  // how often it was taken; each after the first is a takeover
  std::uint64_t packets = 0, bytes = 0, errors = 0;
  std::uint64_t nombuf = 0, missed = 0;  // rx
};

struct port_snapshot {
  port_info info{};
  mac_address mac{};
  std::uint16_t mtu = 0;
  link_status link{};
  std::vector<queue_snapshot> rx{}, tx{};
};

/// The ports that are there, by id; none where their memory cannot be read from here.
[[nodiscard]] std::vector<port_snapshot> list_ports(const group_view& view);

}  // namespace mpnet
