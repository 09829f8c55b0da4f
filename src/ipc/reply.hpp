// SPDX-License-Identifier: BSD-3-Clause
// What a reply token holds: where the answer goes.  Independent of the endpoint's life.
#pragma once

#include <mpnet/ipc.hpp>

#include <atomic>
#include <memory>

#include "ipc/fork_guard.hpp"

namespace mpnet::ipc {

/// Statistics; all relaxed: counters that nothing is ordered by.
struct counters {
  std::atomic<std::uint64_t> sent{0}, received{0}, dropped_full{0}, dropped_backlog{0}, dropped_no_handler{0};
  std::atomic<std::uint64_t> malformed{0}, foreign{0}, fds_lost{0}, late_replies{0};
};

inline void count(std::atomic<std::uint64_t>& counter, std::uint64_t n = 1) noexcept {
  counter.fetch_add(n, std::memory_order_relaxed);  // relaxed: a statistic
}

struct reply_route {
  shared_socket socket;  // a reply channel, or the connection that the request came by
  std::uint64_t id = 0;
  process_id self = no_process;
  std::uint64_t incarnation = 0;
  std::shared_ptr<counters> counts;

  /// Sends the one answer.  True when the kernel took it.
  bool answer(outcome how, std::span<const std::byte> data, std::span<const int> fds) const noexcept;
};

/// Throws limit and invalid_argument for what cannot be sent.
void check_payload(std::string_view what, std::span<const std::byte> data, std::span<const int> fds);

}  // namespace mpnet::ipc
