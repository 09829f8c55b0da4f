// SPDX-License-Identifier: BSD-3-Clause
// Joins a group as one more secondary and accounts for every object of a pool: audit [EAL options] -- POOL, of packet
// buffers or simple_mp's messages.  Prints one line; exit code 0 when no object is lost or in two places.
#include <mpnet/mpnet.hpp>

#include <cstdio>

namespace {

struct message {  // simple_mp's
  char text[248];
};

mpnet::pool_audit audit(mpnet::group& g, const std::string& name) {
  if (name == "MSG_POOL") return mpnet::pool<message>::attach(g, name).audit(g);
  return mpnet::mbuf_pool::attach(g, name).audit(g);
}

}  // namespace

int main(int argc, char** argv) {
  return mpnet::run_main([&] {
    mpnet::eal eal{mpnet::with_process_type(argc, argv, "secondary")};
    if (eal.args().size() != 1) throw mpnet::error{mpnet::errc::usage, "usage: audit [EAL options] -- POOL"};
    const mpnet::pool_audit a = audit(eal, eal.args()[0]);
    std::printf(
        "audit: %zu objects: %zu free, %zu in rings and queues, %zu held by processes, %zu lost, %zu duplicated\n",
        a.object_count, a.in_backend, a.in_rings, a.held_elsewhere + a.in_caches_here + a.in_claims, a.lost,
        a.duplicated);
    return a.sound() ? 0 : 1;
  });
}
