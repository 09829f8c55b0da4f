// SPDX-License-Identifier: BSD-3-Clause
#include "eal/member_watch.hpp"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <mpnet/process.hpp>

#include <algorithm>
#include <future>

#include "mem/local_state.hpp"
#include "mem/log.hpp"
#include "mem/nudge.hpp"

namespace mpnet::eal_detail {
namespace {

constexpr std::chrono::milliseconds look_every{500};

/// A descriptor that becomes readable when the process is gone; empty where it is gone already or lives in another PID
/// namespace, where its number means another process.
mem::unique_fd open_pidfd(const group& g, const mem::member& m) {
  if (m.pid_namespace != g.control().slots[g.local().slot].pid_namespace) return {};
  mem::unique_fd fd{static_cast<int>(::syscall(SYS_pidfd_open, m.pid, 0))};
  // The number may have been reused before the descriptor was there; after it, it cannot be.
  if (fd && mem::process_start_ticks(m.pid) != m.start_ticks) fd.reset();
  return fd;
}

group_event event_of(group_event_kind kind, const mem::member& m, const char* what) {
  group_event e;
  e.kind = kind;
  e.process = m.id;
  e.pid = m.pid;
  const bool gone = kind == group_event_kind::process_died || kind == group_event_kind::process_left;
  e.text =
      gone ? fmt::format("process {} {}", m.pid, what) : fmt::format("process {} ('{}') {}", m.pid, m.command, what);
  return e;
}

/// Threads that ended without giving their lcore id back, in processes that live on.  Some loads, no system call.
bool a_thread_died(const group& g) {
  const auto& leases = g.control().leases;
  return std::any_of(leases.begin(), leases.end(), [](const detail::lease& l) {
    // relaxed: one that is just being taken or freed is looked at again next time
    return l.state.load(std::memory_order_relaxed) == detail::lease_taken && detail::is_dead(l);
  });
}

}  // namespace

member_watch::member_watch(group& g, event_loop& loop, ipc::endpoint& messages)
    : group_{g}, loop_{loop}, messages_{messages}, fifo_{mem::open_nudge_fifo(g.runtime_dir(), g.local().slot)} {
  for (const recovery_info& r : list_recoveries(g)) told_recoveries_ = r.sequence;
  fifo_watch_ = loop_.register_fd(fifo_.get(), [this](std::uint32_t) { on_nudge(); });
  try {
    loop_.post([this] { on_alarm(); });
  } catch (...) {  // out of memory: the loop outlives this object, and must not call it
    loop_.unregister_fd(fifo_watch_);
    throw;
  }
}

member_watch::~member_watch() {
  // In the loop's thread, so that none of our callbacks runs at the same time or afterwards.
  std::promise<void> done;
  loop_.post([this, &done] {
    loop_.cancel_alarm(alarm_);
    loop_.unregister_fd(fifo_watch_);
    for (const auto& [id, w] : known_) {
      if (w.pidfd) loop_.unregister_fd(w.watch);
    }
    done.set_value();
  });
  done.get_future().wait();
  mem::remove_nudge_fifo(group_.runtime_dir(), group_.local().slot);
}

void member_watch::on_nudge() {
  char bytes[256];
  while (::read(fifo_.get(), bytes, sizeof bytes) > 0) {
  }
  look_again();
}

void member_watch::on_alarm() {
  alarm_ = loop_.alarm(look_every, [this] { on_alarm(); });  // first: looking may find no memory
  look_again();
}

void member_watch::look_again() {
  try {
    std::vector<mem::member> now = mem::members(group_);
    const auto dead = [](const mem::member& m) { return !m.locked; };  // while coming or going, too
    if (std::any_of(now.begin(), now.end(), dead) || a_thread_died(group_)) {
      recover_dead(group_);
      now = mem::members(group_);
    }
    forget_gone(now);
    for (const mem::member& m : now) {
      if (m.alive && m.id != group_.self() && !known_.contains(m.id)) watch(m);
    }
    tell_recoveries();
    tell_role(now);
  } catch (const error& e) {
    log_fmt(log_level::warning, "EAL", "Watch the group's members: {}", e.what());
  }
}

void member_watch::watch(const mem::member& m) {
  watched w{m, open_pidfd(group_, m), {}};
  if (w.pidfd)
    w.watch = loop_.register_fd(
        w.pidfd.get(), [this](std::uint32_t) { look_again(); }, trigger::edge);
  known_.emplace(m.id, std::move(w));
  loop_.publish(event_of(group_event_kind::process_joined, m, "joined"));
}

void member_watch::forget_gone(const std::vector<mem::member>& now) {
  for (auto at = known_.begin(); at != known_.end();) {
    const mem::member& who = at->second.who;
    const bool here = std::any_of(now.begin(), now.end(), [&who](const mem::member& m) {
      return m.id == who.id && m.incarnation == who.incarnation && (m.alive || m.state != mem::slot_live);
    });
    if (here) {
      ++at;
      continue;
    }
    if (at->second.pidfd) loop_.unregister_fd(at->second.watch);
    messages_.peer_dead(who.id, who.incarnation);
    const std::vector<recovery_info> journal = list_recoveries(group_);
    const bool died = std::any_of(journal.begin(), journal.end(), [&who](const recovery_info& r) {
      return r.whole_process && r.process == who.id && r.incarnation == who.incarnation;
    });
    loop_.publish(died ? event_of(group_event_kind::process_died, who, "died")
                       : event_of(group_event_kind::process_left, who, "left"));
    at = known_.erase(at);
  }
}

void member_watch::tell_recoveries() {
  for (const recovery_info& r : list_recoveries(group_)) {
    if (r.sequence <= told_recoveries_) continue;
    told_recoveries_ = r.sequence;
    loop_.publish({.kind = group_event_kind::recovery_done,
                   .process = r.process,
                   .pid = r.pid,
                   .objects_returned = r.objects_returned,
                   .duration_ns = r.duration_ns,
                   .text = fmt::format("process {} is recovered: {} objects returned in {} us", r.pid,
                                       r.objects_returned, r.duration_ns / 1000)});
  }
}

void member_watch::tell_role(const std::vector<mem::member>& now) {
  const auto at = std::find_if(now.begin(), now.end(), [](const mem::member& m) { return m.primary; });
  const process_id holder = at == now.end() ? no_process : at->id;
  if (holder == primary_) return;
  primary_ = holder;
  loop_.publish(at == now.end()
                    ? group_event{.kind = group_event_kind::role_changed, .text = "nobody holds the primary role"}
                    : event_of(group_event_kind::role_changed, *at, "is the primary now"));
}

}  // namespace mpnet::eal_detail
