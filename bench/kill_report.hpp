// SPDX-License-Identifier: BSD-3-Clause
// What mpnet-bench kill found, for people and as rows.
#pragma once

#include <cstdint>
#include <vector>

#include "kill_dpdk.hpp"
#include "options.hpp"
#include "report.hpp"

namespace bench {

struct repair_kind {
  const char* name;  // of the field in a row
  const char* what;
  std::uint64_t count;
};

struct kill_results {
  unsigned kills = 0, wedges = 0;
  unsigned aimed = 0, reached = 0;  // kills aimed at a phase, and those that fell there
  std::uint64_t lost = 0, duplicated = 0, unsettled = 0;
  std::uint64_t tries = 0;  // rounds from the death mark until one went through, the most
  std::vector<repair_kind> repairs;
  std::vector<double> from_mark, running_from_mark, from_kill, to_recovered;  // cycles, one a kill

  [[nodiscard]] bool sound() const noexcept { return wedges == 0 && lost == 0 && duplicated == 0 && unsettled == 0; }
};

/// Prints and saves what the options ask for.
void report_kills(const options& o, const kill_results& mpnet, const dpdk_kills& dpdk);

}  // namespace bench
