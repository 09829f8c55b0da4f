// SPDX-License-Identifier: BSD-3-Clause
// storm: twelve processes work with everything that a group has, one of them is killed at random every 50 ms, the
// primary included, and replaced.  Nobody may hang, nothing may be lost or grow, and every kind of repair must occur.
//   storm --minutes N    for people; ctest runs it for a minute
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <mpnet/group_view.hpp>
#include <mpnet/mpnet.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>

#include "storm/board.hpp"

namespace storm {
namespace {

using clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

struct settings {
  std::chrono::milliseconds length = 60s;
  std::chrono::milliseconds kill_every = 50ms;
  std::uint32_t seed = std::random_device{}();
  bool every_kind = true;
};

/// The longest that anybody may go without a sign of life.  Far more than any bounded wait of the library takes.
constexpr auto patience = 40s;

struct repairs {
  std::uint64_t processes = 0, threads = 0, undone = 0, finished = 0, objects = 0, zones = 0, blocks = 0, queues = 0,
                leases = 0, longest_ns = 0, total_ns = 0;
};

class director {
 public:
  director(board& b, const settings& s) : board_(b), settings_(s), random_(s.seed) {}
  ~director() {
    for (pid_t& pid : pids_) end(pid);
  }
  director(const director&) = delete;
  director& operator=(const director&) = delete;

  bool run() {
    start(0);
    if (!wait_for(board_.settled, "the founder made nothing")) return false;
    view_.emplace(prefix_);
    for (unsigned at = 1; at < member_count; ++at) start(at);
    const auto begin = clock::now();
    for (auto next = begin + settings_.kill_every; next < begin + settings_.length; next += settings_.kill_every) {
      nap_until(next);
      strike();
      read_recoveries();
      if (!all_is_well()) return false;
    }
    const bool sound = finish();
    read_recoveries();
    return sound && tell();
  }

 private:
  void start(unsigned at) {
    position& p = board_.positions[at];
    p.incarnation.fetch_add(1, std::memory_order_relaxed);  // relaxed: the fork publishes it
    pids_[at] = ::fork();
    if (pids_[at] == 0) {
      view_.reset();  // who looks from outside cannot enter
      ::_exit(run_member(board_, prefix_, at));
    }
    seen_[at] = {};
  }

  static void end(pid_t& pid) {
    if (pid <= 0) return;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    pid = -1;
  }

  static void nap_until(clock::time_point when) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(when - clock::now()).count();
    if (left > 0) ::poll(nullptr, 0, static_cast<int>(left));
  }

  /// Kills one, at a moment that depends on nothing in it; one in four is stopped first and killed at the next strike.
  void strike() {
    if (stopped_ < member_count) {
      end(pids_[stopped_]);
      start(stopped_);
      stopped_ = member_count;
      ++kills_;
    } else {
      const auto victim = static_cast<unsigned>(random_() % member_count);
      ::usleep(static_cast<useconds_t>(random_() % 3000));
      if (random_() % 4 == 0) {
        ::kill(pids_[victim], SIGSTOP);
        stopped_ = victim;
        return;
      }
      end(pids_[victim]);
      start(victim);
      ++kills_;
    }
  }

  bool all_is_well() {
    for (unsigned at = 0; at < member_count; ++at) {
      int status = 0;
      if (::waitpid(pids_[at], &status, WNOHANG) == pids_[at]) {
        pids_[at] = -1;
        report(board_, fmt::format("member {} ended by itself: {}", at, describe(status)));
      }
      look_for_life(at);
    }
    return !complained();
  }

  static std::string describe(int status) {
    return WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                               : fmt::format("exit code {}", WEXITSTATUS(status));
  }

  void look_for_life(unsigned at) {
    for (unsigned t = 0; t < threads_of_a_member; ++t) {
      // relaxed, both: signs of life
      const std::uint64_t beats = board_.positions[at].beats[t].load(std::memory_order_relaxed);
      if (seen_[at][t].beats != beats || seen_[at][t].when == clock::time_point{}) seen_[at][t] = {beats, clock::now()};
      if (clock::now() - seen_[at][t].when < patience) continue;
      const auto doing = board_.positions[at].doing[t].load(std::memory_order_relaxed);
      report(board_, fmt::format("member {} (process {}), thread {}: hangs in '{}'", at, pids_[at], t,
                                 chore_names[doing % std::size(chore_names)]));
      wait_for_debugger();
    }
  }

