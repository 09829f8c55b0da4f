// SPDX-License-Identifier: BSD-3-Clause
// Looks at the group from the event thread: who came, who is gone, who holds the role; recovers the dead at once and
// tells subscribers.  A look is asked for when a socket or pidfd says that a member ended.  Beside that a timer looks,
// because the end of a thread, a new member and a new primary make no descriptor readable; a timer decides nothing (the
// kernel says who is dead), it only asks.
#pragma once

#include <mpnet/event.hpp>
#include <mpnet/group.hpp>

#include <map>
#include <mutex>

#include "mem/membership.hpp"

namespace mpnet::eal_detail {

class watch {
 public:
  watch(group& g, event_loop& loop);
  ~watch();
  watch(const watch&) = delete;
  watch& operator=(const watch&) = delete;

  /// Any thread.
  void look_now();

 private:
  struct known {
    std::uint32_t incarnation = 0;
    int pid = 0;
    bool reported_dead = false;
  };

  void tick();
  void look();
  [[nodiscard]] bool somebody_died() const;
  void tell(group_event_kind kind, process_id who, int pid, std::string text);
  void compare_members(const std::vector<mem::member>& now);
  void compare_role(const std::vector<mem::member>& now);
  void tell_recoveries();

  group& group_;
  event_loop& loop_;
  std::map<std::uint16_t, known> known_;  // the event thread's, like all below
  std::uint64_t seen_epoch_ = 0;
  std::uint64_t seen_recoveries_ = 0;
  process_id primary_ = no_process;
  alarm_id timer_{};
  std::mutex timer_mutex_;
  bool ending_ = false;
};

}  // namespace mpnet::eal_detail
