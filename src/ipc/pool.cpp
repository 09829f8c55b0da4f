// SPDX-License-Identifier: BSD-3-Clause
// The endpoint's threads: all wait in one epoll; who gets an event handles it, and what became ready to run by it, as
// long as somebody else is left to read.
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <mpnet/log.hpp>

#include <exception>
#include <new>

#include "ipc/block_signals.hpp"
#include "ipc/endpoint.hpp"
#include "ipc/handlers.hpp"

namespace mpnet::ipc {
namespace {

/// The strand that the calling thread runs a job of, while that thread holds its turn.
struct turn {
  endpoint::impl* pool = nullptr;
  std::shared_ptr<strand> held;
};
thread_local turn current_turn;

}  // namespace

void endpoint::impl::watch(int fd, std::uint64_t id, std::uint32_t events) const {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw system_error_of("watch a descriptor");
}

void endpoint::impl::unwatch(int fd) const noexcept {
  ::epoll_ctl(epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void endpoint::impl::arm(const connection& link, std::uint32_t events) const noexcept {
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag(tag_kind::link, link.id);
  ::epoll_ctl(epoll.get(), EPOLL_CTL_MOD, link.socket->get(), &event);
}

void endpoint::impl::wake(std::uint64_t count_of_threads) const noexcept {
  [[maybe_unused]] const auto n = ::write(waker.get(), &count_of_threads, sizeof count_of_threads);
}

void endpoint::impl::start_threads() {
  const std::lock_guard lock{mutex};
  for (std::size_t i = 0; i < base_threads; ++i) {
    if (!spawn() && i == 0) {
      throw error{
          errc::system,
          "start the IPC endpoint: no thread can be made; raise the limits of threads and addresses (ulimit -u, "
          "ulimit -v)"};
    }
  }
}

bool endpoint::impl::spawn() {
  for (const std::uint64_t key : std::exchange(ended, {})) {
    threads.at(key).join();
    threads.erase(key);
  }
  if (live >= max_threads) return false;
  const std::uint64_t key = ++last_thread;
  try {
    const block_signals blocked;
    // First: a thread that is there must not meet an exception, nor at its end.
    std::thread& place = threads[key];
    ended.reserve(threads.size());
    place = std::thread{[this, key] { run_thread(key); }};
  } catch (const std::exception&) {  // no thread, or no memory for one
    threads.erase(key);
    return false;
  }
  ++live;
  ++reading;
  return true;
}

void endpoint::impl::stop_threads() {
  std::unique_lock lock{mutex};
  stopping = true;
  wake(max_threads * 4);
  all_ended.wait(lock, [&] { return live == 0; });
  auto last = std::exchange(threads, {});
  lock.unlock();
  for (auto& [key, thread] : last) thread.join();
}

bool endpoint::impl::may_stop_reading() {
  return stopping || reading > 1 || spawn();
}

void endpoint::impl::make_ready(const std::shared_ptr<strand>& s, bool wake_one) {
  if (s->running || s->queued || s->jobs.empty()) return;
  ready.push_back(s);
  s->queued = true;
  if (wake_one) wake(1);
}

void endpoint::impl::run_later(std::function<void()> call) {
  auto s = std::make_shared<strand>();
  job j;
  j.call = std::move(call);
  s->jobs.push_back(std::move(j));
  make_ready(s, true);
}

void endpoint::impl::run_thread(std::uint64_t key) {
  pthread_setname_np(pthread_self(), "mpnet-ipc");
  if (options.on_thread_start) options.on_thread_start();
  auto awake_until = clock::time_point{};
  reading_turn turn;
  for (;;) {
    try {
      if (wait_awhile(awake_until, [&](bool sleep) { return look_around(turn, sleep); })) {
        awake_until = clock::now() + stay_awake;
      }
    } catch (const std::exception& fault) {
      log(log_level::error, "IPC", fault.what());  // out of memory, most likely: what it was about is lost
    }
    std::shared_ptr<connection> last;  // others may read it while a handler runs; then this thread reads on
    std::unique_lock lock{mutex};
    if (!ready.empty() || stopping || reading > max_idle_threads) {
      lock.unlock();
      last = turn.end();
      lock.lock();
    }
    run_ready(lock);
    if ((stopping && ready.empty()) || reading > max_idle_threads) {
      --reading;
      --live;
      ended.push_back(key);
      if (live == 0) all_ended.notify_all();
      return;
    }
    if (last && last->owner && ready.empty()) turn = {*this, std::move(last), reading_turn::reason::read_on};
  }
}

endpoint::impl::look endpoint::impl::read_turn(reading_turn& turn) {
  const look found = read_link(turn.link());
  if (found == look::ended) turn.end();  // or its end would be found again and again
  return found;
}

bool endpoint::impl::look_around(reading_turn& turn, bool sleep) {
  look found = look::nothing;
  if (sleep) {
    turn.end();
  } else if (turn) {
    found = read_turn(turn);
    if (found == look::call) return true;
  }
  epoll_event event{};
  if (::epoll_wait(epoll.get(), &event, 1, sleep ? -1 : 0) != 1) return found != look::nothing;
  const std::uint64_t id = event.data.u64 & ((1ULL << 56) - 1);
  switch (static_cast<tag_kind>(event.data.u64 >> 56)) {
    case tag_kind::listening:
      accept_links();
      break;
    case tag_kind::link:
      turn.end();
      turn = turn_of(id);
      if (turn) static_cast<void>(read_turn(turn));
      break;
    case tag_kind::pid:
      pid_ended(process_id{static_cast<std::uint16_t>(id)});
      break;
    case tag_kind::timer:
      timer_fired();
      break;
    case tag_kind::waker: {
      std::uint64_t token = 0;
      [[maybe_unused]] const auto n = ::read(waker.get(), &token, sizeof token);
      break;
    }
  }
  return true;
}

void endpoint::impl::run_ready(std::unique_lock<std::mutex>& lock) {
  while (!ready.empty() && may_stop_reading()) {
    const auto s = std::move(ready.front());
    ready.pop_front();
    s->queued = false;
    if (s->running || s->jobs.empty()) continue;
    --reading;
    try {
      run_strand(lock, s);
    } catch (const std::bad_alloc&) {  // of making it ready again: the next message for it does
      current_turn = {};
    }
    ++reading;
  }
}

void endpoint::impl::run_strand(std::unique_lock<std::mutex>& lock, const std::shared_ptr<strand>& s) {
  constexpr int fair_share = 16;  // then other senders have their turn
  s->running = true;
  current_turn = {this, s};
  for (int n = 0; n < fair_share && current_turn.held && !s->jobs.empty(); ++n) {
    job j = std::move(s->jobs.front());
    s->jobs.pop_front();
    s->bytes -= j.in.data.size();
    s->fds -= j.in.fds.size();
    lock.unlock();
    execute(j);
    j = {};
    lock.lock();
  }
  if (current_turn.held) {
    s->running = false;
    make_ready(s, false);
  }
  current_turn = {};
}

void endpoint::impl::leave_strand() {
  if (current_turn.pool != this || !current_turn.held) return;
  const std::lock_guard lock{mutex};
  const auto s = std::exchange(current_turn.held, nullptr);
  s->running = false;
  make_ready(s, true);
}

void endpoint::impl::execute(job& j) {
  reply_token token{std::move(j.route)};
  std::string fault;
  try {
    if (j.call) {
      j.call();
      return;
    }
    const handler_call call{j.in.name};
    if (!call) {
      if (token) {
        token.answer_no_handler();
      } else {
        count(counts->dropped_no_handler);
      }
      return;
    }
    const std::string name = j.in.name;
    try {
      call.run(j.in, token);
      return;
    } catch (const closing_error& e) {
      token.fail(e.what());
      throw;
    } catch (const std::exception& e) {
      fault = e.what();
    } catch (...) {
      fault = "something that is no std::exception";
    }
    log(log_level::warning, "IPC", "handler '" + name + "' threw: " + fault);
    token.fail(fault);
  } catch (const closing_error& e) {
    log(log_level::debug, "IPC", std::string{"callback of a process that leaves: "} + e.what());
  } catch (const std::exception& e) {
    log(log_level::error, "IPC", std::string{"callback threw: "} + e.what());
  } catch (...) {
    log(log_level::error, "IPC", "callback threw something that is no std::exception");
  }
}

}  // namespace mpnet::ipc
