// SPDX-License-Identifier: BSD-3-Clause
// A group for the kill-at-every-instruction tests.  This process, J, is the member that survives, steps, and judges.
//
// Actors: A dies in the operation; R repairs and dies too; J survives.  In snapshot mode A only stands still: J puts
// lock files in place of the group's own in which A holds nothing, marks A's robust mutexes as the kernel would,
// judges, and puts back everything that survivors can read: the control segment as far as small tests use it, and the
// pages of the segment's file with their first bytes.
#pragma once

#include <mpnet/group.hpp>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "mem/local_state.hpp"
#include "support/stepper.hpp"

namespace mpnet::test {

/// Whether nobody outside the process can see a difference after that system call.
[[nodiscard]] bool is_private(const stepped_child::system_call& call);

class crash_world {
 public:
  /// Makes a group of this process alone.
  explicit crash_world(const group_options& options);
  ~crash_world();
  crash_world(const crash_world&) = delete;
  crash_world& operator=(const crash_world&) = delete;

  [[nodiscard]] group& shared() const { return *group_; }
  [[nodiscard]] const std::string& prefix() const { return prefix_; }

  /// Parts of the control segment that change in small tests, and the model of the file's pages.
  struct image {
    std::vector<std::byte> control;
    std::vector<bool> pages;
    std::vector<std::vector<std::byte>> contents;  // of those pages: their first bytes
  };
  [[nodiscard]] image save() const;
  void restore(const image& saved);

  /// Before an operation is stepped: what is there now is not its doing.
  void begin();
  /// After others worked in between: their changes are not the operation's.
  void look_afresh() { remember(); }
  /// After it: throws where something changed outside the parts that step() looks at.
  void check_unwatched() const;

  /// Steps once; true where survivors could see a difference afterwards: a store to the control segment, or a system
  /// call that changes something outside the process.
  struct progress {
    bool more;
    bool visible;
  };
  progress step(stepped_child& child);

  /// Runs `judge` as if `dead` were dead, and nobody alive but this process; then puts everything back.
  void as_if_dead(const std::vector<const stepped_child*>& dead, const std::function<void()>& judge);

  /// In a child: enters the group.  The object lives as long as the child.
  group& enter() const;
  /// The same as members do that fork_member() makes.
  group& enter_by_fork() const;
  /// In a child that is a member: takes A for dead, as as_if_dead() does here.
  void believe_dead(group& g) const;

  /// Whether others may enter at this moment: nobody holds the initialise lock exclusively.
  [[nodiscard]] bool may_enter() const;

 private:
  struct part {
    std::byte* first;
    std::size_t size;
  };
  [[nodiscard]] bool changed() const;
  void remember();
  void forget_locks() const;
  void note_pages(const stepped_child& child, const stepped_child::system_call& call);
  [[nodiscard]] std::vector<bool> published() const;
  void set_pages(const std::vector<bool>& wanted, const std::vector<bool>& present);

  std::string prefix_;
  std::string twin_dir_;
  std::unique_ptr<group> group_;
  std::array<std::unique_ptr<mem::lock_file>, 2> twins_;  // [0]: as R sees the world, [1]: as J sees it
  std::vector<part> parts_;
  std::vector<std::byte> remembered_, unwatched_;
  std::vector<bool> pages_;      // granules of segment 0 that its file has
  std::byte* window_ = nullptr;  // all of the file
  std::uint64_t epoch_ = 0;      // of extents: only grows, or processes would not look again
};

}  // namespace mpnet::test
