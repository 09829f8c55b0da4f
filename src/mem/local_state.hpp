// SPDX-License-Identifier: BSD-3-Clause
// This process's half of a group: descriptors, mappings, locks between its own threads.  Never shared.
#pragma once

#include <mpnet/group.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "mem/lock_file.hpp"
#include "mem/region.hpp"

namespace mpnet::mem {

/// Called by the process that changes memory: with true after pages were committed and before anyone learns of them,
/// with false before they go back (also those that another process committed, or died committing: what is not known is
/// no error).  May throw when adding; the growth is undone then.  Runs under the control lock: it must not allocate
/// shared memory.
using extent_observer = std::function<void(void* address, std::size_t bytes, std::uint64_t page_bytes, bool added)>;

struct local_state {
  std::string prefix;
  std::string runtime_dir;
  std::string shared_dir;
  unique_fd config_fd;
  std::unique_ptr<lock_file> locks;
  std::unique_ptr<region> map;
  std::uint32_t slot = 0;
  std::uint32_t incarnation = 0;
  std::atomic<bool> primary{false};
  bool created = false;
  std::atomic<bool> forked{false};  // this is the child of a plain fork(): nothing here may be used
  std::timed_mutex control_mutex;   // one thread of this process at a time at the control lock
  std::mutex conductor_mutex;       // one thread of this process at a time conducts
  std::mutex observers_mutex;
  std::vector<std::pair<int, extent_observer>> observers;
  int next_observer = 1;
};

/// Throws unless `g` may be used by this process; every control-path function of mem/ starts with it.
void check_usable(const group& g);

/// Calls `function` when this process leaves a group, while it is still a member: layers above close what they hold.
/// Control.
void at_leave(void (*function)() noexcept);

/// Adds an observer of memory changes made by this process; returns a number for remove_extent_observer.
int add_extent_observer(group& g, extent_observer observer);
void remove_extent_observer(group& g, int number) noexcept;
void notify_observers(group& g, void* address, std::size_t bytes, std::uint64_t page_bytes, bool added);

/// Calls visit(address, bytes, page_bytes) for each committed extent, under the control lock.
void for_each_extent(group& g, const std::function<void(void*, std::size_t, std::uint64_t)>& visit);

/// Gets the descriptor of a segment's file from a living member where this process cannot open it (another mount
/// namespace).  Set by ipc/; the arguments are the group's runtime directory and the key "segment:N".
extern std::function<unique_fd(const std::string& runtime_dir, const std::string& key)> foreign_fd_source;

}  // namespace mpnet::mem
