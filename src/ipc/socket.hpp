// SPDX-License-Identifier: BSD-3-Clause
// A group's sockets in the file system: STEM.SLOT.INCARNATION, mode 0600, named only once they listen.
#pragma once

#include <mpnet/ipc.hpp>

#include <optional>
#include <string>
#include <vector>

#include "ipc/fork_guard.hpp"

namespace mpnet::ipc {

/// A socket file's name taken apart.
struct socket_name {
  process_id id = no_process;
  std::uint64_t incarnation = 0;
};

[[nodiscard]] std::string socket_path(const socket_place& place, const socket_name& name);
[[nodiscard]] std::optional<socket_name> parse_socket_name(const socket_place& place, std::string_view file) noexcept;
/// All there are, ascending.
[[nodiscard]] std::vector<socket_name> list_sockets(const socket_place& place);

/// Listens under that name.  Throws exists (somebody listens there), permission, system.
[[nodiscard]] tracked_fd listen_on(const socket_place& place, const socket_name& name);

enum class connect_status : std::uint8_t {
  connected,
  absent,   // no such file
  refused,  // nobody listens any more
  full,     // its backlog is full: it accepts nothing
  foreign,  // another user's
};

struct connect_result {
  connect_status status = connect_status::absent;
  tracked_fd fd;
};

/// Connects without waiting.  Throws system where this process is out of descriptors or memory.
[[nodiscard]] connect_result connect_to(const socket_place& place, const socket_name& name);

/// Accepts one connection without waiting; `foreign` grows where it was another user's and was closed.
[[nodiscard]] tracked_fd accept_from(int listening, std::uint64_t& foreign) noexcept;

/// A pair of connected sockets.
[[nodiscard]] std::pair<tracked_fd, unique_fd> socket_pair();

/// The message of an error: "what: why", with errno's text.
[[nodiscard]] error system_error_of(std::string what);

}  // namespace mpnet::ipc
