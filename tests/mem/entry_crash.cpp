// SPDX-License-Identifier: BSD-3-Clause
// Kills a process after every system call that others can notice, where no survivor, or only the next to come, puts
// things in order: making a group, leaving it as the last, cleaning up after the dead, taking a vacant role over,
// starting the services.
//
//   entry_crash [--full] [--seed N] [--share N]
//
// After each death either the next primary starts, works and leaves, or `mpnet clean` is run; then no file may be left.
// Real SIGKILLs.  Without --full half of the points are visited, which half the seed says.
#include <fmt/format.h>
#include <sys/stat.h>
#include <mpnet/eal.hpp>
#include <mpnet/group_view.hpp>
#include <mpnet/heap.hpp>
#include <mpnet/log.hpp>
#include <mpnet/memzone.hpp>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "crash_judge.hpp"
#include "crash_world.hpp"
#include "mem/conductor.hpp"
#include "mem/nudge.hpp"
#include "mem/runtime_dir.hpp"
#include "support/child.hpp"

namespace mpnet::test {
namespace {

using ::test::child;
using ::test::signal_pipe;

crash_run run_{"entry_crash", {"adopted after a death", "cleaned", "cleaned half-way before", "started anew"}};

group* self = nullptr;  // in A

group_options primary_of(const std::string& prefix) {
  return {.file_prefix = prefix, .type = process_type::primary, .memory_mib = 64};
}
group_options any_of(const std::string& prefix) {
  return {.file_prefix = prefix, .type = process_type::automatic};
}

void work(group& g) {
  deallocate(g, allocate(g, 3U << 20));
  static_cast<void>(reserve_zone(g, {.name = "probe", .size_bytes = 5000}));
}

/// What is there of a group: directories, files in them, segment files.
std::vector<std::string> files_of(const std::string& prefix) {
  std::vector<std::string> found;
  const std::string root = mem::runtime_root();
  for (const std::string& dir : {root + "/" + prefix, mem::shared_root(root) + "/" + prefix}) {
    if (std::filesystem::exists(dir)) found.push_back(dir);
  }
  for (const auto& entry : std::filesystem::directory_iterator{"/dev/hugepages"}) {
    const std::string name = entry.path().filename();
    if (name.starts_with("mpnet-" + prefix + "-")) found.push_back(entry.path());
  }
  return found;
}

void require_nothing_left(const std::string& prefix) {
  for (const std::string& path : files_of(prefix)) throw std::runtime_error{path + " is left behind"};
}

int in_child(const std::function<void()>& what) {
  child c{[&] {
    what();
    return 0;
  }};
  return c.wait();
}

/// A group whose members are all dead.
void leave_a_dead_group(const std::string& prefix) {
  child dead{[&] {
    auto& g = *new group{primary_of(prefix)};
    static_cast<void>(allocate(g, 100));
    static_cast<void>(mem::open_nudge_fifo(g.runtime_dir(), 0).release());
    ::raise(SIGKILL);
    return 0;
  }};
  require(dead.wait() == 1000 + SIGKILL, "a group to be killed");
}

/// One who stays while others die: a member without the role, in a process of its own.
class bystander {
 public:
  explicit bystander(const std::string& prefix) {
    child primary{[&] {
      auto& g = *new group{primary_of(prefix)};
      reserve_zone(g, {.name = "kept", .size_bytes = 100}).publish();
      made_.notify();
      static_cast<void>(go_.wait());
      ::raise(SIGKILL);
      return 0;
    }};
    require(made_.wait() != 0, "a primary");
    member_.emplace([&] {
      group g{{.file_prefix = prefix, .type = process_type::secondary}};
      made_.notify();
      while (const char order = end_.wait()) {
        if (order == 'e') return 0;
        mem::recover_dead(g);
        try {
          check_group(g, {g.local().slot});
        } catch (const std::exception& e) {
          fmt::print("the bystander: {}\n", e.what());
          done_.notify('n');
          continue;
        }
        done_.notify('y');
      }
      return 1;
    });
    require(made_.wait() != 0, "a bystander");
    go_.notify();
    require(primary.wait() == 1000 + SIGKILL, "the primary's death");
  }
  void recover_and_check() {
    end_.notify('r');
    require(done_.wait() == 'y', "the bystander finds something wrong");
  }
  void end() {
    end_.notify('e');
    require(member_->wait() == 0, "the bystander cannot leave");
  }

