// SPDX-License-Identifier: BSD-3-Clause
// DPDK's processes as members of a multi-process group: to attach, to ask each other, to be killed.
#pragma once

#include <cstdint>
#include <string>

namespace bench {

/// Enters; real hugepages are needed, for DPDK's secondaries cannot do without.  Throws std::runtime_error.
void enter_dpdk(const std::string& prefix, bool primary, unsigned lcore, unsigned processor);
void leave_dpdk();
/// Removes what a group leaves behind in files.
void clean_dpdk(const std::string& prefix);

/// In the primary: answers requests named "bench" with what they carry.
void answer_dpdk_requests();
/// In a secondary: one request and its answer.  Throws where there is none.
void make_dpdk_request();

/// In the primary: a pool of `count` objects with caches of 64 and an MP/MC ring, both found by name.
void make_dpdk_objects(unsigned count);
/// One round of a busy process: gets 8 objects, hands them through the ring, puts them back.  May hang after a death.
class dpdk_worker {
 public:
  dpdk_worker();
  void round() noexcept;
  /// Empties the ring and says how many objects of the pool are nowhere to be found.
  [[nodiscard]] unsigned lost() noexcept;

 private:
  void* pool_;
  void* ring_;
};

}  // namespace bench
