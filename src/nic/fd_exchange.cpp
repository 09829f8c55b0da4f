// SPDX-License-Identifier: BSD-3-Clause
#include "nic/fd_exchange.hpp"

#include <fmt/format.h>
#include <mpnet/error.hpp>
#include <mpnet/ipc_fds.hpp>

namespace mpnet::nic {

std::string fd_key(const detail::port_shared& shared) {
  // relaxed: fixed while the port is there
  return fmt::format("port:{}:{:x}", shared.id, shared.generation.load(std::memory_order_relaxed));
}

void offer_fds(const detail::port_shared& shared, std::span<const int> fds) {
  ipc::publish_fds(fd_key(shared), fds);
}

std::vector<detail::unique_fd> obtain_fds(const group& g, const detail::port_shared& shared) {
  const std::string key = fd_key(shared);
  auto bundle = ipc::own_fds(key);
  if (!bundle) {
    bundle = ipc::fetch_fds({.dir = g.runtime_dir()}, key, std::chrono::seconds{5});
    if (!bundle) {
      throw error{
          errc::peer_died,
          fmt::format("port '{}': no living member has its descriptors any more; its kernel rings are gone: end "
                      "the group and start it anew",
                      shared.name)};
    }
    std::vector<int> fds;
    for (const auto& fd : bundle->fds) fds.push_back(fd.get());
    ipc::publish_fds(key, fds);
  }
  return std::move(bundle->fds);
}

void stop_offering_fds(const detail::port_shared& shared) noexcept {
  try {
    ipc::withdraw_fds(fd_key(shared));
  } catch (const std::exception&) {
    // Offered until the process ends: costs a descriptor, nothing else.
  }
}

}  // namespace mpnet::nic
