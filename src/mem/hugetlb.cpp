// SPDX-License-Identifier: BSD-3-Clause
#include "mem/hugetlb.hpp"

#include <fmt/format.h>
#include <linux/magic.h>
#include <mntent.h>
#include <numa.h>
#include <sched.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "mem/system.hpp"

namespace mpnet::mem {
namespace {

/// The page size of a hugetlbfs, or 0 where `path` is none.
std::uint64_t hugetlb_page_bytes(const std::string& path) {
  struct statfs fs {};
  if (::statfs(path.c_str(), &fs) != 0 || fs.f_type != HUGETLBFS_MAGIC) return 0;
  return static_cast<std::uint64_t>(fs.f_bsize);
}

}  // namespace

std::vector<std::string> mounted_hugetlbfs() {
  std::vector<std::string> paths;
  const std::unique_ptr<FILE, int (*)(FILE*)> file{::setmntent("/proc/mounts", "r"), ::endmntent};
  if (!file) return paths;
  mntent entry{};
  char buffer[4096];
  while (::getmntent_r(file.get(), &entry, buffer, sizeof buffer) != nullptr) {
    if (std::string_view{entry.mnt_type} == "hugetlbfs") paths.emplace_back(entry.mnt_dir);
  }
  return paths;
}

std::vector<hugetlb_mount> hugetlb_mounts(const std::vector<std::string>& wanted) {
  std::vector<hugetlb_mount> mounts;
  for (const std::string& path : wanted.empty() ? mounted_hugetlbfs() : wanted) {
    const std::uint64_t page_bytes = hugetlb_page_bytes(path);
    if (page_bytes == 0) {
      throw error{errc::no_hugepages,
                  fmt::format("--huge-dir {0}: no hugetlbfs is mounted there; mount -t hugetlbfs none {0}", path)};
    }
    const bool known = std::any_of(mounts.begin(), mounts.end(),
                                   [page_bytes](const hugetlb_mount& m) { return m.page_bytes == page_bytes; });
    if (known) continue;
    if (::access(path.c_str(), W_OK | X_OK) != 0) {
      if (wanted.empty()) continue;
      throw error{errc::permission,
                  fmt::format("--huge-dir {}: no permission to write there; see docs/running.md", path)};
    }
    mounts.push_back({path, page_bytes});
  }
  std::sort(mounts.begin(), mounts.end(),
            [](const hugetlb_mount& a, const hugetlb_mount& b) { return a.page_bytes < b.page_bytes; });
  return mounts;
}

std::uint64_t free_hugepages(std::uint64_t page_bytes, int node) {
  const std::string base =
      node < 0 ? std::string{"/sys/kernel/mm"} : fmt::format("/sys/devices/system/node/node{}", node);
  std::string text = read_file(fmt::format("{}/hugepages/hugepages-{}kB/free_hugepages", base, page_bytes >> 10));
  if (text.empty() && node >= 0) return node == 0 ? free_hugepages(page_bytes, -1) : 0;
  return std::strtoull(text.c_str(), nullptr, 10);
}

std::string reserve_command(std::uint64_t page_bytes) {
  return fmt::format("echo 1024 > /sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages", page_bytes >> 10);
}

std::vector<int> numa_nodes() {
  std::vector<int> nodes;
  if (::numa_available() >= 0) {
    for (int node = 0; node <= ::numa_max_node(); ++node) {
      if (::numa_bitmask_isbitset(numa_all_nodes_ptr, static_cast<unsigned>(node)) != 0) nodes.push_back(node);
    }
  }
  if (nodes.empty()) nodes.push_back(0);
  return nodes;
}

int current_node() {
  const int node = ::numa_available() >= 0 ? ::numa_node_of_cpu(::sched_getcpu()) : 0;
  return node < 0 ? 0 : node;
}

std::uint64_t physical_memory_bytes() {
  return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

void numa_detail::bind_thread(int node) {
  if (::numa_available() >= 0 && ::numa_max_node() > 0) {
    ::numa_set_bind_policy(1);
    bitmask* mask = ::numa_allocate_nodemask();
    ::numa_bitmask_setbit(mask, static_cast<unsigned>(node));
    ::numa_set_membind(mask);
    ::numa_bitmask_free(mask);
  }
}

void numa_detail::unbind_thread() {
  if (::numa_available() >= 0 && ::numa_max_node() > 0) ::numa_set_localalloc();
}

}  // namespace mpnet::mem
