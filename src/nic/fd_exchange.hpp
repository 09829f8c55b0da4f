// SPDX-License-Identifier: BSD-3-Clause
// How a port's descriptors reach other members: each process that has them offers them in the store of ipc/, under a
// key that names the port and its generation, and so keeps them alive for the others.
#pragma once

#include <mpnet/detail/port_shared.hpp>
#include <mpnet/detail/unique_fd.hpp>
#include <mpnet/group.hpp>

#include <span>
#include <string>
#include <vector>

namespace mpnet::nic {

[[nodiscard]] std::string fd_key(const detail::port_shared& shared);
void offer_fds(const detail::port_shared& shared, std::span<const int> fds);
/// Duplicates from this process's own store or from any living member's; this process offers them from then on.
/// Throws peer_died where no living member has them.
[[nodiscard]] std::vector<detail::unique_fd> obtain_fds(const group& g, const detail::port_shared& shared);
void stop_offering_fds(const detail::port_shared& shared) noexcept;

}  // namespace mpnet::nic
