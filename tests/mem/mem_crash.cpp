// SPDX-License-Identifier: BSD-3-Clause
// Kills a process at every instruction of every operation on a group's control state: heap, zones, directory, leases,
// growth and shrinking, attaching and leaving; and the recovery from that, too.
//
//   mem_crash [--full] [--seed N] [--share N]
//
// After each instruction that survivors could see (a store to the control segment, a system call that changes something
// outside the process), the group is judged as if the process had been killed there; between two of these a death makes
// no difference.  Without --full the expensive parts (nested deaths, real SIGKILLs, fresh members) visit a subset that
// --seed chooses.  Prints operations, kill points, what went wrong, and repairs by kind; a kind that never occurred
// fails the run, because then nothing was proved.
#include <fmt/format.h>
#include <sched.h>
#include <sys/syscall.h>
#include <mpnet/heap.hpp>
#include <mpnet/log.hpp>
#include <mpnet/memzone.hpp>
#include <mpnet/pool.hpp>
#include <mpnet/ring.hpp>

#include <string_view>
#include <thread>

#include "crash_judge.hpp"
#include "crash_world.hpp"
#include "mem/conductor.hpp"
#include "mem/membership.hpp"
#include "support/child.hpp"

namespace mpnet::test {
namespace {

crash_run run_{"mem_crash", kinds_of_repair()};

enum class entry { before, attaching, forked };  // whether A's entering is what is stepped

struct operation {
  const char* name;
  std::function<void(group&)> survivor_first;  // J, before A is there
  std::function<void(group&)> victim_first;    // A, at full speed
  std::function<void(group&)> run;             // A, stepped
  entry how = entry::before;
  std::function<void(group&)> survivor_then = {};  // J, when A is a member
};

group* self = nullptr;  // in A
void* kept[4] = {};     // blocks that A or J made before

/// What anyone can do with a group in good order.
void use(group& g) {
  void* const block = allocate(g, 200, {.life = lifetime::process});
  const zone_builder zone = reserve_zone(g, {.name = "probe", .size_bytes = 5000});
  detail::take_any_lcore(g);
  detail::release_lease();
  deallocate(g, block);
}

/// A member that comes now, works, and dies without a word.
void fresh_member(const crash_world& w) {
  ::test::child newcomer{[&] {
    group& g = w.enter();
    use(g);
    static_cast<void>(allocate(g, 300, {.life = lifetime::process}));
    return 0;
  }};
  require(newcomer.wait() == 0, "a new member cannot work");
  require(mem::recover_dead(w.shared()) == 1, "the new member's death is not noticed");
}

/// The survivor's part: recovers and looks at everything.  Returns what the group holds then.
std::string judge(const crash_world& w, bool with_fresh_member) {
  group& g = w.shared();
  count_repairs(g, run_);
  mem::recover_dead(g);
  check_group(g, {0});
  const std::string found = contents(g);
  const std::uint64_t sequence = g.control().recovery_sequence;
  require(mem::recover_dead(g) == 0 && g.control().recovery_sequence == sequence, "recovery is not idempotent");
  use(g);
  if (with_fresh_member) fresh_member(w);
  check_group(g, {0});
  require(contents(g) == found, "using the group changed it");
  return found;
}

class scenario {
 public:
  scenario(const operation& op, std::size_t number, crash_run::sums& sums) : op_(op), number_(number), sum(sums) {}

  void run() {
    step_through();
    if (run_.full()) {
      for (std::size_t i = 0; i <= visible_; ++i) real_kill(i), nested_kill(i);
    } else {
      const std::size_t chosen = (run_.seed() * 7 + number_) % (visible_ + 1);
      real_kill(chosen);
      if ((run_.seed() + number_) % 3 == 0) nested_kill(chosen);
    }
  }

 private:
  [[nodiscard]] static group_options options() {
    return {.file_prefix = ::test::unique_prefix("crash"), .memory_mib = 64};
  }

  [[nodiscard]] std::unique_ptr<stepped_child> start(const crash_world& w) const {
    return std::make_unique<stepped_child>(
        [&] {
          if (op_.how != entry::before) return;
          self = &w.enter();
          if (op_.victim_first) op_.victim_first(*self);
        },
        [&] {
          if (op_.how != entry::before) self = op_.how == entry::attaching ? &w.enter() : &w.enter_by_fork();
          if (op_.run) op_.run(*self);
        });
  }

  void step_through() {
    crash_world w{options()};
    if (op_.survivor_first) op_.survivor_first(w.shared());
    const auto a = start(w);
    if (op_.survivor_then) op_.survivor_then(w.shared());
    w.begin();
    visit(w, *a, 0);
    for (bool more = true; more;) {
      const auto progress = w.step(*a);
      more = progress.more;
      if (!progress.visible && more) {
        ++sum.same;
        continue;
      }
      ++visible_;
      visit(w, *a, visible_);
    }
    w.check_unwatched();
    sum.instructions += a->steps();
    last_ = states_.back();
    first_ = states_.front();
    bool over = false;
    for (const std::string& s : states_) {
      over = over || s == last_;
      require(s == (over ? last_ : first_), "half done: {}", s);
    }
  }

