// SPDX-License-Identifier: BSD-3-Clause
// What runs beside the lcores of a member: messages, the event thread, and recovery.  Started once the group is entered
// and the main lcore has its lease; ended in the reverse order.
#pragma once

#include <sched.h>
#include <mpnet/event.hpp>
#include <mpnet/group.hpp>
#include <mpnet/ipc.hpp>

#include <functional>
#include <span>

#include "eal/member_watch.hpp"
#include "eal/options.hpp"

namespace mpnet::eal_detail {

class services {
 public:
  /// `usable` are the processors that the process may use; the threads keep off those of `lcores` where any is left.
  services(group& g, const cpu_set_t& usable, std::span<const lcore_place> lcores);
  ~services();
  services(const services&) = delete;
  services& operator=(const services&) = delete;

  /// This process's services.  In a forked member its own, not the copy of the parent's.  Throws not_found.
  [[nodiscard]] static services& current();

  [[nodiscard]] event_loop& events() noexcept { return events_; }
  [[nodiscard]] ipc::endpoint& messages() noexcept { return messages_; }

 private:
  std::function<void()> keep_off_lcores_;
  event_loop events_;
  ipc::endpoint messages_;
  member_watch watch_;
  services* before_;
};

}  // namespace mpnet::eal_detail
