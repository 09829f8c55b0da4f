// SPDX-License-Identifier: BSD-3-Clause
// The event loop's inside: one epoll with a timer for the alarms and a doorbell for what is posted.  Callbacks run
// without the lock; who takes one away waits until it has returned, unless it is the loop's own thread.
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <mpnet/error.hpp>
#include <mpnet/event.hpp>
#include <mpnet/log.hpp>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "ipc/block_signals.hpp"
#include "ipc/fork_guard.hpp"
#include "ipc/socket.hpp"

namespace mpnet {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::uint64_t timer_tag = 1;  // ids of watches start above
constexpr std::uint64_t doorbell_tag = 2;
constexpr std::uint64_t first_id = 16;

void complain(const char* what) noexcept {
  try {
    log(log_level::error, "EVENT", std::string{"callback threw: "} + what);
  } catch (const std::bad_alloc&) {
    // No memory left, which is what the callback threw for, too.
  }
}

}  // namespace

struct event_loop::impl {
  struct watch {
    int fd = -1;
    std::shared_ptr<std::function<void(std::uint32_t)>> callback;
  };
  struct alarm {
    clock::time_point due;
    std::function<void()> callback;
  };
  struct subscriber {
    group_event_kind kind{};
    std::shared_ptr<std::function<void(const group_event&)>> callback;
  };

  void run(const std::function<void()>& on_start);
  void handle(const epoll_event& event);
  void run_alarms();
  void run_posted();
  void tell(const group_event& event);
  void arm();  // `mutex` is held
  void ring() const noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(doorbell.get(), &one, sizeof one);
  }
  /// Calls `callback` as `id`, so that others can wait for its end.
  template <class F>
  void call(std::uint64_t id, F&& callback);
  /// Waits, with `lock` held at both ends, until `id` does not run.
  void wait_for(std::unique_lock<std::mutex>& lock, std::uint64_t id) {
    if (std::this_thread::get_id() != thread.get_id()) idle.wait(lock, [&] { return running != id; });
  }

  ipc::tracked_fd epoll, timer, doorbell;
  std::mutex mutex;
  std::condition_variable idle;
  std::map<std::uint64_t, watch> watches;
  std::map<std::uint64_t, alarm> alarms;
  std::map<std::uint64_t, subscriber> subscribers;
  std::deque<std::function<void()>> posted;
  std::uint64_t last_id = first_id;
  std::uint64_t running = 0;
  bool stopping = false;
  const std::uint32_t generation = ipc::fork_generation();
  std::thread thread;
};

template <class F>
void event_loop::impl::call(std::uint64_t id, F&& callback) {
  {
    const std::lock_guard lock{mutex};
    running = id;
  }
  try {
    callback();
  } catch (const std::exception& fault) {
    complain(fault.what());
  } catch (...) {
    complain("something that is no std::exception");
  }
  const std::lock_guard lock{mutex};
  running = 0;
  idle.notify_all();
}

void event_loop::impl::run(const std::function<void()>& on_start) {
  pthread_setname_np(pthread_self(), "mpnet-event");
  if (on_start) on_start();
  for (;;) {
    std::array<epoll_event, 16> events{};
    const int n = ::epoll_wait(epoll.get(), events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) handle(events[static_cast<std::size_t>(i)]);
    run_alarms();
    run_posted();
    const std::lock_guard lock{mutex};
    if (stopping && posted.empty()) return;
  }
}

void event_loop::impl::handle(const epoll_event& event) {
  std::uint64_t count = 0;
  if (event.data.u64 == timer_tag || event.data.u64 == doorbell_tag) {
    const int fd = event.data.u64 == timer_tag ? timer.get() : doorbell.get();
    [[maybe_unused]] const auto n = ::read(fd, &count, sizeof count);
    return;
  }
  std::shared_ptr<std::function<void(std::uint32_t)>> callback;
  {
    const std::lock_guard lock{mutex};
    const auto found = watches.find(event.data.u64);
    if (found == watches.end()) return;  // taken away after the kernel had reported it
    callback = found->second.callback;
    running = event.data.u64;
  }
  call(event.data.u64, [&] { (*callback)(event.events); });
}

void event_loop::impl::run_alarms() {
  const auto now = clock::now();  // alarms set by alarms wait for the next round
  for (;;) {
    std::uint64_t id = 0;
    std::function<void()> callback;
    {
      const std::lock_guard lock{mutex};
      auto next = alarms.end();
      for (auto a = alarms.begin(); a != alarms.end(); ++a) {
        if (a->second.due <= now && (next == alarms.end() || a->second.due < next->second.due)) next = a;
      }
      if (next == alarms.end()) return arm();
      id = running = next->first;
      callback = std::move(next->second.callback);
      alarms.erase(next);
    }
    call(id, callback);
  }
}

void event_loop::impl::run_posted() {
  // One by one, without memory for a batch: where there is none left, the end of the loop must still come.
  std::unique_lock lock{mutex};
  for (std::size_t left = posted.size(); left > 0; --left) {  // what these post waits for the next round
    const std::function<void()> function = std::move(posted.front());
    posted.pop_front();
    lock.unlock();
    call(doorbell_tag, function);
    lock.lock();
  }
}

void event_loop::impl::tell(const group_event& event) {
  std::vector<std::uint64_t> ids;
  {
    const std::lock_guard lock{mutex};
    for (const auto& [id, s] : subscribers) {
      if (s.kind == event.kind) ids.push_back(id);
    }
  }
  for (const std::uint64_t id : ids) {
    std::shared_ptr<std::function<void(const group_event&)>> callback;
    {
      const std::lock_guard lock{mutex};
      const auto found = subscribers.find(id);
      if (found == subscribers.end()) continue;
      callback = found->second.callback;
      running = id;
    }
    call(id, [&] { (*callback)(event); });
  }
}

