// SPDX-License-Identifier: BSD-3-Clause
// The inside of the descriptor store: what the endpoint's threads answer fetches from.  Any thread.
#pragma once

#include <mpnet/ipc.hpp>

#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace mpnet::ipc {

/// What is on offer under `key`, or null.  Stays open while it is held.
[[nodiscard]] std::shared_ptr<const fd_bundle> find_bundle(std::string_view key);

/// Duplicates, close-on-exec.  Throws invalid_argument, system.
[[nodiscard]] std::vector<unique_fd> duplicate_all(std::span<const int> fds);

[[nodiscard]] std::vector<int> numbers_of(const std::vector<unique_fd>& fds);

}  // namespace mpnet::ipc
