// SPDX-License-Identifier: BSD-3-Clause
// A kernel interface belongs to one group at a time.  The lock is a file for each {network namespace, interface} in the
// runtime root, which all groups of a user share, with fcntl locks (dropped by the kernel when a process is gone):
//   byte 0  held while the file is looked at or written
//   byte 1  held shared by every member that has the interface open; whoever finds it free writes its group's name
// The file is opened once a process and interface, because closing any descriptor of it would drop the locks.
#pragma once

#include <sys/types.h>
#include <mpnet/detail/unique_fd.hpp>
#include <mpnet/group.hpp>

#include <cstdint>
#include <string>

namespace mpnet::nic {

class interface_lock {
 public:
  /// Throws busy naming the group and the pid that hold it.
  interface_lock(const group& g, std::uint64_t netns_inode, std::uint32_t ifindex, const std::string& interface);

 private:
  void take();

  detail::unique_fd fd_;
  std::string group_;  // "PREFIX"
  std::string interface_;
  std::string path_;
};

/// The inode of this process's network namespace.
[[nodiscard]] std::uint64_t network_namespace();

}  // namespace mpnet::nic
