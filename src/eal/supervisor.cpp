// SPDX-License-Identifier: BSD-3-Clause
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <mpnet/cycles.hpp>
#include <mpnet/detail/unique_fd.hpp>
#include <mpnet/eal.hpp>
#include <mpnet/error.hpp>
#include <mpnet/process.hpp>
#include <mpnet/supervisor.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "mem/log.hpp"
#include "mem/system.hpp"

namespace mpnet {

namespace {

std::uint64_t ns(std::chrono::milliseconds time) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds{time}.count());
}

int ms_until(std::uint64_t when_ns) {
  const std::uint64_t now = detail::monotonic_ns();
  return when_ns <= now ? 0 : static_cast<int>((when_ns - now + 999'999) / 1'000'000);
}

ring<worker_command> command_ring(group& g, const std::string& name) {
  // Left over by an earlier supervisor of that name: orders to workers that are gone.
  if (auto old = ring<worker_command>::lookup(g, name)) ring<worker_command>::destroy(g, *old);
  return ring<worker_command>::create(g, name, {.capacity = 7});
}

detail::unique_fd order_event() {
  detail::unique_fd fd{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  if (!fd)
    throw mem::system_error("make an eventfd for a worker's orders", errno,
                            "raise the limit of open files (ulimit -n)");
  return fd;
}

std::string fate(int status) {
  if (WIFSIGNALED(status)) {
    return fmt::format("was killed by signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  }
  return fmt::format("ended with exit code {}", WEXITSTATUS(status));
}

}  // namespace

bool worker_context::keep_running() noexcept {
  worker_command order;
  while (!stopped_ && orders_.dequeue(order)) {
    if (order.what != worker_command::stop) continue;
    stopped_ = true;
    static_cast<void>(answers_.enqueue(order));
  }
  return !stopped_ && !stop_requested();
}

struct supervisor::worker {
  worker_spec spec;
  ring<worker_command> orders;
  ring<worker_command> answers;
  detail::unique_fd order_event;  // wakes a worker that sleeps
  std::vector<std::pair<std::size_t, dependent_policy>> depends_on{};
  std::vector<worker_resource> resources{};
  child_process child{};
  bool wanted = true;  // false: finished
  std::uint64_t started_ns = 0;
  std::uint64_t due_ns = 0;   // when it may start
  unsigned early_deaths = 0;  // in a row
};

supervisor::supervisor(group& g, supervisor_options options) : group_(g), options_(std::move(options)) {}

supervisor::~supervisor() {
  std::vector<std::size_t> running;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    if (workers_[i]->child.running()) running.push_back(i);
  }
  stop(running);
  for (const auto& w : workers_) {
    try {
      ring<worker_command>::destroy(group_, w->orders);
      ring<worker_command>::destroy(group_, w->answers);
    } catch (const error& e) {
      log_fmt(log_level::warning, "EAL", "Supervisor: {}", e.what());
    }
  }
}

worker_id supervisor::add(worker_spec spec) {
  for (const auto& w : workers_) {
    if (w->spec.name == spec.name) {
      throw error{errc::invalid_argument,
                  fmt::format("add worker '{}': the name is taken; give it another", spec.name)};
    }
  }
  const std::string orders = fmt::format("{}_ORDERS", spec.name);
  const std::string answers = fmt::format("{}_ANSWERS", spec.name);
  workers_.push_back(std::unique_ptr<worker>(
      new worker{std::move(spec), command_ring(group_, orders), command_ring(group_, answers), order_event()}));
  return worker_id{static_cast<std::uint32_t>(workers_.size() - 1)};
}

void supervisor::depend(worker_id who, worker_id on, dependent_policy policy) {
  workers_.at(static_cast<std::size_t>(who))->depends_on.emplace_back(static_cast<std::size_t>(on), policy);
}

void supervisor::keep(worker_id who, worker_resource resource) {
  workers_.at(static_cast<std::size_t>(who))->resources.push_back(std::move(resource));
}

int supervisor::pid_of(worker_id who) const {
  return workers_.at(static_cast<std::size_t>(who))->child.pid();
}

void supervisor::tell(worker_event_kind kind, std::size_t index, const std::string& text) {
  const worker_event event{kind, worker_id{static_cast<std::uint32_t>(index)}, text};
  if (options_.on_event) {
    options_.on_event(event);
  } else {
    log_fmt(log_level::notice, "EAL", "Supervisor: {}", text);
  }
}

void supervisor::start(std::size_t index) {
  worker& w = *workers_[index];
  worker_command stale;
  while (w.orders.dequeue(stale) || w.answers.dequeue(stale)) {
  }
  ::eventfd_t count = 0;
  ::eventfd_read(w.order_event.get(), &count);  // fails where nothing was ordered
  w.child = fork_member(group_, {.name = w.spec.name, .id = w.spec.id, .processors = w.spec.processors}, [&w] {
    worker_context context{w.orders, w.answers, w.order_event.get()};
    return w.spec.run(context);
  });
  w.started_ns = detail::monotonic_ns();
  tell(worker_event_kind::started, index, fmt::format("{} started (pid {})", w.spec.name, w.child.pid()));
}

void supervisor::start_due() {
  const std::uint64_t now = detail::monotonic_ns();
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    const worker& w = *workers_[i];
    if (w.wanted && !w.child.running() && w.due_ns <= now) start(i);
  }
}

void supervisor::stop(const std::vector<std::size_t>& whom) {
  for (const std::size_t i : whom) {
    static_cast<void>(workers_[i]->orders.enqueue({worker_command::stop}));
    ::eventfd_write(workers_[i]->order_event.get(), 1);
  }
  const std::uint64_t answer_due = detail::monotonic_ns() + ns(options_.stop_patience);
  for (const std::size_t i : whom) {
    worker& w = *workers_[i];
    const int pid = w.child.pid();
    bool ended = w.child.wait(ms_until(answer_due));
    worker_command answer;
    const bool answered = w.answers.dequeue(answer);
    if (!ended && answered) ended = w.child.wait(static_cast<int>(options_.finish_patience.count()));
    if (ended) {
      tell(worker_event_kind::stopped, i, fmt::format("{} (pid {}) stopped as asked", w.spec.name, pid));
      continue;
    }
    w.child.kill(SIGKILL);
    w.child.wait(-1);
    tell(worker_event_kind::killed, i,
         answered ? fmt::format("{} (pid {}) answered STOP, had not ended {} ms later, and was killed", w.spec.name,
                                pid, options_.finish_patience.count())
                  : fmt::format("{} (pid {}) did not answer STOP within {} ms and was killed", w.spec.name, pid,
                                options_.stop_patience.count()));
  }
}

std::vector<std::size_t> supervisor::restarted_with(std::size_t index) const {
  std::vector<std::size_t> found{index};
  for (std::size_t at = 0; at < found.size(); ++at) {  // grows as dependents of dependents are found
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      const auto& on = workers_[i]->depends_on;
      const bool follows = std::any_of(on.begin(), on.end(), [&](const auto& d) {
        return d.first == found[at] && d.second == dependent_policy::restart;
      });
      if (follows && std::find(found.begin(), found.end(), i) == found.end()) found.push_back(i);
    }
  }
  return found;
}

bool supervisor::recreate(const std::vector<std::size_t>& whose) {
  for (const std::size_t i : whose) {
    for (const worker_resource& r : workers_[i]->resources) {
      try {
        r.recreate();
      } catch (const std::exception& e) {
        log_fmt(log_level::error, "EAL", "Supervisor: cannot recreate '{}' of {}: {}; stopping all workers", r.name,
                workers_[i]->spec.name, e.what());
        return false;
      }
    }
  }
  return true;
}

void supervisor::bury(std::size_t index) {
  worker& w = *workers_[index];
  const int status = w.child.wait_status();
  const std::uint64_t lived_ns = detail::monotonic_ns() - w.started_ns;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    w.wanted = false;
    tell(worker_event_kind::finished, index, fmt::format("{} finished", w.spec.name));
    return;
  }
  tell(worker_event_kind::died, index, fmt::format("{} {}", w.spec.name, fate(status)));
  if (stop_requested()) return;
  std::vector<std::size_t> all = restarted_with(index);
  std::vector<std::size_t> dependents;
  std::copy_if(all.begin() + 1, all.end(), std::back_inserter(dependents),
               [&](std::size_t i) { return workers_[i]->child.running(); });
  stop(dependents);
  recover_dead(group_);
  if (!recreate(all)) {
    failed_ = true;
    return;
  }
  // The first early death may be an accident; from the second on the pause doubles.
  w.early_deaths = lived_ns >= ns(options_.grown_up) ? 0 : w.early_deaths + 1;
  const std::chrono::milliseconds pause =
      w.early_deaths < 2
          ? std::chrono::milliseconds{0}
          : std::min(options_.first_pause * (1U << std::min(w.early_deaths - 2, 16U)), options_.longest_pause);
  const std::uint64_t due = detail::monotonic_ns() + ns(pause);
  for (const std::size_t i : all) workers_[i]->due_ns = due;
  ++restarts_;
  if (pause.count() != 0) {
    tell(worker_event_kind::delayed, index,
         fmt::format("{} died {} ms after its start, {} times in a row; it starts again in {} ms", w.spec.name,
                     lived_ns / 1'000'000, w.early_deaths, pause.count()));
  }
}

