// SPDX-License-Identifier: BSD-3-Clause
// The environment abstraction layer: reads the command line, enters the group, starts the lcore threads, ports,
// messages and recovery, and takes all of it down again.  One object a process, made by the thread that becomes the
// main lcore and destroyed by the same thread.  Options and their meaning are DPDK's (docs/running.md lists them).
//
//   int main(int argc, char** argv) {
//     return mpnet::run_main([&] {
//       mpnet::eal eal{argc, argv};
//       eal.launch_all([&] { return work(); });
//       eal.wait_all();
//     });
//   }
#pragma once

#include <mpnet/fork.hpp>
#include <mpnet/group.hpp>
#include <mpnet/lcore.hpp>
#include <mpnet/types.hpp>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mpnet {

class event_loop;  // <mpnet/event.hpp>
namespace ipc {
class endpoint;  // <mpnet/ipc.hpp>
}

/// What an lcore thread is doing.  Follows rte_lcore_state_t; `finished` holds a result that nobody fetched yet.
enum class lcore_state : std::uint8_t { waiting, running, finished };

/// Whether launch_all() also calls the function on the main lcore, that is, in the calling thread.
enum class main_call : std::uint8_t { skip, call };

class eal {
 public:
  /// Parses the command line up to "--", then starts everything.  Control.
  /// Throws error{usage} for options that are wrong, other errors for what the machine or the group refuses, and
  /// exit_request after it answered -h.  Nothing is left behind after a throw.  Follows rte_eal_init.
  eal(int argc, char** argv);
  /// The same for arguments without a program name.
  explicit eal(std::vector<std::string> arguments);
  /// Asks lcores to stop (request_stop()), waits until their functions have returned, leaves the group, and restores
  /// the calling thread's affinity.  Follows rte_eal_cleanup.
  ~eal();
  eal(const eal&) = delete;
  eal& operator=(const eal&) = delete;

  /// What followed "--" on the command line.
  [[nodiscard]] std::span<const std::string> args() const noexcept;
  /// The name that the process was started as, without its folder.
  [[nodiscard]] const std::string& program() const noexcept;

  [[nodiscard]] group& as_group() const noexcept;
  operator group&() const noexcept { return as_group(); }  // NOLINT: rings, pools and ports are made from an eal
  [[nodiscard]] bool is_primary() const noexcept { return as_group().is_primary(); }

  /// Interrupts, alarms, and subscriptions to who joins, dies, and is recovered.  In a forked member its own.
  [[nodiscard]] event_loop& events() const;
  /// Messages and requests to other members.  In a forked member its own.
  [[nodiscard]] ipc::endpoint& messages() const;

  /// The lcores of this process, ascending.
  [[nodiscard]] std::span<const lcore> lcores() const noexcept;
  /// The same without the main lcore.
  [[nodiscard]] std::span<const lcore> workers() const noexcept;
  [[nodiscard]] std::size_t lcore_count() const noexcept { return lcores().size(); }
  [[nodiscard]] lcore main_lcore() const noexcept;
  /// The worker after `previous` in ascending order; without an argument the first one; no_lcore after the last one.
  /// Follows rte_get_next_lcore(i, skip_main = 1, wrap = 0).
  [[nodiscard]] lcore next_lcore(lcore previous = no_lcore) const noexcept;

  /// Runs `function` on a worker lcore.  Control; any thread of this process.  The function's result, or the exception
  /// that left it, is handed to wait().  Throws busy while an earlier function runs there, invalid_argument where the
  /// lcore is not a worker of this process.  Follows rte_eal_remote_launch.
  void launch(lcore id, std::function<int()> function);
  /// For functions without a result: 0.
  template <class F>
  requires std::is_void_v<std::invoke_result_t<F&>>
  void launch(lcore id, F function) {
    launch(id, std::function<int()>{[f = std::move(function)]() mutable {
             f();
             return 0;
           }});
  }
  /// Runs `function` on every worker, then, where asked, in the calling thread (the main lcore's), whose result is
  /// dropped.  Throws busy, having launched nothing, when any worker runs.  Follows rte_eal_mp_remote_launch.
  void launch_all(const std::function<int()>& function, main_call main = main_call::skip);

  /// Waits until the lcore's function has returned; its result; 0 where none was launched since the last wait.
  /// Rethrows what left the function.  Control; any thread but that lcore's own.  Follows rte_eal_wait_lcore.
  int wait(lcore id);
  /// Waits for all workers; the first result that is not 0, in order of lcores, else 0.  Follows rte_eal_mp_wait_lcore.
  int wait_all();
  /// Any thread.  Follows rte_eal_get_lcore_state.
  [[nodiscard]] lcore_state state(lcore id) const;

  /// The workers' ids and processors, as fork_member() and the supervisor take them.
  [[nodiscard]] std::vector<fork_options> worker_places() const;
  /// Ends the worker threads and gives their lcore ids back, so that forked members can take their places.  Throws busy
  /// while a function runs on one of them.
  std::vector<fork_options> give_up_workers();

  struct impl;

 private:
  std::unique_ptr<impl> impl_;
};

/// Thrown by eal's constructor after it has answered a question of the command line (-h): not an error.  run_main()
/// turns it into the exit code; who catches it himself should end the program with that code.
class exit_request {
 public:
  explicit exit_request(int code) noexcept : code_(code) {}
  [[nodiscard]] int code() const noexcept { return code_; }

 private:
  int code_;
};

namespace detail {
[[nodiscard]] int run_main(const std::function<int()>& body) noexcept;
}  // namespace detail

/// Calls `body`, which returns nothing or an exit code, and gives main() what to return: the code; 2 for usage errors,
/// 1 for other errors, which are printed to stderr as "PROGRAM: text"; 0 after -h.
template <class F>
[[nodiscard]] int run_main(F&& body) noexcept {
  return detail::run_main([&]() -> int {
    if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
      body();
      return 0;
    } else {
      return body();
    }
  });
}

// ---- Leaving -------------------------------------------------------------------------------------------------------

/// Whether somebody asked this process to stop.  Hot: one load.  Loops on lcores should end soon after it turns true.
[[nodiscard]] bool stop_requested() noexcept;
/// Asks this process to stop; wakes who waits in wait_for_stop() or polls stop_fd().  Any thread; signal handlers too.
void request_stop() noexcept;
/// Waits until a stop is requested, at most `timeout_ms` (negative: for ever).  True when it is.  Any thread.
bool wait_for_stop(int timeout_ms = -1) noexcept;
/// Becomes, and stays, readable once a stop is requested: for poll() beside other descriptors.  Don't read or close it.
[[nodiscard]] int stop_fd();

/// While it lives, SIGINT and SIGTERM request a stop instead of killing the process.  Blocking calls of lcore threads
/// are interrupted (EINTR).  The library installs no handlers for these signals unless asked by this.  One at a time.
class stop_on_signals {
 public:
  stop_on_signals();
  ~stop_on_signals();
  stop_on_signals(const stop_on_signals&) = delete;
  stop_on_signals& operator=(const stop_on_signals&) = delete;
};

}  // namespace mpnet
