// SPDX-License-Identifier: BSD-3-Clause
// A worker's membership in a group made for one cell of the benchmark.
#include "mpnet_group.hpp"

#include <unistd.h>

#include <fstream>

namespace bench {

bool use_huge_pages(unsigned long pages) {
  static const unsigned long free_pages = [] {
    std::ifstream file{"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"};
    unsigned long count = 0;
    file >> count;
    return count;
  }();
  return free_pages >= pages;
}

membership::membership(bool first, unsigned lcore)
    : group_{{.file_prefix = "bench-" + std::to_string(getppid()),
              .type = first ? mpnet::process_type::primary : mpnet::process_type::secondary,
              .no_huge = first && !use_huge_pages()}},
      lcore_{group_, {.id = mpnet::lcore{static_cast<std::uint16_t>(lcore)}, .processors = {}}} {}

}  // namespace bench
