// SPDX-License-Identifier: BSD-3-Clause
// A worker's membership in a group made for one cell of the benchmark.
#pragma once

#include <mpnet/group.hpp>
#include <mpnet/lcore.hpp>

#include <optional>
#include <string>

namespace bench {

/// True where so many 2 MiB pages are free: then mpnet and DPDK both use hugepages, else neither.
[[nodiscard]] bool use_huge_pages(unsigned long pages = 160);

/// The calling process enters the group named after its parent: as primary where `first`.  It becomes lcore `lcore`.
class membership {
 public:
  membership(bool first, unsigned lcore);
  [[nodiscard]] mpnet::group& group() noexcept { return group_; }

 private:
  mpnet::group group_;
  mpnet::lcore_registration lcore_;
};

}  // namespace bench
