// SPDX-License-Identifier: BSD-3-Clause
// mpnet-bench pool.
#include "matrix.hpp"
#include "mpnet_pool.hpp"
#include "peers/peers.hpp"

namespace bench {

int run_pool(const options& o) {
  const auto ours = mpnet_pools();
  contestants peers;
#if defined(MPNET_BENCH_DPDK)
  add_dpdk_pools(peers);
#endif
  const auto rows =
      run_matrix({.structure = "pool",
                  .ours = ours,
                  .peers = peers,
                  .objects = 1U << 16,
                  .rounds = 15,
                  .duration_us = 60'000,
                  .limit = false,
                  .pairs = [](const contestant& mpnet, const contestant& peer) { return mpnet.mode == peer.mode; },
                  .fits = [](const contestant&, placement) { return true; }},
                 o);
  publish(o, rows);
  return 0;
}

}  // namespace bench
