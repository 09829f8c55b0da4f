// SPDX-License-Identifier: BSD-3-Clause
// Watches the other members from the event thread: their pidfds make a death news at once, nudges tell of those who
// join, leave or crash, and a slow alarm makes good for a nudge that was lost and for members of other PID namespaces.
// A death is recovered here; the message endpoint and subscribers of this process are told what happened.
#pragma once

#include <mpnet/event.hpp>
#include <mpnet/group.hpp>
#include <mpnet/ipc.hpp>

#include <map>

#include "mem/membership.hpp"
#include "mem/system.hpp"

namespace mpnet::eal_detail {

class member_watch {
 public:
  member_watch(group& g, event_loop& loop, ipc::endpoint& messages);
  ~member_watch();
  member_watch(const member_watch&) = delete;
  member_watch& operator=(const member_watch&) = delete;

 private:
  struct watched {
    mem::member who;
    mem::unique_fd pidfd;
    watch_id watch{};
  };

  void on_nudge();
  void on_alarm();
  void look_again();
  void watch(const mem::member& m);
  void forget_gone(const std::vector<mem::member>& now);
  void tell_recoveries();
  void tell_role(const std::vector<mem::member>& now);

  group& group_;
  event_loop& loop_;
  ipc::endpoint& messages_;
  mem::unique_fd fifo_;
  watch_id fifo_watch_{};
  // Only the event thread touches what follows.
  alarm_id alarm_{};
  std::map<process_id, watched> known_;
  std::uint64_t told_recoveries_ = 0;
  process_id primary_ = no_process;
};

}  // namespace mpnet::eal_detail