void event_loop::impl::arm() {
  itimerspec when{};
  if (!alarms.empty()) {
    auto due = alarms.begin()->second.due;
    for (const auto& [id, a] : alarms) due = std::min(due, a.due);
    const auto left = std::max<clock::duration>(due - clock::now(), std::chrono::nanoseconds{1});
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
    when.it_value = {ns / 1'000'000'000, ns % 1'000'000'000};
  }
  ::timerfd_settime(timer.get(), 0, &when, nullptr);
}

event_loop::event_loop(std::function<void()> on_thread_start) : impl_(std::make_unique<impl>()) {
  impl& i = *impl_;
  i.epoll = ipc::tracked_fd{::epoll_create1(EPOLL_CLOEXEC)};
  i.timer = ipc::tracked_fd{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
  i.doorbell = ipc::tracked_fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (!i.epoll || !i.timer || !i.doorbell) throw ipc::system_error_of("start the event loop");
  for (const auto& [fd, id] : {std::pair{i.timer.get(), timer_tag}, std::pair{i.doorbell.get(), doorbell_tag}}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = id;
    if (::epoll_ctl(i.epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw ipc::system_error_of("start the event loop");
  }
  const ipc::block_signals blocked;
  const std::lock_guard lock{i.mutex};  // wait_for() reads `thread`
  try {
    i.thread = std::thread{[&i, on_start = std::move(on_thread_start)] {
      { const std::lock_guard started{i.mutex}; }
      i.run(on_start);
    }};
  } catch (const std::system_error& e) {
    throw error{errc::system, std::string{"start the event loop: no thread can be made: "} + e.code().message() +
                                  "; raise the limits of threads and addresses (ulimit -u, ulimit -v)"};
  }
}

event_loop::~event_loop() {
  if (impl_->generation != ipc::fork_generation()) {
    static_cast<void>(impl_.release());  // the child of a fork: the thread is not there
    return;
  }
  {
    const std::lock_guard lock{impl_->mutex};
    impl_->stopping = true;
  }
  impl_->ring();
  impl_->thread.join();
}

watch_id event_loop::register_fd(int fd, std::function<void(std::uint32_t)> callback, trigger how) {
  const std::lock_guard lock{impl_->mutex};
  const std::uint64_t id = ++impl_->last_id;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLPRI | (how == trigger::edge ? static_cast<std::uint32_t>(EPOLLET) : 0U);
  event.data.u64 = id;
  // First what needs memory: a descriptor that the kernel reports and nobody knows would be reported for ever.
  impl_->watches[id] = {fd, std::make_shared<std::function<void(std::uint32_t)>>(std::move(callback))};
  if (::epoll_ctl(impl_->epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    const int why = errno;
    impl_->watches.erase(id);
    errno = why;
    if (errno == EEXIST) {
      throw error{errc::exists, "watch descriptor " + std::to_string(fd) + ": it is watched already"};
    }
    throw ipc::system_error_of("watch descriptor " + std::to_string(fd));
  }
  return watch_id{id};
}

bool event_loop::unregister_fd(watch_id which) {
  const auto id = static_cast<std::uint64_t>(which);
  std::unique_lock lock{impl_->mutex};
  const auto found = impl_->watches.find(id);
  const bool known = found != impl_->watches.end();
  if (known) {
    ::epoll_ctl(impl_->epoll.get(), EPOLL_CTL_DEL, found->second.fd, nullptr);
    impl_->watches.erase(found);
  }
  impl_->wait_for(lock, id);
  return known;
}

alarm_id event_loop::alarm(std::chrono::microseconds after, std::function<void()> callback) {
  const std::lock_guard lock{impl_->mutex};
  const std::uint64_t id = ++impl_->last_id;
  impl_->alarms[id] = {clock::now() + after, std::move(callback)};
  impl_->arm();
  return alarm_id{id};
}

bool event_loop::cancel_alarm(alarm_id which) {
  const auto id = static_cast<std::uint64_t>(which);
  std::unique_lock lock{impl_->mutex};
  const bool known = impl_->alarms.erase(id) != 0;
  impl_->wait_for(lock, id);
  return known;
}

void event_loop::post(std::function<void()> function) {
  {
    const std::lock_guard lock{impl_->mutex};
    impl_->posted.push_back(std::move(function));
  }
  impl_->ring();
}

subscription_id event_loop::subscribe(group_event_kind kind, std::function<void(const group_event&)> callback) {
  const std::lock_guard lock{impl_->mutex};
  const std::uint64_t id = ++impl_->last_id;
  impl_->subscribers[id] = {kind, std::make_shared<std::function<void(const group_event&)>>(std::move(callback))};
  return subscription_id{id};
}

bool event_loop::unsubscribe(subscription_id which) {
  const auto id = static_cast<std::uint64_t>(which);
  std::unique_lock lock{impl_->mutex};
  const bool known = impl_->subscribers.erase(id) != 0;
  impl_->wait_for(lock, id);
  return known;
}

void event_loop::publish(group_event event) {
  post([self = impl_.get(), event = std::move(event)] { self->tell(event); });
}

bool event_loop::in_loop() const noexcept {
  return std::this_thread::get_id() == impl_->thread.get_id();
}

}  // namespace mpnet
