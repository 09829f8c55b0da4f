// SPDX-License-Identifier: BSD-3-Clause
#include <mpnet/process.hpp>

#include <algorithm>
#include <cstring>

#include "mem/conductor.hpp"
#include "mem/journal.hpp"
#include "mem/local_state.hpp"
#include "mem/membership.hpp"
#include "mem/nudge.hpp"

namespace mpnet {
namespace {

process_state state_of(const mem::member& m) {
  if (!m.locked) return m.state == mem::slot_dead ? process_state::recovering : process_state::dead;
  if (m.state == mem::slot_joining) return process_state::joining;
  if (m.state == mem::slot_leaving) return process_state::leaving;
  return process_state::alive;
}

std::vector<lcore> lcores_of(const mem::control& c, process_id id) {
  std::vector<lcore> ids;
  for (std::uint16_t i = 0; i < max_lcores; ++i) {
    const detail::lease& l = c.leases[i];
    if (l.state.load(std::memory_order_acquire) != detail::lease_free &&        // [A-lease-state]
        l.slot.load(std::memory_order_relaxed) == static_cast<unsigned>(id)) {  // relaxed: ordered by the state
      ids.push_back(lcore{i});
    }
  }
  return ids;
}

}  // namespace

std::vector<process_info> mem::describe_members(const control& c, const std::vector<member>& found) {
  std::vector<process_info> described;
  for (const member& m : found) {
    described.push_back({.id = m.id,
                         .incarnation = m.incarnation,
                         .pid = m.pid,
                         .command = m.command,
                         .started = start_time_text(m.start_ticks),
                         .state = state_of(m),
                         .primary = m.primary,
                         .lcores = lcores_of(c, m.id)});
  }
  return described;
}

std::vector<process_info> list_processes(const group& g) {
  return mem::describe_members(g.control(), mem::members(g));
}

std::vector<recovery_info> mem::recoveries_of(const control& c) {
  std::vector<recovery_info> found;
  for (const mem::recovery_record& r : c.recoveries) {
    if (r.sequence == 0) continue;
    found.push_back({.sequence = r.sequence,
                     .process = process_id{static_cast<std::uint16_t>(r.slot)},
                     .incarnation = static_cast<std::uint32_t>(r.incarnation),
                     .pid = static_cast<int>(r.pid),
                     .command = std::string(r.command, ::strnlen(r.command, sizeof r.command)),
                     .conductor_pid = static_cast<int>(r.conductor_pid),
                     .finished_ns = r.finished_ns,
                     .duration_ns = r.duration_ns,
                     .claims_rolled_back = r.rolled_back,
                     .claims_finished = r.rolled_forward,
                     .objects_returned = r.objects_returned,
                     .zones_freed = r.zones_freed,
                     .blocks_freed = r.blocks_freed,
                     .queues_released = r.queues_released,
                     .leases = r.leases,
                     .whole_process = r.whole_process != 0});
  }
  std::sort(found.begin(), found.end(),
            [](const recovery_info& a, const recovery_info& b) { return a.sequence < b.sequence; });
  return found;
}

std::vector<recovery_info> list_recoveries(const group& g) {
  const mem::transaction tx{const_cast<group&>(g)};  // records are written under the same lock
  return mem::recoveries_of(tx.shared());
}

std::size_t recover_dead(group& g) {
  return mem::recover_dead(g);
}

bool take_primary_role(group& g) {
  mem::check_usable(g);
  if (g.is_primary()) return true;
  if (!mem::try_become_primary(g)) return false;
  mem::nudge_members(g.control(), g.runtime_dir(), g.local().slot);
  return true;
}

}  // namespace mpnet