  /// With STORM_HOLD set, a hang is kept for people to look at.
  static void wait_for_debugger() {
    if (std::getenv("STORM_HOLD") != nullptr) ::raise(SIGSTOP);
  }

  bool complained() {
    if (board_.broken.load(std::memory_order_acquire) == 0) return false;
    for (int i = 0; i < 1000 && board_.text_ready.load(std::memory_order_acquire) == 0; ++i) ::usleep(1000);
    std::printf("storm: %s\n", board_.text);
    return true;
  }

  bool wait_for(const std::atomic<std::uint32_t>& word, const char* otherwise) {
    const auto deadline = clock::now() + patience;
    while (word.load(std::memory_order_acquire) == 0 && clock::now() < deadline && !complained()) ::usleep(1000);
    if (word.load(std::memory_order_acquire) != 0) return true;
    report(board_, otherwise);
    static_cast<void>(complained());
    return false;
  }

  /// Ends the storm: everybody leaves in good order, the auditor counts, and nothing stays behind.
  bool finish() {
    if (stopped_ < member_count) ::kill(pids_[stopped_], SIGCONT);
    pid_t auditor = ::fork();
    if (auditor == 0) {
      view_.reset();
      ::_exit(run_auditor(board_, prefix_));
    }
    pids_[member_count] = auditor;
    if (!wait_for_member(auditor)) return false;
    board_.stop.store(1, std::memory_order_release);
    for (unsigned at = 0; at < member_count; ++at) {
      if (!reap(pids_[at], fmt::format("member {}", at))) return false;
    }
    board_.audit.store(1, std::memory_order_release);
    if (!reap(pids_[member_count], "the auditor")) return false;
    if (const auto left = mpnet::list_groups(); std::find(left.begin(), left.end(), prefix_) != left.end()) {
      report(board_, "the last one to leave left files behind");
    }
    return !complained();
  }

  /// Until the process is a member.
  bool wait_for_member(pid_t pid) {
    const auto deadline = clock::now() + patience;
    while (clock::now() < deadline && !complained()) {
      for (const mpnet::process_info& p : view_->processes()) {
        if (p.pid == pid && p.lcores.size() == 2) return true;
      }
      ::usleep(1000);
    }
    report(board_, "the auditor did not get in");
    static_cast<void>(complained());
    return false;
  }

  bool reap(pid_t& pid, const std::string& who) {
    const auto deadline = clock::now() + patience;
    int status = 0;
    while (::waitpid(pid, &status, WNOHANG) == 0) {
      if (clock::now() > deadline) {
        report(board_, fmt::format("{} (process {}) does not leave", who, pid));
        wait_for_debugger();
        break;
      }
      ::usleep(1000);
    }
    if (clock::now() <= deadline) pid = -1;
    if (status != 0) report(board_, fmt::format("{} left with {}", who, describe(status)));
    return !complained();
  }

  void read_recoveries() {
    for (const mpnet::recovery_info& r : view_->recoveries()) {
      if (r.sequence <= last_recovery_) continue;
      last_recovery_ = r.sequence;
      ++(r.whole_process ? repairs_.processes : repairs_.threads);
      repairs_.undone += r.claims_rolled_back;
      repairs_.finished += r.claims_finished;
      repairs_.objects += r.objects_returned;
      repairs_.zones += r.zones_freed;
      repairs_.blocks += r.blocks_freed;
      repairs_.queues += r.queues_released;
      repairs_.leases += r.leases;
      repairs_.total_ns += r.duration_ns;
      repairs_.longest_ns = std::max(repairs_.longest_ns, r.duration_ns);
    }
    most_used_ = std::max(most_used_, view_->memory().used_bytes);
  }

