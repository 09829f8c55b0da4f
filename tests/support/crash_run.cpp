// SPDX-License-Identifier: BSD-3-Clause
#include "crash_run.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>

namespace mpnet::test {

crash_run::crash_run(std::string name, std::vector<std::string> kinds_of_repair) : name_(std::move(name)) {
  for (std::string& kind : kinds_of_repair) repairs_.emplace(std::move(kind), 0);
}

bool crash_run::begin(int argc, char** argv) {
  seed_ = static_cast<std::size_t>(std::time(nullptr));
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--full") full_ = true;
    if (option == "--seed" && i + 1 < argc) seed_ = std::strtoul(argv[++i], nullptr, 10);
    if (option == "--share" && i + 1 < argc) share_ = std::max(1UL, std::strtoul(argv[++i], nullptr, 10));
  }
  if (can_step()) return true;
  fmt::print("SKIP: this system does not let a process single-step its child (ptrace)\n");
  return false;
}

step_subset crash_run::some(std::size_t points, std::size_t instructions, bool only_changes) const {
  if (full_) return {1, 0, only_changes};
  return {std::max<std::size_t>(1, instructions / points), seed_, only_changes};
}

void crash_run::attempt(const std::string& title, const std::function<void(sums&)>& work) {
  if (++considered_ % share_ != seed_ % share_) return;
  ++operations_;
  try {
    work(sums_);
  } catch (const hang& e) {
    ++hangs;
    ++failures_;
    fmt::print("FAILED: {}: {}\n", title, e.what());
  } catch (const std::exception& e) {
    ++failures_;
    fmt::print("FAILED: {}: {}\n", title, e.what());
  }
  std::fflush(stdout);  // or each child to come would print it again
}

void crash_run::cut(arena& memory, const crash_case& c, const crash_budget& budget) {
  attempt(c.title, [&](sums&) { cut_all_ways(memory, c, budget); });
}

void crash_run::cut_all_ways(arena& memory, const crash_case& c, const crash_budget& budget) {
  // A first run tells how long the operation is.
  const std::size_t length = for_each_kill_point(memory, c.dying, c.died, {hang_steps, 0}).instructions;
  sums_.instructions += length;
  sums_.killed += for_each_kill_point(memory, c.dying, c.died, some(budget.killed, length)).kill_points;
  sums_.real += for_each_real_kill(memory, c.dying, c.died, some(budget.real, length)).kill_points;
  for (std::size_t i = 0; i < c.repairers.size(); ++i) {
    if (!full_ && i != (seed_ + operations_) % c.repairers.size()) continue;
    const step_counts counts = for_each_nested_kill(memory, c.dying, c.repairers[i], c.both_died,
                                                    some(budget.nested, length, true), {1, 0, true});
    sums_.nested += counts.kill_points;
    sums_.same += counts.same;
  }
  for (const bool kills : {false, true}) {
    const auto stopped = [&](stepped_child& a) { c.frozen(a, kills); };
    sums_.frozen += for_each_freeze(memory, c.dying, stopped, some(budget.frozen, length)).kill_points;
  }
}

int crash_run::report() const {
  fmt::print("{}: {} operations, {} instructions, seed {}{}\n", name_, operations_, sums_.instructions, seed_,
             full_ ? ", full" : "");
  fmt::print(
      "  kill points: {} of an operation, {} with SIGKILL, {} of a repairer, {} frozen; {} more change nothing\n",
      sums_.killed, sums_.real, sums_.nested, sums_.frozen, sums_.same);
  fmt::print("  hangs {}, losses {}, duplicates {}, failures {}\n  repairs:", hangs, losses, duplicates, failures_);
  bool every_kind = true;
  for (const auto& [kind, count] : repairs_) {
    fmt::print(" {} {}{}", kind, count, kind == repairs_.rbegin()->first ? "\n" : ",");
    every_kind = every_kind && count != 0;
  }
  if (!every_kind && operations_ >= 10) {
    fmt::print("FAILED: a kind of repair never occurred, so it was not tested\n");
    return 1;
  }
  return failures_ == 0 && hangs + losses + duplicates == 0 ? 0 : 1;
}

void make_lease(detail::lease& l) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&l.alive, &attributes);
  l.incarnation = 1;
}

void hold_lease(detail::lease& l) {
  pthread_mutex_lock(&l.alive);
}

void mark_dead(detail::lease& l) {
  detail::alive_word(l).fetch_or(FUTEX_OWNER_DIED, std::memory_order_release);
}

}  // namespace mpnet::test
