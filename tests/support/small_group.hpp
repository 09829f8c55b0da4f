// SPDX-License-Identifier: BSD-3-Clause
// Options of groups that need no hugepage.
#pragma once

#include <mpnet/group.hpp>

#include <string>

namespace test {

/// Who attaches repeats none of them.
inline mpnet::group_options small_group(const std::string& prefix,
                                        mpnet::process_type type = mpnet::process_type::primary,
                                        std::uint64_t memory_mib = 64) {
  if (type == mpnet::process_type::secondary) return {.file_prefix = prefix, .type = type};
  return {.file_prefix = prefix, .type = type, .no_huge = true, .memory_mib = memory_mib};
}

}  // namespace test
