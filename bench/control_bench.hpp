// SPDX-License-Identifier: BSD-3-Clause
// What attach, ipc and kill share: entering a group through EAL, and rows of durations.
#pragma once

#include <mpnet/eal.hpp>

#include <memory>
#include <string>
#include <vector>

#include "report.hpp"

namespace bench {

/// Enters the group `prefix` through EAL as one lcore, on one processor.
[[nodiscard]] std::unique_ptr<mpnet::eal> enter_mpnet(const std::string& prefix, bool primary, unsigned lcore,
                                                      unsigned processor);

/// Whether DPDK can have processes in a group here; says on stderr why not.
[[nodiscard]] bool dpdk_can_share();

/// A row of durations in cycles; pairs of the same index were measured one after the other.
[[nodiscard]] row duration_row(std::string structure, std::string mode, const std::vector<double>& mpnet,
                               std::string peer, const std::vector<double>& theirs);

/// As publish(), with a table in microseconds.
void publish_durations(const options& o, const std::vector<row>& rows);

}  // namespace bench
