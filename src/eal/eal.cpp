// SPDX-License-Identifier: BSD-3-Clause
// The composition root: what is started, in which order, and taken down in the reverse one.
//
//   options → processors → group (role, region) → main lcore → services (messages, events, recovery) → ports → workers
//
// Everything is a member of eal::impl in that order, so that a throw half-way leaves nothing behind.
#include <errno.h>
#include <fmt/format.h>
#include <unistd.h>
#include <mpnet/args.hpp>
#include <mpnet/eal.hpp>
#include <mpnet/error.hpp>
#include <mpnet/pool.hpp>
#include <mpnet/port.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>

#include "eal/machine.hpp"
#include "eal/options.hpp"
#include "eal/services.hpp"
#include "eal/stop.hpp"
#include "eal/worker.hpp"
#include "mem/log.hpp"
#include "mem/membership.hpp"
#include "nic/pci_probe.hpp"
#include "nic/port_table.hpp"
#include "ring/ring_repair.hpp"

namespace mpnet {
namespace {

using namespace eal_detail;

constinit std::atomic<bool> one_lives{false};

/// One eal a process at a time.
class only_one {
 public:
  only_one() {
    // Relaxed: it guards against a mistake, not data.
    if (one_lives.exchange(true, std::memory_order_relaxed))
      throw error{errc::exists, "start EAL: it runs in this process already; make one eal and pass it on"};
  }
  ~only_one() { one_lives.store(false, std::memory_order_relaxed); }  // relaxed: as above
  only_one(const only_one&) = delete;
  only_one& operator=(const only_one&) = delete;
};

/// The calling thread as the main lcore.
class main_thread {
 public:
  main_thread(group& g, const lcore_place& place) : before_{thread_affinity()} {
    pin_thread(place.processors);
    try {
      detail::take_lease(g, lcore{static_cast<std::uint16_t>(place.id)});
    } catch (...) {
      set_thread_affinity(before_);
      throw;
    }
    log_fmt(log_level::info, "EAL", "Main core {} is ready (tid={})", place.id, gettid());
  }
  ~main_thread() {
    detail::release_lease();
    sched_setaffinity(0, sizeof before_, &before_);  // fails only where its processors went offline
  }
  /// What the process could use before this thread was pinned.
  [[nodiscard]] const cpu_set_t& usable() const noexcept { return before_; }
  main_thread(const main_thread&) = delete;
  main_thread& operator=(const main_thread&) = delete;

 private:
  cpu_set_t before_;
};

parsed_options read_options(const std::vector<std::string>& arguments, const std::string& program) {
  parsed_options options = parse_options(arguments);
  if (options.show_help) {
    const std::string text = help_text(program);
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
    throw exit_request{0};
  }
  for (const auto& [glob, level] : options.log_levels) set_log_level(glob, level);
  if (options.show_version) log(log_level::notice, "EAL", "mpnet version: '" MPNET_VERSION "'");
  return options;
}

std::vector<lcore_place> find_lcores(const parsed_options& options) {
  const machine m = read_machine();
  std::vector<lcore_place> places = place_lcores(options, m);
  log_fmt(log_level::info, "EAL", "coremask set to {}", format_mask(places));
  for (const unsigned p : m.online)
    log_fmt(log_level::info, "EAL", "Detected lcore {} on socket {}", p, static_cast<int>(socket_of_processor(p)));
  return places;
}

/// What this process can repair and where it gets memory that it cannot open: before the group is entered.
group_options prepared(const group_options& options) {
  detail::register_ring_kind();
  detail::register_pool_kind();
  nic::register_port_kind();
  ipc::fetch_memory_from_members();
  return options;
}

/// The ports of the command line.  Members that attach find them in the port table.
void make_ports(group& g, const parsed_options& options) {
  if (!g.is_primary()) {
    nic::join_pci(g);
    return;
  }
  if (!options.no_pci) nic::probe_pci(g, options.allowed, options.blocked);
  for (const std::string& text : options.vdevs) {
    const port made = create_vdev(g, text);
    log_fmt(log_level::info, "EAL", "Port {}: {}", static_cast<unsigned>(made.id()), text);
  }
}

std::vector<std::string> arguments_of(int argc, char** argv) {
  return argc > 1 ? std::vector<std::string>(argv + 1, argv + argc) : std::vector<std::string>{};
}

}  // namespace

struct eal::impl {
  explicit impl(std::vector<std::string> arguments)
      : program{program_invocation_short_name},
        options{read_options(arguments, program)},
        places{find_lcores(options)},
        main{options.main_lcore.value_or(places.front().id)},
        members{prepared(options.group)},
        main_lcore_thread{members, place_of(main)},
        around{members, main_lcore_thread.usable(), places} {
    make_ports(members, options);
    for (const lcore_place& place : places) {
      ids.push_back(lcore{static_cast<std::uint16_t>(place.id)});
      if (place.id == main) continue;
      workers.push_back(std::make_unique<worker>(members, place));
      worker_ids.push_back(ids.back());
    }
  }

  const lcore_place& place_of(unsigned id) const {
    return *std::find_if(places.begin(), places.end(), [&](const auto& p) { return p.id == id; });
  }

  worker& worker_of(lcore id, const char* what) const {
    require_own_process(what);
    for (const auto& w : workers)
      if (w->id() == id) return *w;
    if (id == no_lcore) {
      throw error{errc::invalid_argument,
                  fmt::format("{}: this process has no such lcore; start it with more lcores, as in "
                              "-l 0-1, or let them share a processor: --lcores '(0-1)@0'",
                              what)};
    }
    throw error{errc::invalid_argument,
                fmt::format("{} on lcore {}: not a worker lcore of this process (they are {}); name one of those", what,
                            static_cast<unsigned>(id), worker_list())};
  }

