// SPDX-License-Identifier: BSD-3-Clause
// What must hold of a group's shared memory whenever nobody is changing it, checked by a walk through all of it: the
// statistics are recounted, the pages of the files are compared with what is published, and nothing may belong to
// anyone but the living.
#pragma once

#include <fmt/format.h>
#include <mpnet/group.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "mem/control.hpp"
#include "support/crash_run.hpp"

namespace mpnet::test {

template <class First, class... Rest>
void require(bool condition, fmt::format_string<First, Rest...> what, First&& first, Rest&&... rest) {
  if (!condition) throw std::runtime_error{fmt::format(what, std::forward<First>(first), std::forward<Rest>(rest)...)};
}

/// Throws what is wrong.  `living`: the slots that may be in use, by processes without leases.
void check_group(const group& g, const std::vector<std::uint32_t>& living);

/// The zones, and the blocks that are nobody's own, in words: equal for states between which users see no difference.
[[nodiscard]] std::string contents(const group& g);

/// What deaths leave to repair, by kind.
[[nodiscard]] std::vector<std::string> kinds_of_repair();
/// Counts what there is to repair; before the recovery.
void count_repairs(const group& g, crash_run& run);

}  // namespace mpnet::test