  void visit(crash_world& w, const stepped_child& a, std::size_t k) {
    ++sum.killed;
    // Asked before A's locks are out of sight.
    const bool newcomer = (run_.full() || k % 16 == run_.seed() % 16) && w.may_enter();
    try {
      w.as_if_dead({&a}, [&] { states_.push_back(judge(w, newcomer)); });
    } catch (const std::exception& e) {
      throw std::runtime_error{fmt::format("killed after instruction {} (change {}): {}", a.steps(), k, e.what())};
    }
  }

  /// Another A, as far as to that change.
  [[nodiscard]] std::unique_ptr<stepped_child> start_and_go(crash_world& w, std::size_t change) const {
    if (op_.survivor_first) op_.survivor_first(w.shared());
    auto a = start(w);
    if (op_.survivor_then) op_.survivor_then(w.shared());
    w.begin();
    for (bool more = true; more && change != 0;) {
      const auto progress = w.step(*a);
      more = progress.more;
      change -= progress.visible || !more ? 1 : 0;
    }
    return a;
  }

  /// A is dead at that change, and so is R, who repairs, at each of its own.
  void nested_kill(std::size_t change) {
    crash_world w{options()};
    const auto a = start_and_go(w, change);
    if (!w.may_enter()) return;  // R could not come
    // Asked of this A: another one may have counted a change more, of what a process does only once.
    std::string alone;
    w.as_if_dead({a.get()}, [&] { alone = judge(w, false); });
    require(alone == first_ || alone == last_, "half done: {}", alone);
    a->mark_robust_mutexes(&w.shared().control().leases.front(), &w.shared().control().leases.back() + 1);
    stepped_child r{[&] {
                      self = &w.enter();
                      w.believe_dead(*self);
                    },
                    [] { mem::recover_dead(*self); }};
    w.look_afresh();
    for (bool more = true; more;) {
      const auto progress = w.step(r);
      more = progress.more;
      if (!progress.visible && more) {
        ++sum.same;
        continue;
      }
      ++sum.nested;
      try {
        w.as_if_dead({a.get(), &r},
                     [&] { require(judge(w, false) == alone, "another state than without the second death"); });
      } catch (const std::exception& e) {
        throw std::runtime_error{fmt::format("killed after instruction {}, and the recovery after its {}: {}",
                                             a->steps(), r.steps(), e.what())};
      }
    }
  }

  void real_kill(std::size_t change) {
    std::string runtime_dir;
    {
      crash_world w{options()};
      runtime_dir = w.shared().runtime_dir();
      const auto a = start_and_go(w, change);
      const std::size_t steps = a->steps();
      a->kill();
      ++sum.real;
      try {
        const std::string found = judge(w, true);
        require(found == first_ || found == last_, "half done: {}", found);
      } catch (const std::exception& e) {
        throw std::runtime_error{fmt::format("SIGKILL after instruction {} (change {}): {}", steps, change, e.what())};
      }
    }
    require(::access(runtime_dir.c_str(), F_OK) != 0, "the last to leave left files behind");
  }

