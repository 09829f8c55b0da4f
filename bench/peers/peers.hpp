// SPDX-License-Identifier: BSD-3-Clause
// The peers, each behind one function that adds what it has.  Those not found when configuring are not there;
// missing_peers says which.
#pragma once

#include "contestant.hpp"

namespace bench {

#if defined(MPNET_BENCH_DPDK)
void add_dpdk_rings(contestants& to);
void add_dpdk_pools(contestants& to);
void add_dpdk_mbuf_rings(contestants& to);
void add_dpdk_forwarders(contestants& to);
#endif
#if defined(MPNET_BENCH_CK)
void add_ck_rings(contestants& to);
#endif
#if defined(MPNET_BENCH_BOOST)
void add_boost_queues(contestants& to);
#endif
#if defined(MPNET_BENCH_CONCURRENTQUEUE)
void add_moodycamel_concurrent(contestants& to);
#endif
#if defined(MPNET_BENCH_READERWRITERQUEUE)
void add_moodycamel_reader_writer(contestants& to);
#endif
#if defined(MPNET_BENCH_ATOMIC_QUEUE)
void add_atomic_queues(contestants& to);
#endif
#if defined(MPNET_BENCH_TBB)
void add_tbb_queue(contestants& to);
#endif

/// Every queue of every peer.
[[nodiscard]] contestants peer_queues();
/// The peers that were not found when this program was configured, for people; empty: none is missing.
[[nodiscard]] std::string missing_peers();

}  // namespace bench