 private:
  signal_pipe made_, go_, end_, done_;
  std::optional<child> member_;
};

struct life {
  const char* name;
  std::function<void(const std::string& prefix)> before;
  std::function<void(const std::string& prefix)> enter;  // A, at full speed
  std::function<void(const std::string& prefix)> body;   // A, killed in it
  bool with_bystander = false;
};

/// The next to come finds things in order, and leaves nothing.
void start_anew_or_clean(const std::string& prefix, std::size_t n) {
  if (n % 2 == 0) {
    require(in_child([&] {
              group g{primary_of(prefix)};
              work(g);
              check_group(g, {0});
            }) == 0,
            "the next primary cannot work");
    run_.repaired("started anew", 1);
  } else {
    const std::vector<std::string> groups = list_groups();
    const bool complete = std::find(groups.begin(), groups.end(), prefix) != groups.end();
    require(in_child([&] { static_cast<void>(clean_group(prefix)); }) == 0, "cleaning fails");
    run_.repaired(complete ? "cleaned" : "cleaned half-way before", 1);
  }
  require_nothing_left(prefix);
}

class scenario {
 public:
  scenario(const life& l, crash_run::sums& sums) : life_(l), sum(sums) {}

  void run() {
    const std::vector<std::size_t> points = noticeable_calls();
    for (std::size_t i = 0; i < points.size(); ++i) {
      if (!run_.full() && (i + run_.seed()) % 2 == 0) continue;
      kill_after(points[i], i);
    }
  }

 private:
  struct cast {
    std::string prefix = ::test::unique_prefix("entry");
    std::optional<bystander> other;
    std::unique_ptr<stepped_child> a;
  };

  void start(cast& c) const {
    if (life_.with_bystander) c.other.emplace(c.prefix);
    if (life_.before) life_.before(c.prefix);
    c.a = std::make_unique<stepped_child>([&] { life_.enter ? life_.enter(c.prefix) : void(); },
                                          [&] { life_.body(c.prefix); });
  }

  /// Their numbers, and that of the last call.
  std::vector<std::size_t> noticeable_calls() {
    cast c;
    start(c);
    std::vector<std::size_t> points{0};
    std::size_t n = 0;
    while (const auto call = c.a->run_call()) {
      ++n;
      if (is_private(*call))
        ++sum.same;
      else
        points.push_back(n);
    }
    points.push_back(n + 1);
    sum.instructions += n;
    c.a->kill();
    judge(c, 0);
    return points;
  }

  void kill_after(std::size_t call, std::size_t n) {
    cast c;
    start(c);
    for (std::size_t i = 0; i < call && c.a->run_call(); ++i) {
    }
    c.a->kill();
    ++sum.real;
    try {
      judge(c, n);
    } catch (const std::exception& e) {
      throw std::runtime_error{fmt::format("SIGKILL after system call {}: {}", call, e.what())};
    }
  }

  void judge(cast& c, std::size_t n) const {
    if (!c.other) {
      start_anew_or_clean(c.prefix, n / 2 + run_.seed());
      return;
    }
    c.other->recover_and_check();
    require(in_child([&] {
              group g{any_of(c.prefix)};
              require(g.is_primary() && g.created(), "the vacant role cannot be taken");
              require(find_zone(g, zone_kind::raw, "kept").has_value(), "what the group held is gone");
              work(g);
            }) == 0,
            "the next primary cannot work");
    run_.repaired("adopted after a death", 1);
    c.other->recover_and_check();
    c.other->end();
    require_nothing_left(c.prefix);
  }

  const life& life_;
  crash_run::sums& sum;
};

std::vector<life> lives() {
  const auto make = [](const std::string& prefix) {
    self = new group{primary_of(prefix)};
    static_cast<void>(allocate(*self, 3U << 20));
  };
  return {
      {"make a group", {}, {}, make},
      {"make a group where a dead one lies", leave_a_dead_group, {}, make},
      {"leave as the last", {}, make, [](const std::string&) { self->leave(); }},
      {"clean up after the dead",
       leave_a_dead_group,
       {},
       [](const std::string& prefix) { static_cast<void>(clean_group(prefix)); }},
      {"take the vacant role over", {}, {}, [](const std::string& prefix) { self = new group{any_of(prefix)}; }, true},
      {"start the services",
       {},
       {},
       [](const std::string& prefix) {
         std::string words[] = {"mpnet", "-l", "0", "--proc-type=auto", "--file-prefix=" + prefix, "--log-level=4"};
         std::vector<char*> argv;
         for (std::string& w : words) argv.push_back(w.data());
         argv.push_back(nullptr);
         static_cast<void>(new eal{static_cast<int>(argv.size() - 1), argv.data()});
       },
       true},
      {"make the FIFO for nudges",
       leave_a_dead_group,
       {},
       [](const std::string& prefix) {
         static_cast<void>(mem::open_nudge_fifo(mem::runtime_root() + "/" + prefix, 0).release());
       }},
  };
}

}  // namespace
}  // namespace mpnet::test

int main(int argc, char** argv) {
  using namespace mpnet::test;
  if (!run_.begin(argc, argv)) return 77;
  mpnet::set_log_level("", mpnet::log_level::error);
  for (const life& l : lives()) run_.attempt(l.name, [&](crash_run::sums& sums) { scenario{l, sums}.run(); });
  return run_.report();
}
