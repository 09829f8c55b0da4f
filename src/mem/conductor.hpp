// SPDX-License-Identifier: BSD-3-Clause
// Recovery: what survivors do for the dead.  Any member may run it at any time; a lock that the kernel drops with its
// holder makes one responsible at a time, and every step may be run again after the conductor itself died half-way.
#pragma once

#include <mpnet/group.hpp>

#include <cstddef>
#include <mutex>
#include <string>

#include "mem/control.hpp"

namespace mpnet::mem {

/// Finds dead members and dead threads and repairs all that they held, in the order that detail/recovery.hpp states.
/// Returns how many processes were buried.  Does nothing (quickly) when another member is at it: that one looks again
/// before it stops.  Control, any thread.
std::size_t recover_dead(group& g);

/// Calls `function` for each slot that is about to become free, whose owner is gone and has no successor yet: layers
/// above remove the files that it left in the runtime directory.  May be called twice for one death.  Control.
void at_burial(void (*function)(const std::string& runtime_dir, std::uint32_t slot) noexcept);

/// While it lives nobody recovers: what the directory lists may be looked into, and may go.  Recovery reads and repairs
/// the objects that it found listed, so their memory must not go under its hands.  Waits at most ten seconds for a
/// recovery that is under way, then throws timed_out naming who conducts it.  Not in a transaction.
class recovery_pause {
 public:
  recovery_pause(group& g, const char* what);
  /// Makes good what was asked for meanwhile.
  ~recovery_pause();
  recovery_pause(const recovery_pause&) = delete;
  recovery_pause& operator=(const recovery_pause&) = delete;

 private:
  group& group_;
  std::unique_lock<std::mutex> thread_;  // the lock file's locks do not tell threads of a process apart
  std::uint32_t seen_;
};

/// This process's orderly way out: its leases, its blocks, its role, its slot.
void leave(group& g);

}  // namespace mpnet::mem
