// SPDX-License-Identifier: BSD-3-Clause
// mpnet-bench ring.
#include "matrix.hpp"
#include "mpnet_ring.hpp"
#include "peers/peers.hpp"

namespace bench {

int run_ring(const options& o) {
  const auto ours = mpnet_rings();
  const auto peers = peer_queues();
  const auto rows = run_matrix(
      {.structure = "ring",
       .ours = ours,
       .peers = peers,
       .objects = 1U << 16,
       .rounds = 15,
       .duration_us = 60'000,
       .limit = true,
       .pairs = [](const contestant& mpnet, const contestant& peer) { return mpnet.mode.starts_with(peer.mode); },
       .fits =
           [](const contestant& mpnet, placement where) {
             return mpnet.mode.starts_with("many") || where == placement::one_core || where == placement::split;
           }},
      o);
  publish(o, rows);
  return 0;
}

}  // namespace bench