  const operation& op_;
  std::size_t number_;
  crash_run::sums& sum;
  std::size_t visible_ = 0;
  std::vector<std::string> states_;
  std::string first_, last_;
};

void keep(group& g, std::size_t i, std::size_t bytes, lifetime life = lifetime::group) {
  kept[i] = allocate(g, bytes, {.life = life});
}

void zone_of(group& g, const char* name, std::size_t bytes) {
  reserve_zone(g, {.name = name, .size_bytes = bytes}).publish();
}

std::vector<operation> heap_operations() {
  const auto warm = [](group& g) { keep(g, 0, 1000); };
  const auto three = [](group& g) {
    for (std::size_t i = 0; i < 3; ++i) keep(g, i, 1000);
  };
  constexpr std::size_t large = 5U << 20;
  return {
      {"allocate", warm, {}, [](group& g) { keep(g, 1, 100); }},
      {"allocate for this process", warm, {}, [](group& g) { keep(g, 1, 100, lifetime::process); }},
      {"allocate the first block", {}, {}, [](group& g) { keep(g, 1, 100); }},
      {"allocate and grow", warm, {}, [](group& g) { keep(g, 1, large); }},
      {"allocate aligned",
       warm,
       {},
       [](group& g) { kept[1] = allocate(g, 100, {.align_bytes = 8192, .life = lifetime::process}); }},
      {"allocate more than the cap",
       warm,
       {},
       [](group& g) {
         try {
           keep(g, 1, 100U << 20);
         } catch (const error&) {
         }
       }},
      {"free between neighbours", three, {}, [](group& g) { deallocate(g, kept[1]); }},
      {"free and merge both sides",
       [=](group& g) { three(g), deallocate(g, kept[0]); },
       {},
       [](group& g) { deallocate(g, kept[1]); }},
      {"free and shrink", warm, [](group& g) { keep(g, 1, large); }, [](group& g) { deallocate(g, kept[1]); }},
      {"free what the process owns", warm, [](group& g) { keep(g, 1, large, lifetime::process); },
       [](group& g) { deallocate(g, kept[1]); }},
  };
}

std::vector<operation> directory_operations() {
  using numbers = ring<std::uint64_t>;
  using things = pool<std::array<char, 64>>;
  const auto ring_options_ = [] { return mpnet::ring_options{.capacity = 15}; };
  return {
      {"reserve a zone and drop it",
       {},
       {},
       [](group& g) { static_cast<void>(reserve_zone(g, {.name = "z", .size_bytes = 4000})); }},
      {"reserve a zone", {}, {}, [](group& g) { zone_of(g, "z", 4000); }},
      {"reserve a zone and grow",
       [](group& g) { zone_of(g, "y", 2040U << 10); },
       {},
       [](group& g) { zone_of(g, "z", 40U << 10); }},
      {"look a zone up",
       [](group& g) { zone_of(g, "z", 4000); },
       {},
       [](group& g) { require(find_zone(g, zone_kind::raw, "z").has_value(), "lookup"); }},
      {"free a zone",
       [](group& g) { zone_of(g, "z", 4000); },
       {},
       [](group& g) { free_zone(g, *find_zone(g, zone_kind::raw, "z")); }},
      {"free a large zone",
       [](group& g) { zone_of(g, "z", 5U << 20); },
       {},
       [](group& g) { free_zone(g, *find_zone(g, zone_kind::raw, "z")); }},
      {"create a ring", {}, {}, [=](group& g) { static_cast<void>(numbers::create(g, "r", ring_options_())); }},
      {"destroy a ring",
       [=](group& g) { static_cast<void>(numbers::create(g, "r", ring_options_())); },
       {},
       [](group& g) { numbers::destroy(g, numbers::attach(g, "r")); }},
      {"create a pool", {}, {}, [](group& g) { static_cast<void>(things::create(g, "p", {.object_count = 15})); }},
      {"destroy a pool",
       [](group& g) { static_cast<void>(things::create(g, "p", {.object_count = 15})); },
       {},
       [](group& g) { things::destroy(g, "p"); }},
  };
}

/// A thread of this process ends without a word, and keeps its lcore id.
void lose_a_thread(group& g) {
  std::thread{[&g] {
    detail::take_lease(g, lcore{5});
    ::syscall(SYS_exit, 0);
  }}.detach();
  while (!detail::is_dead(g.control().leases[5])) std::this_thread::yield();
}

std::vector<operation> member_operations() {
  return {
      {"attach", {}, {}, {}, entry::attaching},
      {"recover from a thread's death", {}, {}, [](group& g) { mem::recover_dead(g); }, entry::before, lose_a_thread},
      {"attach as a forked member", {}, {}, {}, entry::forked},
      {"leave", {}, {}, [](group& g) { g.leave(); }},
      {"leave with blocks and zones",
       {},
       [](group& g) {
         keep(g, 0, 100, lifetime::process);
         keep(g, 1, 5U << 20, lifetime::process);
         static_cast<void>(new zone_builder{reserve_zone(g, {.name = "half", .size_bytes = 4000})});
         detail::take_any_lcore(g);
       },
       [](group& g) { g.leave(); }},
      {"take an lcore and give it back", {}, {}, [](group& g) { detail::take_any_lcore(g), detail::release_lease(); }},
      {"take a certain lcore", {}, {}, [](group& g) { detail::take_lease(g, lcore{3}), detail::release_lease(); }},
      {"take a lease without an lcore", {}, {}, [](group&) { static_cast<void>(detail::acquire_anonymous_lease()); }},
      {"give an lcore back that another had", [](group& g) { detail::take_any_lcore(g), detail::release_lease(); },
       [](group& g) { detail::take_any_lcore(g); }, [](group&) { detail::release_lease(); }},
  };
}

}  // namespace
}  // namespace mpnet::test

int main(int argc, char** argv) {
  using namespace mpnet::test;
  if (!run_.begin(argc, argv)) return 77;
  // Stepper and stepped take turns: on one processor they need not wake another one each time.
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(::sched_getcpu()), &one);
  ::sched_setaffinity(0, sizeof one, &one);
  mpnet::set_log_level("", mpnet::log_level::error);
  std::size_t number = 0;
  for (const auto& operations : {heap_operations(), directory_operations(), member_operations()})
    for (const operation& op : operations)
      run_.attempt(op.name, [&](crash_run::sums& sums) { scenario{op, ++number, sums}.run(); });
  return run_.report();
}
