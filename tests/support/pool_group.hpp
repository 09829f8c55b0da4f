// SPDX-License-Identifier: BSD-3-Clause
// Options of groups with pools and rings, whose recovery a process knows that registers their kinds.
#pragma once

#include <mpnet/pool.hpp>
#include <mpnet/ring.hpp>

#include "ring/ring_repair.hpp"
#include "support/small_group.hpp"

namespace test {

inline mpnet::group_options pool_group(const std::string& prefix,
                                       mpnet::process_type type = mpnet::process_type::primary) {
  mpnet::detail::register_ring_kind();
  mpnet::detail::register_pool_kind();
  return small_group(prefix, type, 512);
}

}  // namespace test
