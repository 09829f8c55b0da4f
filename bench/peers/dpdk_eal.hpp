// SPDX-License-Identifier: BSD-3-Clause
// Starts DPDK's EAL in a process of the benchmark's.
#pragma once

#include <string>
#include <vector>

namespace bench {

/// As rte_eal_init with `arguments`; throws std::runtime_error.  Once a process.
void start_dpdk(const std::vector<std::string>& arguments);

/// For a process whose children, forked later, use the same memory: everything private but the pages.
/// Hugepages where enough are free, else 4 KiB pages.
void start_dpdk_for_forks(const std::vector<std::string>& more = {});

/// The calling thread becomes an lcore, as far as caches care.
void become_dpdk_lcore(unsigned lcore);

}  // namespace bench
