// SPDX-License-Identifier: BSD-3-Clause
// A worker lcore: a pinned thread that runs one function after the other.  Sleeps on a condition variable in between.
// Control path, any thread of the process.
#pragma once

#include <mpnet/eal.hpp>

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "eal/options.hpp"

namespace mpnet::eal_detail {

class worker {
 public:
  /// Starts the thread, which pins itself, takes the lease of its lcore, and says that it is ready.  Throws what the
  /// thread met; no thread is left then.
  worker(group& g, const lcore_place& place);
  /// Waits until the function has returned, then ends the thread.  Reports an exception that nobody fetched.
  ~worker();
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  [[nodiscard]] lcore id() const noexcept { return lcore{static_cast<std::uint16_t>(place_.id)}; }
  void launch(std::function<int()> function);
  int wait();
  [[nodiscard]] lcore_state state() const;
  /// Ends the thread once it is idle; returns at once.
  void ask_to_end();
  /// The same, and waits until the thread has ended.
  void end();

 private:
  enum class phase { starting, waiting, running, finished, gone };
  struct ending;  // tells of a thread that left its function by pthread_exit

  void thread_main();
  void enter();
  void serve();

  group& group_;
  const lcore_place place_;
  mutable std::mutex lock_;
  std::condition_variable changed_;
  phase phase_ = phase::starting;
  bool end_ = false;
  std::function<int()> function_;
  int result_ = 0;
  std::exception_ptr thrown_;  // what left the function, or what kept the thread from starting
  std::thread thread_;
};

}  // namespace mpnet::eal_detail
