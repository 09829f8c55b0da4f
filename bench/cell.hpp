// SPDX-License-Identifier: BSD-3-Clause
// One cell: mpnet against each peer under one placement and burst, A B A B, with the line round trip around each pair.
#pragma once

#include "contestant.hpp"

#include <optional>
#include <vector>

namespace bench {

struct cell_plan {
  contestant* mpnet = nullptr;
  std::vector<contestant*> peers;  // all of them across processes, or all in threads, as mpnet is to be run
  placement where = placement::one_core;
  unsigned burst = 1;
  unsigned rounds = 15;
  std::uint64_t objects = 0;         // a run and worker; unused where oversubscribed
  std::uint64_t duration_us = 0;     // of an oversubscribed run
  std::vector<unsigned> processors;  // two
  bool measure_limit = false;        // also how fast lines go from core to core at best
};

/// One pair of runs.
struct sample {
  double mpnet_cycles = 0;  // processor cycles an object, both sides together
  double peer_cycles = 0;
  double line_rtt_cycles = 0;  // the mean of before and after; 0 with one processor
  double limit_cycles = 0;     // an object of 8 bytes at the physical limit, both sides together; 0: not measured
};

/// Samples by peer, in the order of the plan.  Throws std::runtime_error where a worker fails or hangs.
[[nodiscard]] std::vector<std::vector<sample>> run_cell(const cell_plan& plan);

}  // namespace bench
