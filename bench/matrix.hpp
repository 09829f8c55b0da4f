// SPDX-License-Identifier: BSD-3-Clause
// Walks through all cells of a structure: mpnet's modes, placements, bursts, peers.
#pragma once

#include "options.hpp"
#include "report.hpp"

namespace bench {

struct matrix {
  const char* structure;
  const contestants& ours;
  const contestants& peers;
  std::uint64_t objects;  // a run
  unsigned rounds;
  std::uint64_t duration_us;  // of an oversubscribed run
  bool limit = false;         // the physical limit is a row of the two-core cells
  /// Whether a peer is the counterpart of mpnet's contestant, and a placement fits it.
  bool (*pairs)(const contestant& mpnet, const contestant& peer);
  bool (*fits)(const contestant& mpnet, placement where);
};

[[nodiscard]] std::vector<row> run_matrix(const matrix& m, const options& o);

int run_ring(const options& o);
int run_pool(const options& o);
int run_forward(const options& o);
int run_nic(const options& o);
int run_kill(const options& o);
int run_attach(const options& o);
int run_recover(const options& o);
int run_ipc(const options& o);
int run_report(const options& o);

}  // namespace bench
