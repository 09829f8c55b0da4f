// SPDX-License-Identifier: BSD-3-Clause
// Kills a process at every instruction of an operation.
//
//   arena            memory that the test's processes share: everything the operation under test reads and writes
//   stepped_child    a child that runs a function one machine instruction at a time, under ptrace
//   for_each_kill_point()    snapshot mode: steps one child through the operation; after each instruction calls `died`
//                            as if the child had been killed there, then puts the arena back and goes on
//   for_each_real_kill()     the same with a new child and a SIGKILL for each instruction (the kernel's word of death)
//   for_each_nested_kill()   snapshot mode twice: the operation is cut at k, then a second child repairs and is cut
//                            at j
//   for_each_freeze()        the operation is stopped, not dead, at k while others work; then it goes on, or dies
//
// The callbacks report a violation by throwing std::runtime_error; it comes out with the kill point in its text.  One
// that does not come back within two minutes is a hang, and ends the program.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace mpnet::test {

/// Somebody does not get on.
struct hang : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Zeroed MAP_SHARED memory at the same address in all children.
class arena {
 public:
  explicit arena(std::size_t size_bytes);
  ~arena();
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  void clear();
  [[nodiscard]] std::vector<std::byte> save() const;
  void restore(const std::vector<std::byte>& saved);

 private:
  std::byte* data_ = nullptr;
  std::size_t size_;
};

/// Whether this system lets us single-step a child; else tests print SKIP.
[[nodiscard]] bool can_step();

/// The addresses that an operation's instructions have, in the order in which they run; see stepped_child::walk.
using step_path = std::vector<std::uintptr_t>;

class stepped_child {
 public:
  /// Forks.  `enter` runs in the child at full speed, then it stands before the first instruction of `body`.
  stepped_child(const std::function<void()>& enter, const std::function<void()>& body);
  ~stepped_child();  // kills and reaps what is left
  stepped_child(const stepped_child&) = delete;
  stepped_child& operator=(const stepped_child&) = delete;

  /// One instruction (a system call counts as one).  False once `body` has returned.
  bool step();
  /// Up to `count` instructions; false if `body` returned before.
  bool step(std::size_t count);
  /// From the beginning to after instruction k of `path`, which another child has gone before, at nearly full speed; as
  /// step(k) says.  Nothing where this child went another way: then it stands somewhere else.
  std::optional<bool> walk(const step_path& path, std::size_t k);
  /// All of it, one by one.
  [[nodiscard]] step_path record();
  /// Whether the next instruction is a system call.
  [[nodiscard]] bool at_system_call() const;

  struct system_call {
    std::uint64_t number;
    std::uint64_t arguments[6];
  };
  /// The system call that the next step() makes, if it makes one.  A function of the vDSO, in which the child stands,
  /// is run to its end first: its loops wait for a moment without a clock tick, and never end at walking pace.
  [[nodiscard]] std::optional<system_call> next_call();
  /// What the last step, a system call, returned.
  [[nodiscard]] long call_result() const;
  /// At full speed through the next system call, which it returns; nothing if `body` returned before.
  std::optional<system_call> run_call();
  /// Marks the robust mutexes that the child holds as the kernel would when it dies; those between `first` and `last`,
  /// which must be shared memory, at the same address here.
  void mark_robust_mutexes(const void* first, const void* last) const;

  /// To the end of `body` at full speed.
  void finish();
  /// SIGKILL, and waits until the kernel has marked its robust mutexes.
  void kill();
  [[nodiscard]] std::size_t steps() const { return steps_; }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  void wait_stopped();
  [[nodiscard]] std::uintptr_t address() const;
  bool run_to(std::uintptr_t target);
  pid_t pid_ = -1;
  std::size_t steps_ = 0;
  struct shared_page;
  shared_page* page_;
};

/// Which kill points to visit: k % stride == offset; {1, 0} is all.
struct step_subset {
  std::size_t stride = 1;
  std::size_t offset = 0;
  /// Snapshot mode: not where the arena is as it was at the last visit, unless a system call lies between.  Survivors
  /// see nothing but the arena, so that death is the same one again.
  bool only_changes = false;
  [[nodiscard]] bool contains(std::size_t k) const { return k % stride == offset % stride; }
};

struct step_counts {
  std::size_t kill_points = 0;   // visited, the nested ones included
  std::size_t same = 0;          // not visited, because the arena was as at the last visit
  std::size_t instructions = 0;  // of the operation
};

/// An operation that gets no further than this is a hang.
inline constexpr std::size_t hang_steps = 2'000'000;

struct step_case {
  std::function<void()> prepare;    // puts the arena into its first state; before each child
  std::function<void()> enter;      // runs in the child at full speed, first
  std::function<void()> operation;  // runs in the child, stepped
  std::function<void()> mark_dead;  // snapshot mode: says in the arena what the kernel would say
};

step_counts for_each_kill_point(arena& a, const step_case& c, const std::function<void()>& died,
                                step_subset subset = {});
step_counts for_each_real_kill(arena& a, const step_case& c, const std::function<void()>& died,
                               step_subset subset = {});
/// `repairer` is entered, runs its operation stepped, and is marked dead, at each instruction of which `died` judges;
/// its prepare() runs once for each k.
step_counts for_each_nested_kill(arena& a, const step_case& c, const step_case& repairer,
                                 const std::function<void()>& died, step_subset outer = {}, step_subset inner = {});
/// `stopped` runs here while the child stands at k; it may let it finish(), or kill() it.
step_counts for_each_freeze(arena& a, const step_case& c, const std::function<void(stepped_child&)>& stopped,
                            step_subset subset = {});

}  // namespace mpnet::test
