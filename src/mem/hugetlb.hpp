// SPDX-License-Identifier: BSD-3-Clause
// What the machine offers in pages: hugetlbfs mounts, page sizes, free pages, NUMA nodes, physical memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mpnet::mem {

struct hugetlb_mount {
  std::string path;
  std::uint64_t page_bytes = 0;
};

/// Where /proc/mounts has a hugetlbfs, whether or not this process may write to it.
[[nodiscard]] std::vector<std::string> mounted_hugetlbfs();

/// The hugetlbfs mounts among `wanted`, or all of /proc/mounts where `wanted` is empty; one per page size, the first
/// that this process may write to.  Throws no_hugepages for a wanted directory that is not a hugetlbfs.
[[nodiscard]] std::vector<hugetlb_mount> hugetlb_mounts(const std::vector<std::string>& wanted);

/// Free pages of a size on a node (-1: all nodes).
[[nodiscard]] std::uint64_t free_hugepages(std::uint64_t page_bytes, int node);

/// The command that reserves pages, for error texts.
[[nodiscard]] std::string reserve_command(std::uint64_t page_bytes);

/// NUMA nodes with memory, ascending; {0} where the machine has no NUMA.
[[nodiscard]] std::vector<int> numa_nodes();
/// The node of the processor that the caller runs on.
[[nodiscard]] int current_node();
/// Runs `allocate` with the calling thread's memory preferred on `node`.
template <class F>
void on_node(int node, F&& allocate);

[[nodiscard]] std::uint64_t physical_memory_bytes();

namespace numa_detail {
void bind_thread(int node);
void unbind_thread();
}  // namespace numa_detail

template <class F>
void on_node(int node, F&& allocate) {
  struct restore {
    ~restore() { numa_detail::unbind_thread(); }
  };
  numa_detail::bind_thread(node);
  const restore guard;
  allocate();
}

}  // namespace mpnet::mem