  /// Prints what happened.  False where a kind of repair never did.
  bool tell() {
    std::printf("storm: %llu kills in %llu s, seed %u; memory in use at most %llu bytes\n",
                static_cast<unsigned long long>(kills_),
                static_cast<unsigned long long>(settings_.length.count() / 1000), settings_.seed,
                static_cast<unsigned long long>(most_used_));
    std::printf("recoveries took %llu us on average, %llu us at most\n",
                static_cast<unsigned long long>(repairs_.total_ns / 1000 /
                                                std::max<std::uint64_t>(1, repairs_.processes + repairs_.threads)),
                static_cast<unsigned long long>(repairs_.longest_ns / 1000));
    std::printf("chores:");
    for (std::size_t i = 2; i + 1 < std::size(chore_names); ++i) {
      std::printf(" %s %llu", chore_names[i],
                  static_cast<unsigned long long>(board_.chores_done[i].load(std::memory_order_relaxed)));
    }  // relaxed: all is quiet
    std::printf("\nrepairs by kind:\n");
    bool all = true;
    const auto kind = [&all](const char* name, std::uint64_t count) {
      std::printf("  %-58s %llu%s\n", name, static_cast<unsigned long long>(count), count == 0 ? "   NEVER" : "");
      all = all && count != 0;
    };
    kind("processes recovered", repairs_.processes);
    kind("threads of living processes recovered", repairs_.threads);
    kind("lcore ids and other leases given back", repairs_.leases);
    kind("claims settled by the conductor", repairs_.undone + repairs_.finished);
    kind("claims on rings repaired on the spot or by the conductor", board_.claims_repaired_in_rings);
    kind("claims on pools undone on the spot or by the conductor", board_.claims_undone_in_pools);
    kind("objects returned to their pools", repairs_.objects);
    kind("half-made zones freed", repairs_.zones);
    kind("heap blocks of the dead freed", repairs_.blocks);
    kind("queues of ports released", repairs_.queues);
    kind("control locks taken from the dead", board_.control_locks_inherited);
    kind("changes of control state undone", board_.journals_undone);
    // relaxed, all: all is quiet
    kind("application's mutexes inherited", board_.mutexes_inherited.load(std::memory_order_relaxed));
    kind("application's spinlocks inherited", board_.spinlocks_inherited.load(std::memory_order_relaxed));
    kind("primary roles taken over", board_.roles_taken_over.load(std::memory_order_relaxed));
    kind("requests ended by a peer's death", board_.parts_died.load(std::memory_order_relaxed));
    if (!all) std::printf("storm: a kind of repair never occurred, so it was not tested\n");
    return all || !settings_.every_kind;
  }

  struct sign {
    std::uint64_t beats = 0;
    clock::time_point when{};
  };

  board& board_;
  const settings settings_;
  std::mt19937 random_;
  const std::string prefix_ = fmt::format("storm-{}", ::getpid());
  std::optional<mpnet::group_view> view_;
  std::array<pid_t, member_count + 1> pids_{};
  std::array<std::array<sign, threads_of_a_member>, member_count> seen_{};
  unsigned stopped_ = member_count;  // the position that is stopped at the moment
  std::uint64_t kills_ = 0, last_recovery_ = 0, most_used_ = 0;
  repairs repairs_;
};

settings read_settings(int argc, char** argv) {
  settings s;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const auto number = [](auto set) {
    return [set](std::string_view text) { set(mpnet::parse_number(text, 0, 1'000'000)); };
  };
  mpnet::parse_args(
      arguments,
      {{.long_name = "seconds", .value_name = "N", .set = number([&](auto n) { s.length = std::chrono::seconds{n}; })},
       {.long_name = "minutes", .value_name = "N", .set = number([&](auto n) { s.length = std::chrono::minutes{n}; })},
       {.long_name = "kill-every-ms", .value_name = "N", .set = number([&](auto n) {
                                                           s.kill_every = std::chrono::milliseconds{n};
                                                         })},
       {.long_name = "seed", .value_name = "N", .set = number([&](auto n) { s.seed = static_cast<std::uint32_t>(n); })},
       {.long_name = "any-kind", .set = [&](std::string_view) { s.every_kind = false; }}});
  return s;
}

}  // namespace
}  // namespace storm

int main(int argc, char** argv) {
  return mpnet::run_main([&] {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    storm::board& b = storm::make_board();
    return storm::director{b, storm::read_settings(argc, argv)}.run() ? 0 : 1;
  });
}
