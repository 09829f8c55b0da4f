// SPDX-License-Identifier: BSD-3-Clause
// The port table and the locks on it: words that hold {tag, incarnation, pid} of a process, taken by CAS, and taken
// from a dead process by whoever finds it dead.  Control.
#pragma once

#include <mpnet/detail/port_shared.hpp>
#include <mpnet/detail/recovery.hpp>
#include <mpnet/group.hpp>
#include <mpnet/memzone.hpp>

#include <atomic>
#include <optional>
#include <string>

namespace mpnet::nic {

using detail::port_shared;
using detail::port_table;

/// Takes part in recovery; call before entering a group.  Any number of times.
void register_port_kind();

/// The group's port table; made by the first who asks.
[[nodiscard]] port_table& table_of(group& g);
/// The same, or null where nobody made it yet.
[[nodiscard]] port_table* find_table(group& g);

/// Whether a zone is a port table of this build's layout.
[[nodiscard]] bool is_port_table(const zone_info& zone) noexcept;
[[nodiscard]] port_info info_of(const port_shared& p);
/// Whom a queue's claim word names; empty for 0.
[[nodiscard]] std::optional<queue_driver> driver_in(std::uint64_t claim) noexcept;

/// This process's claim word in the group.
[[nodiscard]] std::uint64_t own_claim(const group& g) noexcept;
/// Whether the holder is gone for good, as the kernel says.  One system call.
[[nodiscard]] bool is_claim_dead(const group& g, std::uint64_t word) noexcept;
/// "process 4711".
[[nodiscard]] std::string describe_claim(std::uint64_t word);

/// Holds a lock word for a scope.  Waits up to `timeout_ms` for a living holder, then throws busy naming it and `what`.
/// Threads of one process exclude each other too; the same thread must not lock twice.
class word_lock {
 public:
  word_lock(const group& g, std::atomic<std::uint64_t>& word, const std::string& what, int timeout_ms = 5000);
  ~word_lock();
  word_lock(const word_lock&) = delete;
  word_lock& operator=(const word_lock&) = delete;

 private:
  std::atomic<std::uint64_t>& word_;
  std::uint64_t mine_;
};

[[nodiscard]] inline port_state state_of(const port_shared& p) noexcept {
  // [A-port-state] pairs with [R-port-state]: the fields written before a state are seen with it.
  return static_cast<port_state>(p.state.load(std::memory_order_acquire));
}
inline void set_state(port_shared& p, port_state state) noexcept {
  // [R-port-state] pairs with [A-port-state].
  p.state.store(static_cast<std::uint32_t>(state), std::memory_order_release);
}
[[nodiscard]] inline bool is_there(const port_shared& p) noexcept {
  const port_state s = state_of(p);
  return s == port_state::stopped || s == port_state::started;
}

/// Frees what a dead process held of this port: the driver's repair, then its queue claims.  Idempotent; any process.
void repair_port(group& g, port_shared& p, const detail::dead_party& dead, detail::recovery_counts& counts);
/// Removes a port for good: the driver's destroy, the area, the place.  Under the table's lock.
void erase_port(group& g, port_shared& p) noexcept;

}  // namespace mpnet::nic
