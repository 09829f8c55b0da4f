// SPDX-License-Identifier: BSD-3-Clause
// mpnet-bench forward: null ports on one core beside testpmd and beside the same loop on DPDK; a server and a client in
// two processes with a ring between them.
#include "matrix.hpp"
#include "mpnet_packets.hpp"
#include "peers/peers.hpp"
#include "testpmd.hpp"

#include "machine.hpp"

#include <fmt/format.h>

namespace bench {
namespace {

void print_rates(const std::vector<row>& rows) {
  fmt::print(
      "\n| million packets per second and core | placement | n | mpnet | peer | | mpnet / peer "
      "|\n|---|---|---|---|---|---|---|\n");
  for (const auto& r : rows) {
    if (r.rounds == 0) continue;
    const double hz =
        cycles_per_us();  // packets per microsecond: millions per second; both sides' cycles are in the row
    fmt::print("| {} | {} {} | {} | {:.1f} | {:.1f} | {} | {:.2f} ± {:.2f} |\n", r.mode, r.placement, distance_of(r),
               r.burst, hz / r.mpnet_cycles, hz / r.peer_cycles, r.peer, 1 / r.ratio, r.spread / 2 / r.ratio / r.ratio);
  }
}

}  // namespace

int run_forward(const options& o) {
  const auto ours = mpnet_forwarders();
  contestants peers;
#if defined(MPNET_BENCH_DPDK)
  add_dpdk_forwarders(peers);
#endif
  options wanted = o;
  if (wanted.bursts.empty()) wanted.bursts = {32};
  auto rows =
      run_matrix({.structure = "forward",
                  .ours = ours,
                  .peers = peers,
                  .objects = 1U << 20,
                  .rounds = 15,
                  .duration_us = 0,
                  .limit = false,
                  .pairs = [](const contestant& mpnet, const contestant& peer) { return mpnet.mode == peer.mode; },
                  .fits =
                      [](const contestant& mpnet, placement where) {
                        return where == (mpnet.mode == "pipeline" ? placement::split : placement::one_core);
                      }},
                 wanted);
  if (selected(o.modes, "null ports") && selected(o.peers, "testpmd")) append_testpmd(rows, *ours.back(), wanted);
  publish(o, rows);
  if (o.output == format::table) print_rates(rows);
  return 0;
}

}  // namespace bench
