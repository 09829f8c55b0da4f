// SPDX-License-Identifier: BSD-3-Clause
#include "eal/worker.hpp"

#include <cxxabi.h>
#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>
#include <mpnet/detail/lease.hpp>
#include <mpnet/error.hpp>

#include "eal/machine.hpp"
#include "eal/stop.hpp"
#include "mem/log.hpp"
#include "mem/membership.hpp"

namespace mpnet::eal_detail {

/// Lives on the thread's stack: pthread_exit() and cancellation unwind it, although no catch clause may hold them.
struct worker::ending {
  worker& of;
  ~ending() {
    const std::lock_guard guard{of.lock_};
    of.phase_ = phase::gone;
    of.changed_.notify_all();
  }
};

worker::worker(group& g, const lcore_place& place) : group_{g}, place_{place} {
  try {
    thread_ = std::thread{[this] { thread_main(); }};
  } catch (const std::system_error& e) {
    throw error{errc::system,
                fmt::format("lcore {}: no thread can be made: {}; raise the limits of threads and addresses "
                            "(ulimit -u, ulimit -v)",
                            place_.id, e.code().message())};
  }
  std::unique_lock guard{lock_};
  changed_.wait(guard, [&] { return phase_ != phase::starting; });
  if (phase_ != phase::gone) return;
  guard.unlock();
  thread_.join();
  if (thrown_) std::rethrow_exception(thrown_);
  throw error{errc::system, fmt::format("lcore {}: its thread ended while it started", place_.id)};
}

void worker::end() {
  ask_to_end();
  if (thread_.joinable()) thread_.join();
}

worker::~worker() {
  end();
  if (!thrown_) return;
  try {
    std::rethrow_exception(thrown_);
  } catch (const std::exception& e) {
    log_fmt(log_level::error, "EAL", "lcore {}: its function threw and nobody waited for it: {}", place_.id, e.what());
  } catch (...) {
    log_fmt(log_level::error, "EAL", "lcore {}: its function threw and nobody waited for it", place_.id);
  }
}

void worker::ask_to_end() {
  const std::lock_guard guard{lock_};
  end_ = true;
  changed_.notify_all();
}

void worker::launch(std::function<int()> function) {
  if (!function) throw error{errc::invalid_argument, fmt::format("launch on lcore {}: no function given", place_.id)};
  const std::lock_guard guard{lock_};
  if (phase_ == phase::running) {
    throw error{errc::busy, fmt::format("launch on lcore {}: it still runs an earlier function; wait({}) first",
                                        place_.id, place_.id)};
  }
  if (phase_ == phase::gone) {
    throw error{errc::peer_died, fmt::format("launch on lcore {}: an earlier function ended its thread (pthread_exit); "
                                             "return from functions instead",
                                             place_.id)};
  }
  function_ = std::move(function);
  thrown_ = nullptr;
  phase_ = phase::running;
  changed_.notify_all();
}

int worker::wait() {
  if (lcore_id() == id()) {
    throw error{errc::invalid_argument,
                fmt::format("wait for lcore {}: called on that lcore, which would wait for itself", place_.id)};
  }
  std::unique_lock guard{lock_};
  changed_.wait(guard, [&] { return phase_ != phase::running; });
  if (phase_ == phase::gone) {
    throw error{errc::peer_died,
                fmt::format("wait for lcore {}: its function ended the thread (pthread_exit); return from "
                            "functions instead",
                            place_.id)};
  }
  phase_ = phase::waiting;
  if (const std::exception_ptr thrown = std::exchange(thrown_, nullptr)) std::rethrow_exception(thrown);
  return std::exchange(result_, 0);
}

lcore_state worker::state() const {
  const std::lock_guard guard{lock_};
  switch (phase_) {
    case phase::running:
      return lcore_state::running;
    case phase::finished:
    case phase::gone:
      return lcore_state::finished;
    default:
      return lcore_state::waiting;
  }
}

void worker::enter() {
  // The kernel takes 15 characters.
  pthread_setname_np(pthread_self(),
                     fmt::format("lcore-{}-{}", place_.id < 100 ? "worker" : "wrkr", place_.id).c_str());
  pin_thread(place_.processors);
  detail::take_lease(group_, id());
  interrupt_thread_on_stop();
  log_fmt(log_level::info, "EAL", "Core {} is ready (tid={})", place_.id, gettid());
}

void worker::thread_main() {
  const ending at_end{*this};
  try {
    enter();
  } catch (const std::exception&) {
    thrown_ = std::current_exception();  // read after at_end has said so under the lock
    return;
  }
  struct leaving {
    ~leaving() {
      forget_thread();
      detail::release_lease();
    }
  } const at_leave;
  serve();
}

// UBSan takes the catch of a forced unwind, whose object is the unwinder's own, for a reference to null.
#if defined(__GNUC__) && !defined(__clang__)
__attribute__((no_sanitize("null")))
#endif
void worker::serve() {
  std::unique_lock guard{lock_};
  phase_ = phase::waiting;
  changed_.notify_all();
  while (true) {
    changed_.wait(guard, [&] { return phase_ == phase::running || end_; });
    if (phase_ != phase::running) return;
    std::function<int()> function = std::move(function_);
    guard.unlock();
    int result = 0;
    std::exception_ptr thrown;
    try {
      result = function();
    } catch (const abi::__forced_unwind&) {  // pthread_exit() or cancellation: ~ending says so
      throw;
    } catch (...) {
      thrown = std::current_exception();
    }
    function = nullptr;  // what it holds goes before anyone is told that it returned
    guard.lock();
    result_ = result;
    thrown_ = std::move(thrown);
    phase_ = phase::finished;
    changed_.notify_all();
  }
}

}  // namespace mpnet::eal_detail
