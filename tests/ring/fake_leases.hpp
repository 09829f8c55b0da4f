// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <mpnet/detail/lease.hpp>
#include <mpnet/types.hpp>

#include <memory>

namespace mpnet::test {

/// Leases without a group, so that threads have keys of their own.
class fake_leases {
 public:
  fake_leases() : table_(std::make_unique<detail::lease[]>(max_leases)) { detail::lease_table = table_.get(); }
  ~fake_leases() { detail::lease_table = nullptr, detail::this_lease = nullptr; }
  fake_leases(const fake_leases&) = delete;
  fake_leases& operator=(const fake_leases&) = delete;
  void hold(std::size_t index) { detail::this_lease = &table_[index]; }
  /// As a new owner of a lease whose last one is dead, or has given it back.
  void take_over(std::size_t index) {
    detail::lease& l = table_[index];
    detail::alive_word(l).store(0, std::memory_order_relaxed);  // relaxed: the incarnation publishes it
    l.incarnation.fetch_add(1, std::memory_order_release);
    l.key.store(0, std::memory_order_relaxed);  // relaxed: for the owner
    hold(index);
  }
  /// What the kernel does when a thread ends.
  static void die() { detail::alive_word(*detail::this_lease).fetch_or(FUTEX_OWNER_DIED, std::memory_order_release); }

 private:
  std::unique_ptr<detail::lease[]> table_;
};

}  // namespace mpnet::test
