// SPDX-License-Identifier: BSD-3-Clause
// The members of a group and the journal of recoveries, as the API shows them.  Control, any thread of any member.
#pragma once

#include <mpnet/group.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace mpnet {

enum class process_state : std::uint8_t {
  joining,
  alive,  // a stopped process too
  leaving,
  dead,        // the kernel says so, and nobody repairs what it held yet
  recovering,  // dead, and a survivor is at it
};

struct process_info {
  process_id id = no_process;
  std::uint32_t incarnation = 0;  // distinguishes the owners of an id
  int pid = 0;                    // in the process's own PID namespace
  std::string command;
  std::string started;  // "2026-01-31 12:00:00"
  process_state state{};
  bool primary = false;
  std::vector<lcore> lcores;  // ids that its threads hold, ascending
};

/// What one recovery did.
struct recovery_info {
  std::uint64_t sequence = 0;  // 1, 2, … in the group's life
  process_id process = no_process;
  std::uint32_t incarnation = 0;
  int pid = 0;
  std::string command;
  int conductor_pid = 0;          // who repaired
  std::uint64_t finished_ns = 0;  // CLOCK_REALTIME
  std::uint64_t duration_ns = 0;
  std::uint64_t claims_rolled_back = 0;
  std::uint64_t claims_finished = 0;
  std::uint64_t objects_returned = 0;
  std::uint64_t zones_freed = 0;
  std::uint64_t blocks_freed = 0;
  std::uint64_t queues_released = 0;
  std::uint64_t leases = 0;
  bool whole_process = true;  // false: threads that ended in a process that lives on
};

/// The members, by id, this process included.
[[nodiscard]] std::vector<process_info> list_processes(const group& g);

/// The recoveries that are still in the journal (the last 256), oldest first.
[[nodiscard]] std::vector<recovery_info> list_recoveries(const group& g);

/// Repairs what dead members and threads left, now, instead of waiting for the event thread to notice.  Returns how
/// many processes were buried; 0 also when another member is at it.
std::size_t recover_dead(group& g);

/// Takes the primary role when it is vacant.  True when this process is the primary afterwards.
bool take_primary_role(group& g);

}  // namespace mpnet
