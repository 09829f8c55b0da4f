// SPDX-License-Identifier: BSD-3-Clause
#include "eal/watch.hpp"

#include <fmt/format.h>
#include <mpnet/error.hpp>

#include <algorithm>
#include <chrono>
#include <future>

#include "mem/conductor.hpp"
#include "mem/log.hpp"

namespace mpnet::eal_detail {
namespace {

constexpr std::chrono::milliseconds period{50};

std::string name_of(const mem::member& m) {
  return fmt::format("process {} ('{}')", m.pid, m.command);
}

}  // namespace

watch::watch(group& g, event_loop& loop) : group_{g}, loop_{loop} {
  const mem::control& c = g.control();
  for (const mem::member& m : mem::members(g)) {
    known_[static_cast<std::uint16_t>(m.id)] = {m.incarnation, m.pid, false};
    if (m.primary) primary_ = m.id;
  }
  // acquire: pairs with the release of each change of the epoch in mem/, so what it tells of is visible
  seen_epoch_ = c.group_epoch.load(std::memory_order_acquire);
  seen_recoveries_ = c.recovery_sequence;
  tick();
}

watch::~watch() {
  alarm_id last{};
  {
    const std::lock_guard guard{timer_mutex_};
    ending_ = true;
    last = timer_;
  }
  loop_.cancel_alarm(last);
  std::promise<void> idle;  // looks that were asked for before are over when this one's turn has come
  loop_.post([&] { idle.set_value(); });
  idle.get_future().wait();
}

void watch::look_now() {
  loop_.post([this] { look(); });
}

void watch::tick() {
  const std::lock_guard guard{timer_mutex_};
  if (ending_) return;
  timer_ = loop_.alarm(period, [this] {
    if (somebody_died() || group_.control().group_epoch.load(std::memory_order_acquire) != seen_epoch_) look();
    tick();
  });
}

/// By the leases alone: some loads, no system call.
bool watch::somebody_died() const {
  return std::any_of(group_.control().leases.begin(), group_.control().leases.end(), [](const detail::lease& l) {
    // relaxed: a lease that is just being taken or freed is looked at again by the next tick
    return l.state.load(std::memory_order_relaxed) == detail::lease_taken && detail::is_dead(l);
  });
}

void watch::look() {
  try {
    seen_epoch_ = group_.control().group_epoch.load(std::memory_order_acquire);  // before looking: later changes count
    const auto now = mem::members(group_);
    compare_members(now);
    compare_role(now);
    const bool dead = std::any_of(now.begin(), now.end(), [](const auto& m) { return !m.alive; });
    if (dead || somebody_died()) mem::recover_dead(group_);
    tell_recoveries();
  } catch (const error& e) {
    log_fmt(log_level::warning, "EAL", "Looking after the group: {}", e.what());
  }
}

void watch::tell(group_event_kind kind, process_id who, int pid, std::string text) {
  log_fmt(log_level::debug, "EAL", "{}", text);
  loop_.publish(
      {.kind = kind, .process = who, .pid = pid, .objects_returned = 0, .duration_ns = 0, .text = std::move(text)});
}

void watch::compare_members(const std::vector<mem::member>& now) {
  for (auto it = known_.begin(); it != known_.end();) {
    const auto& [slot, before] = *it;
    const auto at = std::find_if(now.begin(), now.end(), [&, id = slot, inc = before.incarnation](const auto& m) {
      return static_cast<std::uint16_t>(m.id) == id && m.incarnation == inc;
    });
    if (at != now.end()) {
      ++it;
      continue;
    }
    const auto& records = group_.control().recoveries;
    const bool died =
        std::any_of(records.begin(), records.end(), [&, id = slot, inc = before.incarnation](const auto& r) {
          return r.sequence != 0 && r.slot == id && r.incarnation == inc &&
                 r.pid == static_cast<std::uint64_t>(before.pid);
        });
    if (!before.reported_dead) {
      tell(died ? group_event_kind::process_died : group_event_kind::process_left, process_id{slot}, before.pid,
           fmt::format("process {} {}", before.pid, died ? "died" : "left"));
    }
    it = known_.erase(it);
  }
  for (const mem::member& m : now) {
    auto [at, fresh] = known_.try_emplace(static_cast<std::uint16_t>(m.id), known{m.incarnation, m.pid, false});
    if (fresh) tell(group_event_kind::process_joined, m.id, m.pid, fmt::format("{} joined", name_of(m)));
    if (!m.alive && !at->second.reported_dead) {
      at->second.reported_dead = true;
      tell(group_event_kind::process_died, m.id, m.pid, fmt::format("{} died", name_of(m)));
    }
  }
}

void watch::compare_role(const std::vector<mem::member>& now) {
  const auto holder = std::find_if(now.begin(), now.end(), [](const auto& m) { return m.primary && m.alive; });
  const process_id id = holder == now.end() ? no_process : holder->id;
  if (id == primary_) return;
  primary_ = id;
  if (id == no_process) {
    tell(group_event_kind::role_changed, id, 0, "nobody holds the primary role");
  } else {
    tell(group_event_kind::role_changed, id, holder->pid, fmt::format("{} is the primary now", name_of(*holder)));
  }
}

void watch::tell_recoveries() {
  const mem::control& c = group_.control();
  std::vector<mem::recovery_record> news;
  for (const mem::recovery_record& r : c.recoveries)
    if (r.sequence > seen_recoveries_) news.push_back(r);
  std::sort(news.begin(), news.end(), [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
  for (const mem::recovery_record& r : news) {
    seen_recoveries_ = r.sequence;
    loop_.publish({.kind = group_event_kind::recovery_done,
                   .process = process_id{static_cast<std::uint16_t>(r.slot)},
                   .pid = static_cast<std::int64_t>(r.pid),
                   .objects_returned = r.objects_returned,
                   .duration_ns = r.duration_ns,
                   .text = fmt::format("process {} is recovered: {} objects returned in {} us", r.pid,
                                       r.objects_returned, r.duration_ns / 1000)});
  }
}

}  // namespace mpnet::eal_detail
