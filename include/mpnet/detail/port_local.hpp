// SPDX-License-Identifier: BSD-3-Clause
// What a burst needs of a port's local half: one pair {function, context} a queue.  A queue that this process does not
// drive has a function that does nothing, so a burst on it returns 0.
#pragma once

#include <mpnet/types.hpp>

#include <cstddef>
#include <cstdint>

namespace mpnet {
struct mbuf;
}  // namespace mpnet

namespace mpnet::detail {

using burst_function = std::size_t (*)(void* context, mbuf** packets, std::size_t count) noexcept;

[[nodiscard]] std::size_t burst_nothing(void* context, mbuf** packets, std::size_t count) noexcept;

struct queue_entry {
  burst_function burst = &burst_nothing;
  void* context = nullptr;
};

struct alignas(cache_line) port_bursts {
  queue_entry rx[max_queues];
  queue_entry tx[max_queues];
};

}  // namespace mpnet::detail
