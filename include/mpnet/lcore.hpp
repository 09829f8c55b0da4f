// SPDX-License-Identifier: BSD-3-Clause
// Lcores: the ids under which threads use caches, rings and queues.  Each id belongs to one thread of the whole group
// at a time.  EAL's own threads hold theirs; other threads may register.  Threads that do neither have no_lcore: all of
// the library works for them, pools without their caches.
#pragma once

#include <mpnet/detail/lease.hpp>  // lcore_id()
#include <mpnet/group.hpp>
#include <mpnet/types.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace mpnet {

/// Registers the calling thread as an lcore until the object is destroyed, by the same thread.  A thread that ends or
/// dies without that gives its id back all the same.  Control; any thread that has no lcore id.
class lcore_registration {
 public:
  struct options {
    std::optional<lcore> id;           // empty: an unused one
    std::vector<unsigned> processors;  // to pin the thread to; empty: it floats where it may run now
  };

  /// A floating thread with the lowest unused id.  Follows rte_thread_register.
  explicit lcore_registration(group& g) : lcore_registration(g, options{}) {}
  /// Throws busy where the id is taken, naming the holder; limit where none is left; invalid_argument where the thread
  /// has an id already, the id is out of range, or a processor does not exist.  Nothing has changed after a throw.
  lcore_registration(group& g, const options& wanted);
  /// Gives the id back and restores the thread's affinity.
  ~lcore_registration();
  lcore_registration(const lcore_registration&) = delete;
  lcore_registration& operator=(const lcore_registration&) = delete;

  [[nodiscard]] lcore id() const noexcept { return id_; }

 private:
  lcore id_ = no_lcore;
  std::vector<std::byte> old_affinity_;  // a cpu_set_t; empty: nothing to restore
};

/// The processors that the calling thread may run on, ascending.  Control.
[[nodiscard]] std::vector<unsigned> thread_processors();
/// The NUMA node of the processors that the calling thread may run on; any_socket where they are of several.  Control.
/// Follows rte_socket_id.
[[nodiscard]] socket_id current_socket();
/// The NUMA node of a processor; 0 where the machine does not tell.  Control.
[[nodiscard]] socket_id socket_of_processor(unsigned processor);

}  // namespace mpnet
