// SPDX-License-Identifier: BSD-3-Clause
// Where a group's files lie.  The runtime directory holds the lock file and the sockets; shared memory lies there too
// if that is a tmpfs, else under /dev/shm, because stores to a mapped file on a disk stall while it is written back.
#pragma once

#include <string>
#include <string_view>

namespace mpnet::mem {

/// $RUNTIME_DIRECTORY, else /run/mpnet as root, else $XDG_RUNTIME_DIR/mpnet, else /tmp/mpnet-UID; made with mode 0700.
/// Throws permission where it is a symlink, somebody else's, or open to others.
[[nodiscard]] std::string runtime_root();

/// The same for shared memory.
[[nodiscard]] std::string shared_root(const std::string& runtime_root);

/// ROOT/PREFIX, made with mode 0700 and checked alike.  Throws invalid_argument for an impossible prefix.
[[nodiscard]] std::string group_dir(const std::string& root, std::string_view prefix);

/// Throws invalid_argument unless `name` can be the name of a file and of a shared object.
void check_name(std::string_view what, std::string_view name);

}  // namespace mpnet::mem
