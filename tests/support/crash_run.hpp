// SPDX-License-Identifier: BSD-3-Clause
// What programs that kill at every instruction have in common: options, the ways in which each operation is cut, the
// sums, and the report.
//
//   PROGRAM [--full] [--seed N] [--share N]
//
// Without --full, the expensive ways (nested deaths, freezes, real SIGKILLs) visit a subset of the instructions that
// the seed chooses, and with --share N only each Nth operation runs, which ones depends on the seed too.  The seed is
// the time unless it is given, and is printed.  A kind of repair that never occurred fails the run: it was not tested.
#pragma once

#include <mpnet/detail/lease.hpp>

#include <map>
#include <string>
#include <vector>

#include "stepper.hpp"

namespace mpnet::test {

/// One operation, and all who have to do with its death.
struct crash_case {
  std::string title;
  step_case dying;                   // A
  std::function<void()> died;        // survivors go on, repair, and judge, after A's death
  std::vector<step_case> repairers;  // each may die in the middle of it; without --full, one of them does
  std::function<void()> both_died;   // as `died`, after a repairer's death
  /// A stands, alive, while others work; it is to go on, or to be killed; then `died`.
  std::function<void(stepped_child& a, bool kills)> frozen;
};

/// How many points of an operation are visited without --full, about.
struct crash_budget {
  std::size_t killed = 300;
  std::size_t real = 6;
  std::size_t nested = 3;
  std::size_t frozen = 4;
};

class crash_run {
 public:
  crash_run(std::string name, std::vector<std::string> kinds_of_repair);
  /// False where the program cannot run: it ends with exit code 77 then.
  [[nodiscard]] bool begin(int argc, char** argv);
  [[nodiscard]] bool full() const { return full_; }
  [[nodiscard]] std::size_t seed() const { return seed_; }
  struct sums {
    std::size_t instructions = 0;
    std::size_t killed = 0, real = 0, nested = 0, frozen = 0;
    std::size_t same = 0;  // not visited, because survivors would have seen what they saw at the last visit
  };
  /// Does `work`, one operation, if it is its turn; says what failed, and goes on.
  void attempt(const std::string& title, const std::function<void(sums&)>& work);
  /// Kills, nests and freezes.
  void cut(arena& memory, const crash_case& c, const crash_budget& budget = {});
  /// Prints the sums; the exit code.
  [[nodiscard]] int report() const;

  void repaired(const std::string& kind, std::size_t count) { repairs_.at(kind) += count; }
  std::size_t losses = 0, duplicates = 0, hangs = 0;

 private:
  [[nodiscard]] step_subset some(std::size_t points, std::size_t instructions, bool only_changes = false) const;
  void cut_all_ways(arena& memory, const crash_case& c, const crash_budget& budget);

  std::string name_;
  bool full_ = false;
  std::size_t seed_ = 0, share_ = 1;
  std::size_t considered_ = 0, operations_ = 0, failures_ = 0;
  sums sums_;
  std::map<std::string, std::size_t> repairs_;
};

/// Throws what the stepper reports.
inline void require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error{what};
}

/// A lease as a group makes them, in plain memory.
void make_lease(detail::lease& l);
/// In the child: its lease's mutex is its own, so that the kernel marks it when the child is really killed.
void hold_lease(detail::lease& l);
/// Snapshot mode: what the kernel would say.
void mark_dead(detail::lease& l);

}  // namespace mpnet::test