void supervisor::check_deaths() {
  for (std::size_t i = 0; i < workers_.size() && !failed_; ++i) {
    if (workers_[i]->child.running() && workers_[i]->child.wait(0)) bury(i);
  }
}

int supervisor::next_timeout_ms() const {
  std::uint64_t next = ~0ULL;
  for (const auto& w : workers_) {
    if (w->wanted && !w->child.running()) next = std::min(next, w->due_ns);
  }
  if (next_tick_ns_ != 0) next = std::min(next, next_tick_ns_);
  return next == ~0ULL ? -1 : ms_until(next);
}

int supervisor::run() {
  next_tick_ns_ = options_.tick.count() == 0 ? 0 : detail::monotonic_ns() + ns(options_.tick);
  while (!stop_requested() && !failed_) {
    start_due();
    std::vector<pollfd> fds{{stop_fd(), POLLIN, 0}};
    for (const auto& w : workers_) {
      if (w->child.running()) fds.push_back({w->child.pidfd(), POLLIN, 0});
    }
    const bool anything = std::any_of(workers_.begin(), workers_.end(), [](const auto& w) { return w->wanted; });
    if (!anything) break;
    ::poll(fds.data(), fds.size(), next_timeout_ms());
    check_deaths();
    if (next_tick_ns_ != 0 && detail::monotonic_ns() >= next_tick_ns_) {
      next_tick_ns_ += ns(options_.tick);
      if (options_.on_tick) options_.on_tick();
    }
  }
  std::vector<std::size_t> running;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    if (workers_[i]->child.running()) running.push_back(i);
  }
  stop(running);
  return failed_ ? 1 : 0;
}

}  // namespace mpnet
