// SPDX-License-Identifier: BSD-3-Clause
// Starts DPDK's EAL in a process of the benchmark's.
#include "peers/dpdk_eal.hpp"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#include "mpnet_group.hpp"

#include <stdexcept>

namespace bench {
void start_dpdk(const std::vector<std::string>& arguments) {
  std::vector<std::string> texts{"mpnet-bench", "--no-pci", "--no-telemetry", "--log-level=*:error"};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  static std::vector<char*> pointers;  // EAL keeps them
  static std::vector<std::string> kept;
  kept = texts;
  for (auto& text : kept) pointers.push_back(text.data());
  if (rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) < 0) {
    throw std::runtime_error{std::string{"rte_eal_init: "} + rte_strerror(rte_errno)};
  }
}

void start_dpdk_for_forks(const std::vector<std::string>& more) {
  std::vector<std::string> arguments{"--lcores=0@0", "-m", "128"};
  if (use_huge_pages()) {
    arguments.emplace_back("--in-memory");
  } else {
    arguments.emplace_back("--no-huge");
    arguments.emplace_back("--no-shconf");
  }
  arguments.insert(arguments.end(), more.begin(), more.end());
  start_dpdk(arguments);
}

void become_dpdk_lcore(unsigned lcore) {
  RTE_PER_LCORE(_lcore_id) = lcore;
}

}  // namespace bench
