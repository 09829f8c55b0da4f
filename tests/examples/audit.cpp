// SPDX-License-Identifier: BSD-3-Clause
// Joins a group as one more secondary and accounts for every packet buffer of a pool: audit [EAL options] -- POOL.
// Prints one line; exit code 0 when no object is lost or in two places.
#include <mpnet/mpnet.hpp>

#include <cstdio>

int main(int argc, char** argv) {
  return mpnet::run_main([&] {
    mpnet::eal eal{mpnet::with_process_type(argc, argv, "secondary")};
    if (eal.args().size() != 1) throw mpnet::error{mpnet::errc::usage, "usage: audit [EAL options] -- POOL"};
    const auto pool = mpnet::mbuf_pool::attach(eal, eal.args()[0]);
    const mpnet::pool_audit a = pool.audit(eal);
    std::printf(
        "audit: %zu objects: %zu free, %zu in rings and queues, %zu held by processes, %zu lost, %zu duplicated\n",
        a.object_count, a.in_backend, a.in_rings, a.held_elsewhere + a.in_caches_here + a.in_claims, a.lost,
        a.duplicated);
    return a.sound() ? 0 : 1;
  });
}
