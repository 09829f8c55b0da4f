// SPDX-License-Identifier: BSD-3-Clause
// What a poll loop does when a round brought nothing.  Machines have fewer processors than lcores more often than not,
// and a loop that spins then takes the time that its peer needs.  One object a thread.
//
//   mpnet::idle_strategy idle{mpnet::idle_mode::adaptive};
//   idle.watch(port, queue);                      // what can wake this loop
//   while (!mpnet::stop_requested()) idle.after(poll_once());
#pragma once

#include <mpnet/cycles.hpp>
#include <mpnet/detail/unique_fd.hpp>
#include <mpnet/port.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace mpnet {

enum class idle_mode : std::uint8_t {
  spin,      // never gives the processor away: lowest latency, one processor a loop
  yield,     // lets others run, and comes back as soon as they are done
  adaptive,  // spins, yields, then sleeps: until a watched queue is readable where all can tell, else in growing steps
};

/// "spin", "yield" or "adaptive"; throws error{usage}.  Control.
[[nodiscard]] idle_mode parse_idle_mode(std::string_view text);

class idle_strategy {
 public:
  explicit idle_strategy(idle_mode mode = idle_mode::adaptive) noexcept : mode_(mode) {}

  /// A queue that this loop polls.  Control; the port must outlive the strategy's use.
  void watch(const port& p, queue_id queue);
  /// A descriptor that is to end the sleep when it becomes readable, for instance stop_fd().  Control.
  void watch(int fd);

  /// Called after each round with the number of packets that it handled.  Hot while there are any: one store.
  void after(std::size_t handled) noexcept {
    if (handled != 0 || mode_ == idle_mode::spin) [[likely]] {
      idle_rounds_ = 0;
      return;
    }
    rest();
  }

  /// How often after() put the thread to sleep.
  [[nodiscard]] std::uint64_t sleep_count() const noexcept { return sleep_count_; }

 private:
  void add(int fd);
  void rest() noexcept;
  void sleep() noexcept;

  static constexpr std::uint32_t spin_rounds = 256;  // a few microseconds: a packet's answer is often that near
  static constexpr std::uint32_t yield_rounds = 32;  // after those
  static constexpr int longest_sleep_us = 1000;      // where a queue cannot wake us
  static constexpr int longest_wait_ms = 100;        // where all can

  idle_mode mode_;
  std::uint32_t idle_rounds_ = 0;
  std::uint64_t sleep_count_ = 0;
  detail::unique_fd epoll_;  // edge-triggered: an interrupt's eventfd is shared by processes and never read
  std::vector<std::pair<const port*, queue_id>> queues_;
  bool all_wake_ = false;  // at least one queue, and each of them has a descriptor
  bool deaf_ = false;      // a watched queue has none
};

}  // namespace mpnet
