// SPDX-License-Identifier: BSD-3-Clause
// The event loop: one thread a process ("mpnet-event"), never an lcore, that runs callbacks of descriptors
// (interrupts), alarms, and subscriptions to what happens in the group.  Follows rte_interrupts.h and rte_alarm.h.
//
// Callbacks run one after another in the loop's thread and may call everything here, requests to other processes
// included (which delay the other callbacks).  What a callback throws is logged.  All functions: control, any thread.
#pragma once

#include <mpnet/types.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace mpnet {

enum class watch_id : std::uint64_t {};
enum class alarm_id : std::uint64_t {};
enum class subscription_id : std::uint64_t {};

/// `edge`: one call a change.  Right for eventfds of interrupts that several processes share and nobody reads.
enum class trigger : std::uint8_t { level, edge };

enum class group_event_kind : std::uint8_t { process_joined, process_left, process_died, role_changed, recovery_done };

/// What happened in the group.
struct group_event {
  group_event_kind kind{};
  process_id process = no_process;     // joined, left, died, holds the role now, was recovered
  std::int64_t pid = 0;                // in its own PID namespace
  std::uint64_t objects_returned = 0;  // recovery_done
  std::uint64_t duration_ns = 0;       // recovery_done
  std::string text{};                  // for people
};

class event_loop {
 public:
  /// Starts the thread; `on_thread_start` runs in it first (affinity).
  explicit event_loop(std::function<void()> on_thread_start = {});
  /// Runs what is posted and due, then ends the thread.  Not from a callback.
  ~event_loop();
  event_loop(const event_loop&) = delete;
  event_loop& operator=(const event_loop&) = delete;

  /// Calls back when `fd` is readable (or in error); the argument is epoll's events.  The descriptor stays the caller's
  /// and must stay open until unregister_fd().  Throws exists, system.  Follows rte_intr_callback_register.
  watch_id register_fd(int fd, std::function<void(std::uint32_t events)> callback, trigger how = trigger::level);
  /// When it returns the callback runs no more (from within that callback: after it).  False where it was gone.
  bool unregister_fd(watch_id id);

  /// Calls back once, not earlier than `after`.  Follows rte_eal_alarm_set.
  alarm_id alarm(std::chrono::microseconds after, std::function<void()> callback);
  /// True when the alarm will never run; false when it ran, which it then has ended (from within itself: nearly).
  /// Follows rte_eal_alarm_cancel.
  bool cancel_alarm(alarm_id id);

  /// Runs `function` in the loop's thread, in the order posted.
  void post(std::function<void()> function);

  /// Calls back on each event of that kind.
  subscription_id subscribe(group_event_kind kind, std::function<void(const group_event&)> callback);
  /// When it returns the callback runs no more (from within that callback: after it).
  bool unsubscribe(subscription_id id);
  /// Tells this process's subscribers.
  void publish(group_event event);

  /// Whether the caller is the loop's thread.
  [[nodiscard]] bool in_loop() const noexcept;

  struct impl;

 private:
  std::unique_ptr<impl> impl_;
};

}  // namespace mpnet
