// SPDX-License-Identifier: BSD-3-Clause
// Collects the peers that were found when configuring.
#include "peers/peers.hpp"

namespace bench {

contestants peer_queues() {
  contestants all;
#if defined(MPNET_BENCH_DPDK)
  add_dpdk_rings(all);
#endif
#if defined(MPNET_BENCH_CK)
  add_ck_rings(all);
#endif
#if defined(MPNET_BENCH_BOOST)
  add_boost_queues(all);
#endif
#if defined(MPNET_BENCH_CONCURRENTQUEUE)
  add_moodycamel_concurrent(all);
#endif
#if defined(MPNET_BENCH_READERWRITERQUEUE)
  add_moodycamel_reader_writer(all);
#endif
#if defined(MPNET_BENCH_ATOMIC_QUEUE)
  add_atomic_queues(all);
#endif
#if defined(MPNET_BENCH_TBB)
  add_tbb_queue(all);
#endif
  return all;
}

std::string missing_peers() {
  std::string missing;
  const auto add = [&](bool found, const char* package) {
    if (!found) missing += (missing.empty() ? "" : ", ") + std::string{package};
  };
#if !defined(MPNET_BENCH_DPDK)
  add(false, "libdpdk-dev");
#endif
#if !defined(MPNET_BENCH_CK)
  add(false, "libck-dev");
#endif
#if !defined(MPNET_BENCH_BOOST)
  add(false, "libboost-dev");
#endif
#if !defined(MPNET_BENCH_CONCURRENTQUEUE)
  add(false, "libconcurrentqueue-dev");
#endif
#if !defined(MPNET_BENCH_READERWRITERQUEUE)
  add(false, "libreaderwriterqueue-dev");
#endif
#if !defined(MPNET_BENCH_ATOMIC_QUEUE)
  add(false, "libatomic-queue-dev");
#endif
#if !defined(MPNET_BENCH_TBB)
  add(false, "libtbb-dev");
#endif
  add(true, "");
  return missing;
}

}  // namespace bench
