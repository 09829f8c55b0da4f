// SPDX-License-Identifier: BSD-3-Clause
// The group's lock file: fcntl (POSIX) record locks, a byte for each thing that a process can hold.  The kernel drops
// them when the process is gone, however it went, and at no other time: threads that exit, plain forks, zombies and PID
// namespaces do not disturb them.  The file is never unlinked, and opened once a process, because closing any
// descriptor of it would drop the process's locks.
#pragma once

#include <sys/types.h>

#include <string>

#include "mem/system.hpp"

namespace mpnet::mem {

class lock_file {
 public:
  enum offset : off_t {
    initialise = 0,  // shared while attaching, exclusive while making or removing a group
    primary_role = 1,
    conductor = 2,
    first_slot = 16,
  };
  enum class mode { shared, exclusive };

  enum class use { member, onlooker };

  /// Opens, and makes where needed, PATH; for an onlooker, who only asks for holders: read-only, and throws not_found
  /// where there is none.  Throws busy where this process has the file open already.
  explicit lock_file(const std::string& path, use how = use::member);
  ~lock_file();
  lock_file(const lock_file&) = delete;
  lock_file& operator=(const lock_file&) = delete;

  /// True when locked (or already ours).  Never blocks.
  [[nodiscard]] bool try_lock(off_t byte, mode m = mode::exclusive);
  /// Waits up to `timeout_ms`; throws timed_out naming `what` and the holder's pid.
  void lock(off_t byte, mode m, int timeout_ms, const std::string& what);
  void unlock(off_t byte) noexcept;
  /// Drops all locks; async-signal-safe.
  void unlock_all() noexcept;
  /// The pid of another process that holds the byte (0 where it lives in another PID namespace), or -1 for none.
  [[nodiscard]] pid_t holder(off_t byte) const noexcept;
  /// Whether the file has lost its name: then whoever locked it is alone with it.
  [[nodiscard]] bool unlinked() const noexcept;
  /// In the child of a fork: forgets the file without being taken for its opener.
  void abandon() noexcept;

 private:
  unique_fd fd_;
  std::string path_;
};

}  // namespace mpnet::mem
