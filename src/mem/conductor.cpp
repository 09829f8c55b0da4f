// SPDX-License-Identifier: BSD-3-Clause
#include "mem/conductor.hpp"

#include <fmt/format.h>
#include <mpnet/cycles.hpp>
#include <mpnet/detail/recovery.hpp>

#include <algorithm>
#include <array>
#include <cstring>

#include "mem/heap.hpp"
#include "mem/hooks.hpp"
#include "mem/local_state.hpp"
#include "mem/log.hpp"
#include "mem/membership.hpp"
#include "mem/nudge.hpp"
#include "mem/zone.hpp"

namespace mpnet::mem {
namespace {

using detail::lease;

/// A dead process, or the dead threads of a living one.
struct casualty {
  std::uint32_t slot = 0;
  bool whole_process = false;
  std::vector<lease*> leases;
};

bool slot_is_dead(const group& g, std::uint32_t slot) {
  const process_slot& s = g.control().slots[slot];
  if (s.state.load(std::memory_order_acquire) == slot_free) return false;  // [A-slot]
  if (slot == g.local().slot) return false;
  return g.local().locks->holder(lock_file::first_slot + static_cast<off_t>(slot)) == -1;
}

std::vector<casualty> find_casualties(const group& g) {
  std::array<std::uint8_t, max_processes> dead{};
  std::vector<casualty> found;
  for (std::uint32_t i = 0; i < max_processes; ++i) {
    if (!slot_is_dead(g, i)) continue;
    dead[i] = 1;
    found.push_back({i, true, {}});
  }
  for (lease& l : g.control().leases) {
    const std::uint16_t state = l.state.load(std::memory_order_acquire);  // [A-lease-state]
    if (state == detail::lease_free) continue;
    // relaxed: one word with the state
    const std::uint32_t slot = l.slot.load(std::memory_order_relaxed);
    // A conductor that died while it freed the lease of a thread may have left no other sign than the state.
    const bool died = detail::is_dead(l) || state == detail::lease_recovering;
    if (slot >= max_processes || (dead[slot] == 0 && !died)) continue;
    auto at = std::find_if(found.begin(), found.end(), [slot](const casualty& c) { return c.slot == slot; });
    if (at == found.end()) at = found.insert(found.end(), {slot, false, {}});
    at->leases.push_back(&l);
    // The whole process is gone: its spinning peers need not wait for the kernel to have come by this word.
    if (dead[slot] != 0) detail::alive_word(l).fetch_or(FUTEX_OWNER_DIED, std::memory_order_release);  // [R-lease]
  }
  return found;
}

detail::dead_party party_of(const casualty& c) {
  return {process_id{static_cast<std::uint16_t>(c.slot)}, static_cast<std::uint16_t>(c.whole_process ? c.slot + 1 : 0),
          c.leases};
}

/// Runs one step of every object's kind for a casualty.
void for_each_object(group& g, decltype(detail::kind_ops::repair) detail::kind_ops::*step, const casualty& c,
                     detail::recovery_counts& counts) {
  for (const zone_info& zone : list_zones(g)) {
    const detail::kind_ops* ops = detail::find_kind(zone.kind);
    if (ops != nullptr && ops->*step != nullptr) (ops->*step)(g, zone, party_of(c), counts);
  }
}

void free_control_state(group& g, std::uint32_t slot, std::uint32_t incarnation, detail::recovery_counts& counts) {
  transaction tx{g};  // takes the lock from the dead one where it held it, and undoes its journal
  const std::uint64_t owner = owner_word(slot, incarnation);
  counts.zones_freed += free_half_made_zones(tx, owner);
  counts.blocks_freed += give_blocks_of(tx, owner);
}

void free_leases(const casualty& c) {
  for (lease* l : c.leases) {
    // A thread's death is no longer to be seen once its word is cleared: whoever repeats this knows by the state.
    l->state.store(detail::lease_recovering, std::memory_order_release);  // [R-lease-state]
    // relaxed: nobody reads the claims of a lease that is not held
    l->ring.ring.store(0, std::memory_order_relaxed);
    l->pool.pool.store(0, std::memory_order_relaxed);
    // Or the next owner would look dead from when it takes the lease until it has made its mutex, and be buried alive.
    // relaxed: published by the state
    detail::alive_word(*l).store(0, std::memory_order_relaxed);
    l->state.store(detail::lease_free, std::memory_order_release);  // [R-lease-state]
  }
}

constinit hooks<const std::string&, std::uint32_t> undertakers;
constinit hooks<> leavers;

void free_slot(group& g, std::uint32_t slot) {
  control& c = g.control();
  remove_nudge_fifo(g.runtime_dir(), slot);
  undertakers.call(g.runtime_dir(), slot);
  process_slot& s = c.slots[slot];
  std::uint32_t role = slot + 1;
  c.primary_slot.compare_exchange_strong(role, 0, std::memory_order_acq_rel);
  s.state.store(slot_free, std::memory_order_release);  // [R-slot] pairs with [A-slot]
  c.group_epoch.fetch_add(1, std::memory_order_release);
}

void write_record(group& g, const casualty& c, const detail::recovery_counts& n, std::uint64_t duration_ns) {
  const transaction tx{g};  // for readers of the journal of recoveries
  control& shared = tx.shared();
  const process_slot& s = shared.slots[c.slot];
  recovery_record& r = shared.recoveries[shared.recovery_sequence % max_recovery_records];
  // For readers without the lock, and where this process dies in the middle: no number before all is written.
  // relaxed: the fences keep the compiler from moving stores across; such readers look at a moment's state at best
  std::atomic_ref{r.sequence}.store(0, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  r.finished_ns = realtime_ns();
  r.duration_ns = duration_ns;
  r.slot = c.slot;
  r.incarnation = s.incarnation.load(std::memory_order_relaxed);  // relaxed: the slot is ours to bury
  r.pid = static_cast<std::uint64_t>(s.pid);
  r.conductor_pid = static_cast<std::uint64_t>(shared.slots[g.local().slot].pid);
  r.rolled_back = n.rolled_back;
  r.rolled_forward = n.rolled_forward;
  r.objects_returned = n.objects_returned;
  r.zones_freed = n.zones_freed;
  r.blocks_freed = n.blocks_freed;
  r.queues_released = n.queues_released;
  r.leases = c.leases.size();
  r.whole_process = c.whole_process ? 1 : 0;
  std::memcpy(r.command, s.command, sizeof r.command);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  shared.recovery_sequence += 1;
  std::atomic_ref{r.sequence}.store(shared.recovery_sequence, std::memory_order_relaxed);  // relaxed: as above
}

/// The last part for one casualty, after every claim of all of them has been repaired.
void bury(group& g, const casualty& c, detail::recovery_counts& counts, std::uint64_t start_ns) {
  if (c.whole_process) {
    const std::uint32_t incarnation =
        g.control().slots[c.slot].incarnation.load(std::memory_order_relaxed);  // relaxed: ours
    for_each_object(g, &detail::kind_ops::reclaim, c, counts);
    free_control_state(g, c.slot, incarnation, counts);
  }
  write_record(g, c, counts, detail::monotonic_ns() - start_ns);
  free_leases(c);
  if (c.whole_process) free_slot(g, c.slot);
  log_fmt(log_level::info, "EAL", "Recovered {} of {}: {} claims, {} objects, {} zones, {} blocks, {} queues in {} us",
          c.whole_process ? "the death" : "a thread's death", describe_slot(g.control(), c.slot),
          counts.rolled_back + counts.rolled_forward, counts.objects_returned, counts.zones_freed, counts.blocks_freed,
          counts.queues_released, (detail::monotonic_ns() - start_ns) / 1000);
}

std::size_t bury_all(group& g) {
  const std::uint64_t start = detail::monotonic_ns();
  const std::vector<casualty> casualties = find_casualties(g);
  std::vector<detail::recovery_counts> counts(casualties.size());
  for (std::size_t i = 0; i < casualties.size(); ++i) {
    if (casualties[i].whole_process) {
      g.control().slots[casualties[i].slot].state.store(slot_dead, std::memory_order_release);
    }
    for_each_object(g, &detail::kind_ops::repair, casualties[i], counts[i]);
  }
  std::size_t buried = 0;
  for (std::size_t i = 0; i < casualties.size(); ++i) {
    bury(g, casualties[i], counts[i], start);
    if (casualties[i].whole_process) ++buried;
  }
  return buried;
}

}  // namespace

std::size_t recover_dead(group& g) {
  check_usable(g);
  control& c = g.control();
  local_state& local = g.local();
  // Whoever is refused below leaves its wish here, and the conductor looks again before it stops.
  // [R-wish] pairs with [A-wish]
  c.recovery_requests.fetch_add(1, std::memory_order_release);
  std::size_t buried = 0;
  for (;;) {
    const std::unique_lock guard{local.conductor_mutex, std::try_to_lock};
    if (!guard.owns_lock() || !local.locks->try_lock(lock_file::conductor)) return buried;
    const std::uint32_t seen = c.recovery_requests.load(std::memory_order_acquire);  // [A-wish]
    try {
      buried += bury_all(g);
    } catch (...) {
      local.locks->unlock(lock_file::conductor);
      throw;
    }
    local.locks->unlock(lock_file::conductor);
    if (c.recovery_requests.load(std::memory_order_acquire) == seen) return buried;  // [A-wish]
  }
}

recovery_pause::recovery_pause(group& g, const char* what) : group_(g), thread_(g.local().conductor_mutex) {
  check_usable(g);
  g.local().locks->lock(lock_file::conductor, lock_file::mode::exclusive, 10'000,
                        fmt::format("{}: the conductor's lock", what));
  seen_ = g.control().recovery_requests.load(std::memory_order_acquire);  // [A-wish]
}

recovery_pause::~recovery_pause() {
  group_.local().locks->unlock(lock_file::conductor);
  thread_.unlock();
  if (group_.control().recovery_requests.load(std::memory_order_acquire) == seen_) return;  // [A-wish]
  try {
    mem::recover_dead(group_);
  } catch (const std::exception& e) {
    log_fmt(log_level::warning, "EAL", "Recover what died meanwhile: {}", e.what());
  }
}

void at_leave(void (*function)() noexcept) {
  leavers.add(function);
}

void at_burial(void (*function)(const std::string&, std::uint32_t) noexcept) {
  undertakers.add(function);
}

void leave(group& g) {
  leavers.call();
  local_state& local = g.local();
  control& c = g.control();
  detail::release_lease();
  process_slot& s = c.slots[local.slot];
  s.state.store(slot_leaving, std::memory_order_release);
  // What this process still holds goes the way of the dead: one path, well trodden.
  casualty self{local.slot, true, {}};
  for (lease& l : c.leases) {
    if (l.state.load(std::memory_order_acquire) != detail::lease_free &&
        l.slot.load(std::memory_order_relaxed) == local.slot) {
      self.leases.push_back(&l);
      detail::alive_word(l).fetch_or(FUTEX_OWNER_DIED, std::memory_order_release);  // [R-lease]
    }
  }
  detail::recovery_counts counts;
  // The kernel gives the lock to any thread of this process; the mutex keeps another one out that conducts right now.
  const std::lock_guard conducting{local.conductor_mutex};
  local.locks->lock(lock_file::conductor, lock_file::mode::exclusive, 10'000, "leave the group: the conductor's lock");
  for_each_object(g, &detail::kind_ops::repair, self, counts);
  for_each_object(g, &detail::kind_ops::reclaim, self, counts);
  free_control_state(g, local.slot, local.incarnation, counts);
  free_leases(self);
  if (local.primary) {
    local.primary = false;
    std::uint32_t role = local.slot + 1;
    c.primary_slot.compare_exchange_strong(role, 0, std::memory_order_acq_rel);
    local.locks->unlock(lock_file::primary_role);
  }
  free_slot(g, local.slot);
  local.locks->unlock(lock_file::first_slot + static_cast<off_t>(local.slot));
  local.locks->unlock(lock_file::conductor);
  nudge_members(c, local.runtime_dir, local.slot);
}

}  // namespace mpnet::mem

namespace mpnet::detail {
namespace {
std::vector<kind_ops>& kinds() {
  static std::vector<kind_ops> table;
  return table;
}
}  // namespace

void register_kind(const kind_ops& ops) {
  for (kind_ops& known : kinds()) {
    if (known.kind == ops.kind) {
      known = ops;
      return;
    }
  }
  kinds().push_back(ops);
}

const kind_ops* find_kind(zone_kind kind) noexcept {
  for (const kind_ops& known : kinds()) {
    if (known.kind == kind) return &known;
  }
  return nullptr;
}

std::span<const kind_ops> all_kinds() noexcept {
  return kinds();
}

}  // namespace mpnet::detail
