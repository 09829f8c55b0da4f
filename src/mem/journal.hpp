// SPDX-License-Identifier: BSD-3-Clause
// The control lock and its undo journal.  Zones, the heap and the extents change inside a transaction: each store is
// preceded by {address, old value} in the journal.  Whoever takes the lock from a dead owner undoes the journal in
// reverse; doing so twice is harmless.  SIGKILL leaves exactly the stores that retired, so only the order of the
// instructions matters, and no flushes are needed.  Control.
#pragma once

#include <mpnet/group.hpp>

#include "mem/control.hpp"

namespace mpnet::mem {

class transaction {
 public:
  /// Takes the control lock.  Waits at most ten seconds for a holder that does not run (stopped, debugged), then throws
  /// timed_out naming it; a dead holder's changes are undone at once.
  explicit transaction(group& g);
  /// Undoes what was not committed, and unlocks.
  ~transaction();
  transaction(const transaction&) = delete;
  transaction& operator=(const transaction&) = delete;

  /// Stores `value` into a field of the control segment.  Throws limit when the journal is full.
  void set(std::uint64_t& field, std::uint64_t value);
  void set(std::atomic<std::uint64_t>& field, std::uint64_t value);
  /// What was set so far stays.
  void commit() noexcept;

  /// Announces that the granules will be committed or given back.  One announcement at a time.
  void announce(std::uint64_t segment_index, std::uint64_t first, std::uint64_t count) noexcept;
  /// Gives back what was announced and did not come to be published, so that another announcement may follow.
  void settle() noexcept { reconcile(); }

  [[nodiscard]] group& owner() const noexcept { return group_; }
  [[nodiscard]] control& shared() const noexcept { return control_; }

 private:
  void lock();
  void count_inheritance() noexcept;
  void undo() noexcept;
  void reconcile() noexcept;

  group& group_;
  control& control_;
};

}  // namespace mpnet::mem
