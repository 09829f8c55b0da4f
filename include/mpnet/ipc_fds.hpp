// SPDX-License-Identifier: BSD-3-Clause
// The store of file descriptors that a process offers to the other members of its group, by key: hugepage files, a
// device's container, an af_packet socket.  Who fetches a key gets duplicates from any living member that offers it, so
// what is behind them lives as long as one member holds it.  All functions: control, any thread but an lcore's loop.
//
// The store belongs to the process, not to an endpoint: offer before the endpoint is up, it answers as soon as it is.
// DPDK has no such store; its drivers send descriptors through rte_mp_sendmsg by hand.
#pragma once

#include <mpnet/detail/unique_fd.hpp>
#include <mpnet/types.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mpnet::ipc {

using detail::unique_fd;

inline constexpr std::size_t max_data_bytes = 64 * 1024;  // in one message
inline constexpr std::size_t max_fds = 253;               // in one message: the kernel's SCM_MAX_FD

/// What a key holds.  The descriptors are the receiver's own, close-on-exec.
struct fd_bundle {
  std::vector<unique_fd> fds;
  std::vector<std::byte> data;  // what the publisher said about them
  process_id from = no_process;
};

/// Offers duplicates of `fds` under `key` (1 … max_name_len bytes), in place of what was there.  The caller keeps its
/// own.  Throws limit (more than max_fds or max_data_bytes), invalid_argument, system; nothing is offered after a
/// throw.
void publish_fds(std::string_view key, std::span<const int> fds, std::span<const std::byte> data = {});

/// Stops offering `key` and closes the store's duplicates.  False where there was none.
bool withdraw_fds(std::string_view key);

/// What this process itself offers under `key`, as fresh duplicates; empty where it offers nothing.
[[nodiscard]] std::optional<fd_bundle> own_fds(std::string_view key);

/// Where the sockets of a group are: files STEM.SLOT.INCARNATION in its runtime directory.
struct socket_place {
  std::string dir;
  std::string stem = "ipc";
};

/// Fetches `key` from any living member, itself excepted, without being one: needs nothing but the directory, so that a
/// process may call it while it is still attaching.  All members are asked, up to 16 at a time; the first that has it
/// wins. Empty when every member answered that it has none, died, or was gone.  Throws timed_out, naming the silent
/// ones (stopped, say), when nobody else had it; permission; system.
[[nodiscard]] std::optional<fd_bundle> fetch_fds(const socket_place& place, std::string_view key,
                                                 std::chrono::milliseconds timeout);

/// The same for a member: its own store first, then the others of the group that its endpoint belongs to.  With `keep`
/// the process offers what it fetched from then on, so that it survives the publisher.
/// Throws, beyond the above, not_found when the process has no endpoint.
[[nodiscard]] std::optional<fd_bundle> fetch_fds(std::string_view key, std::chrono::milliseconds timeout,
                                                 bool keep = false);

}  // namespace mpnet::ipc
