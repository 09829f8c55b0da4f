// SPDX-License-Identifier: BSD-3-Clause
// Who is in the group, and who is alive.  A process is alive as long as the kernel holds its byte lock; nothing else
// decides.  Control.
#pragma once

#include <mpnet/group.hpp>
#include <mpnet/process.hpp>

#include <functional>
#include <string>
#include <vector>

#include "mem/control.hpp"
#include "mem/lock_file.hpp"

namespace mpnet::mem {

struct member {
  process_id id = no_process;
  std::uint32_t incarnation = 0;
  int pid = 0;  // in its own PID namespace
  std::uint64_t start_ticks = 0;
  std::uint64_t pid_namespace = 0;
  std::string command;
  bool primary = false;  // false for a dead one: the role went with its lock
  bool locked = false;   // the slot's byte: the kernel's word on whether it lives
  bool alive = false;    // locked, and neither coming nor going
  slot_state state = slot_free;
};

/// The slots in use, by id; `lives` asks the kernel about the owner of one.  The only reader of the slots' fields.
[[nodiscard]] std::vector<member> members_of(const control& c, const std::function<bool(std::uint32_t slot)>& lives);
/// The same as the API shows it, with the lcore ids that each holds.
[[nodiscard]] std::vector<process_info> describe_members(const control& c, const std::vector<member>& found);

/// The group's slots in use, this process's own included, by id.
[[nodiscard]] std::vector<member> members(const group& g);
/// The holder of the primary role; empty where it is vacant.
[[nodiscard]] std::optional<member> primary_member(const group& g);

/// Whether any process but this one holds a slot's byte; asks the kernel alone, so that it may be asked from outside.
[[nodiscard]] bool anyone_lives(const lock_file& locks) noexcept;

/// Whether the owner of a slot with that incarnation (compared modulo 2^16) is gone.  One system call.
[[nodiscard]] bool is_process_dead(const group& g, std::uint32_t slot, std::uint32_t incarnation) noexcept;

/// "process 4711 ('simple_mp -l 0-1', started 2026-01-31 12:00:00)"; reads shared memory only.
[[nodiscard]] std::string describe_slot(const control& c, std::uint32_t slot);

/// The journal of recoveries, oldest first.
[[nodiscard]] std::vector<recovery_info> recoveries_of(const control& c);

/// Tries to take the vacant primary role for this process.
bool try_become_primary(group& g);

}  // namespace mpnet::mem

namespace mpnet::detail {

/// Gives the calling thread lcore `id`.  Throws busy naming the holder, exists where the thread has a lease already.
lease& take_lease(group& g, lcore id);
/// Gives the calling thread the lowest unused lcore id.  Throws limit.
lease& take_any_lcore(group& g);
/// Gives back the calling thread's lease, if any.  Called also when the thread ends.
void release_lease() noexcept;
/// In a thread that is about to be declared dead: from now on the kernel does not mark its lease when it ends, which
/// may be after a long core dump, and after the lease has a new owner.  Async-signal-safe.
void forget_alive_word() noexcept;
/// Called with the lcore id when this process's thread gives one back: pools flush their caches.
extern void (*on_lcore_released)(lcore id) noexcept;

}  // namespace mpnet::detail
