// SPDX-License-Identifier: BSD-3-Clause
// Keeps forked workers running: forks them on lcores (pinned or floating), watches them, and when one dies stops those
// that depend on it, gives back what each held, recreates the resources on their lists, and starts them again, with a
// growing pause for a worker that dies at each start.  What DPDK's l2fwd_fork sample did by hand.
//
//   supervisor watch{eal};
//   auto rx = watch.add({.name = "rx", .id = lcore{3}, .run = [&](worker_context& me) { return forward(me); }});
//   auto tx = watch.add({.name = "tx", .id = lcore{4}, .run = …});
//   watch.depend(rx, tx, dependent_policy::restart);   // and the other way round
//   return watch.run();                                // until request_stop()
//
// Control; one thread, the one that made the supervisor.  When that process dies, workers get SIGTERM.
#pragma once

#include <mpnet/fork.hpp>
#include <mpnet/group.hpp>
#include <mpnet/ring.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace mpnet {

enum class worker_id : std::uint32_t {};

/// What happens to a worker when one that it depends on dies.
enum class dependent_policy : std::uint8_t {
  wait,     // it runs on
  restart,  // it is stopped first, and started again together with the dead one
};

/// What a supervisor tells a worker.
struct worker_command {
  static constexpr std::uint32_t stop = 1;
  std::uint32_t what = 0;
};

/// In the worker: the supervisor's orders.
class worker_context {
 public:
  worker_context(ring<worker_command> orders, ring<worker_command> answers, int order_fd) noexcept
      : orders_(orders), answers_(answers), order_fd_(order_fd) {}
  /// False once the worker should return from run(): the supervisor said STOP (which is acknowledged here) or the
  /// process was asked to stop.  Hot: a load or two.
  [[nodiscard]] bool keep_running() noexcept;
  /// Readable once there is an order, for loops that sleep: idle.watch(me.order_fd()).  Not to be read.
  [[nodiscard]] int order_fd() const noexcept { return order_fd_; }

 private:
  ring<worker_command> orders_;
  ring<worker_command> answers_;
  int order_fd_;
  bool stopped_ = false;
};

struct worker_spec {
  std::string name{};                         // unique; what ps shows
  lcore id = no_lcore;                        // no_lcore: an unused one
  std::vector<unsigned> processors{};         // empty: it floats
  std::function<int(worker_context&)> run{};  // in the worker; 0: it is done and stays away
};

/// Something that a worker uses and that must be made anew after its death.
struct worker_resource {
  std::string name{};
  std::function<void()> recreate{};  // in the supervisor's process; what it throws ends run() with 1
};

enum class worker_event_kind : std::uint8_t { started, died, stopped, killed, finished, delayed };

struct worker_event {
  worker_event_kind kind{};
  worker_id worker{};
  std::string text;  // for people: "rx (pid 4711) was killed by signal 9"
};

struct supervisor_options {
  std::chrono::milliseconds stop_patience{200};     // for a STOP to be answered; SIGKILL then
  std::chrono::milliseconds finish_patience{1000};  // for the end of a worker that answered; SIGKILL then
  std::chrono::milliseconds first_pause{100};       // before the second restart of a worker that died young
  std::chrono::milliseconds longest_pause{5000};
  std::chrono::milliseconds grown_up{250};  // who lived that long did not die at its start: no pause
  std::chrono::milliseconds tick{0};        // 0: none; else on_tick is called about that often
  std::function<void()> on_tick{};
  std::function<void(const worker_event&)> on_event{};
};

class supervisor {
 public:
  explicit supervisor(group& g, supervisor_options options = {});
  /// Stops what still runs.
  ~supervisor();
  supervisor(const supervisor&) = delete;
  supervisor& operator=(const supervisor&) = delete;

  /// Throws invalid_argument for a name that is taken.
  worker_id add(worker_spec spec);
  /// `who` depends on `on`.
  void depend(worker_id who, worker_id on, dependent_policy policy);
  void keep(worker_id who, worker_resource resource);
  /// Starts all and watches until a stop is requested or all are finished: 0; 1 when a resource could not be recreated.
  int run();
  [[nodiscard]] int pid_of(worker_id who) const;
  [[nodiscard]] std::uint64_t restarts() const noexcept { return restarts_; }

 private:
  struct worker;

  void start(std::size_t index);
  void stop(const std::vector<std::size_t>& whom);
  void bury(std::size_t index);
  [[nodiscard]] std::vector<std::size_t> restarted_with(std::size_t index) const;
  bool recreate(const std::vector<std::size_t>& whose);
  void start_due();
  [[nodiscard]] int next_timeout_ms() const;
  void tell(worker_event_kind kind, std::size_t index, const std::string& text);
  void check_deaths();

  group& group_;
  supervisor_options options_;
  std::vector<std::unique_ptr<worker>> workers_;
  std::uint64_t restarts_ = 0;
  std::uint64_t next_tick_ns_ = 0;
  bool failed_ = false;
};

}  // namespace mpnet
