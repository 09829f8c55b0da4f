// SPDX-License-Identifier: BSD-3-Clause
// DPDK's own testpmd as a peer: a program of its own, whose rates are read from what it prints.
#pragma once

#include "options.hpp"
#include "report.hpp"

namespace bench {

/// Runs mpnet's null ports and testpmd's, turn and turn about, and appends a row for each burst.  Nothing where
/// dpdk-testpmd is not installed or does not run: then it says so on stderr.
void append_testpmd(std::vector<row>& rows, contestant& mpnet, const options& o);

}  // namespace bench