  std::string worker_list() const {
    std::vector<unsigned> numbers;
    for (const lcore id : worker_ids) numbers.push_back(static_cast<unsigned>(id));
    return numbers.empty() ? "none" : format_list(numbers);
  }

  void require_own_process(const char* what) const {
    if (getpid() == pid) return;
    throw error{
        errc::invalid_argument,
        fmt::format("{}: this process is a fork of the one that started EAL (pid {}), and has none of its threads; "
                    "give it work of its own with fork_member(), or exec a program that starts EAL",
                    what, pid)};
  }

  const pid_t pid = getpid();
  const only_one only{};
  const std::string program;
  const parsed_options options;
  const std::vector<lcore_place> places;
  const unsigned main;
  group members;
  main_thread main_lcore_thread;
  services around;
  std::vector<lcore> ids;
  std::vector<lcore> worker_ids;
  std::vector<std::unique_ptr<worker>> workers;
  std::mutex launch_lock;  // makes launch_all() all or nothing
};

eal::eal(int argc, char** argv) : eal(arguments_of(argc, argv)) {}

eal::eal(std::vector<std::string> arguments) : impl_{std::make_unique<impl>(std::move(arguments))} {}

eal::~eal() {
  if (getpid() != impl_->pid) {
    // A fork's child: threads, locks and files belong to the parent, and must outlive this object untouched.
    static_cast<void>(impl_.release());
    return;
  }
  const bool asked_before = stop_requested();
  request_stop();
  for (const auto& w : impl_->workers) {
    if (w->state() == lcore_state::running) {
      log_fmt(log_level::info, "EAL", "Waiting for the function on lcore {} to return", static_cast<unsigned>(w->id()));
    }
    w->ask_to_end();
  }
  // Their functions may use this object until they have returned, and reset() empties it first.
  for (const auto& w : impl_->workers) w->end();
  impl_.reset();
  if (!asked_before) clear_stop();
}

std::span<const std::string> eal::args() const noexcept {
  return impl_->options.application;
}
const std::string& eal::program() const noexcept {
  return impl_->program;
}
event_loop& eal::events() const {
  return services::current().events();
}
ipc::endpoint& eal::messages() const {
  return services::current().messages();
}
group& eal::as_group() const noexcept {
  return impl_->members;
}
std::span<const lcore> eal::lcores() const noexcept {
  return impl_->ids;
}
std::span<const lcore> eal::workers() const noexcept {
  return impl_->worker_ids;
}
lcore eal::main_lcore() const noexcept {
  return lcore{static_cast<std::uint16_t>(impl_->main)};
}

lcore eal::next_lcore(lcore previous) const noexcept {
  for (const lcore id : impl_->worker_ids)
    if (previous == no_lcore || id > previous) return id;
  return no_lcore;
}

void eal::launch(lcore id, std::function<int()> function) {
  const std::lock_guard guard{impl_->launch_lock};
  impl_->worker_of(id, "launch").launch(std::move(function));
}

void eal::launch_all(const std::function<int()>& function, main_call main) {
  impl_->require_own_process("launch");
  std::unique_lock guard{impl_->launch_lock};
  for (const auto& w : impl_->workers) {
    if (w->state() == lcore_state::running) {
      throw error{errc::busy,
                  fmt::format("launch on all lcores: lcore {} still runs an earlier function; wait({}) first",
                              static_cast<unsigned>(w->id()), static_cast<unsigned>(w->id()))};
    }
  }
  for (const auto& w : impl_->workers) w->launch(function);
  guard.unlock();
  if (main == main_call::call) function();
}

std::vector<fork_options> eal::worker_places() const {
  std::vector<fork_options> found;
  for (const lcore id : impl_->worker_ids) {
    found.push_back({.name = {}, .id = id, .processors = impl_->place_of(static_cast<unsigned>(id)).processors});
  }
  return found;
}

std::vector<fork_options> eal::give_up_workers() {
  impl_->require_own_process("give up workers");
  const std::lock_guard guard{impl_->launch_lock};
  for (const auto& w : impl_->workers) {
    if (w->state() != lcore_state::running) continue;
    throw error{errc::busy, fmt::format("give up workers: lcore {} runs a function; wait for it first",
                                        static_cast<unsigned>(w->id()))};
  }
  std::vector<fork_options> places = worker_places();
  impl_->workers.clear();
  impl_->worker_ids.clear();
  return places;
}

int eal::wait(lcore id) {
  return impl_->worker_of(id, "wait").wait();
}

int eal::wait_all() {
  impl_->require_own_process("wait");
  int first = 0;
  std::exception_ptr thrown;
  for (const auto& w : impl_->workers) {
    try {
      const int result = w->wait();
      if (first == 0) first = result;
    } catch (...) {
      if (!thrown) thrown = std::current_exception();
    }
  }
  if (thrown) std::rethrow_exception(thrown);
  return first;
}

lcore_state eal::state(lcore id) const {
  if (id == main_lcore()) return lcore_state::running;
  return impl_->worker_of(id, "state").state();
}

namespace detail {

int run_main(const std::function<int()>& body) noexcept {
  const auto complain = [](const char* text) noexcept {
    std::fflush(stdout);
    std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, text);
  };
  try {
    return body();
  } catch (const exit_request& e) {
    return e.code();
  } catch (const error& e) {
    complain(e.what());
    return e.exit_code();
  } catch (const std::exception& e) {
    complain(e.what());
    return 1;
  }
}

}  // namespace detail
}  // namespace mpnet
