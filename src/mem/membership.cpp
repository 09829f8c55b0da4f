// SPDX-License-Identifier: BSD-3-Clause
#include "mem/membership.hpp"

#include <fmt/format.h>

#include "mem/local_state.hpp"

namespace mpnet::mem {

bool anyone_lives(const lock_file& locks) noexcept {
  for (std::size_t i = 0; i < max_processes; ++i) {
    if (locks.holder(lock_file::first_slot + static_cast<off_t>(i)) != -1) return true;
  }
  return false;
}

bool is_process_dead(const group& g, std::uint32_t slot, std::uint32_t incarnation) noexcept {
  const local_state& local = g.local();
  if (slot >= max_processes) return true;
  const process_slot& s = g.control().slots[slot];
  // [A-slot] pairs with [R-slot] in entry.cpp: the incarnation belongs to whoever holds the byte.
  if (s.state.load(std::memory_order_acquire) == slot_free) return true;
  // relaxed: ordered by the load above
  if (((s.incarnation.load(std::memory_order_relaxed) ^ incarnation) & 0xffff) != 0) return true;
  if (slot == local.slot) return false;
  return local.locks->holder(lock_file::first_slot + static_cast<off_t>(slot)) == -1;
}

std::vector<member> members_of(const control& c, const std::function<bool(std::uint32_t)>& lives) {
  std::vector<member> found;
  for (std::uint32_t i = 0; i < max_processes; ++i) {
    const process_slot& s = c.slots[i];
    const auto state = static_cast<slot_state>(s.state.load(std::memory_order_acquire));  // [A-slot]
    if (state == slot_free) continue;
    member m;
    m.id = process_id{static_cast<std::uint16_t>(i)};
    m.state = state;
    m.incarnation = s.incarnation.load(std::memory_order_relaxed);  // relaxed: ordered by the state
    m.pid = s.pid;
    m.start_ticks = s.start_ticks;
    m.pid_namespace = s.pid_namespace;
    m.command.assign(s.command, ::strnlen(s.command, sizeof s.command));
    m.locked = lives(i);
    m.alive = state == slot_live && m.locked;
    // relaxed: a snapshot
    m.primary = m.alive && c.primary_slot.load(std::memory_order_relaxed) == i + 1;
    found.push_back(std::move(m));
  }
  return found;
}

std::vector<member> members(const group& g) {
  check_usable(g);
  return members_of(g.control(), [&g](std::uint32_t slot) {
    // relaxed: a slot that changes hands this moment is looked at again
    return !is_process_dead(g, slot, g.control().slots[slot].incarnation.load(std::memory_order_relaxed));
  });
}

std::optional<member> primary_member(const group& g) {
  for (member& m : members(g)) {
    if (m.primary) return std::move(m);
  }
  return std::nullopt;
}

std::string describe_slot(const control& c, std::uint32_t slot) {
  if (slot >= max_processes) return "an unknown process";
  const process_slot& s = c.slots[slot];
  return fmt::format("process {} ('{}', started {})", s.pid,
                     std::string_view{s.command, ::strnlen(s.command, sizeof s.command)},
                     start_time_text(s.start_ticks));
}

bool try_become_primary(group& g) {
  local_state& local = g.local();
  if (local.primary) return true;
  if (!local.locks->try_lock(lock_file::primary_role)) return false;
  // release: for readers of the name only
  g.control().primary_slot.store(local.slot + 1, std::memory_order_release);
  g.control().group_epoch.fetch_add(1, std::memory_order_release);
  local.primary = true;
  return true;
}

}  // namespace mpnet::mem
