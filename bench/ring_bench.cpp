// SPDX-License-Identifier: BSD-3-Clause
// mpnet-bench ring.
#include "matrix.hpp"
#include "mpnet_packets.hpp"
#include "mpnet_ring.hpp"
#include "peers/peers.hpp"

namespace bench {
namespace {

/// Between processes, with real mbufs: allocated by the producer, freed by the consumer.  With ownership tags, and, to
/// show what these cost, without.
std::vector<row> run_mbuf_rings(const options& o) {
  const auto ours = mpnet_mbuf_rings();
  contestants peers;
#if defined(MPNET_BENCH_DPDK)
  add_dpdk_mbuf_rings(peers);
#endif
  return run_matrix(
      {.structure = "mbuf ring",
       .ours = ours,
       .peers = peers,
       .objects = 1U << 16,
       .rounds = 15,
       .duration_us = 0,
       .limit = false,
       .pairs = [](const contestant& mpnet, const contestant& peer) { return mpnet.mode.starts_with(peer.mode); },
       .fits = [](const contestant&,
                  placement where) { return where == placement::one_core || where == placement::split; }},
      o);
}

}  // namespace

int run_ring(const options& o) {
  const auto ours = mpnet_rings();
  const auto peers = peer_queues();
  auto rows = run_matrix(
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
  const auto mbufs = run_mbuf_rings(o);
  rows.insert(rows.end(), mbufs.begin(), mbufs.end());
  publish(o, rows);
  return 0;
}

}  // namespace bench
