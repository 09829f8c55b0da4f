// SPDX-License-Identifier: BSD-3-Clause
// The table of physical addresses; see dma_pages.hpp.  The kernel tells them in /proc/self/pagemap
// (Documentation/admin-guide/mm/pagemap.rst).
#include "nic/dma_pages.hpp"

#include <mpnet/detail/unique_fd.hpp>
#include <mpnet/error.hpp>
#include <mpnet/memzone.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "mem/control.hpp"

namespace mpnet::nic {
namespace {

std::uint64_t read_physical(int pagemap, const void* address) {
  static_cast<void>(*static_cast<const volatile std::byte*>(address));  // only what is mapped has an entry
  const auto system_page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  std::uint64_t entry = 0;
  const auto where = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(address) / system_page * sizeof(entry));
  if (pread(pagemap, &entry, sizeof(entry), where) != sizeof(entry)) {
    throw error{errc::system,
                fmt::format("no-IOMMU mode: read /proc/self/pagemap: {}; mount /proc", std::strerror(errno))};
  }
  const bool present = (entry >> 63) != 0;
  const std::uint64_t frame = entry & ((1ULL << 55) - 1);
  if (!present || frame == 0) {
    throw error{errc::permission,
                "no-IOMMU mode: the kernel does not tell this process where its memory lies; run it "
                "as root, with CAP_SYS_ADMIN"};
  }
  return frame * system_page;
}

}  // namespace

dma_pages dma_pages::of(group& g) {
  const std::size_t count = (g.control().config.region_bytes + page_bytes - 1) / page_bytes;
  const zone_spec spec{.name = "dma_pages", .kind = zone_kind::raw, .size_bytes = count * sizeof(entry)};
  const zone_info zone =
      find_or_reserve_zone(g, spec, [&](void* memory) { std::memset(memory, 0, count * sizeof(entry)); });
  return dma_pages{{static_cast<entry*>(zone.address), count}};
}

void dma_pages::learn(const void* address, std::uint64_t at, std::size_t bytes, std::uint64_t memory_page_bytes) const {
  if (memory_page_bytes < page_bytes) {
    throw error{errc::unsupported,
                "no-IOMMU mode: the kernel moves small pages about, so a device can have only "
                "hugepages; reserve some with `sysctl vm.nr_hugepages=N`, and leave --no-huge out"};
  }
  const detail::unique_fd pagemap{::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)};
  for (std::size_t done = 0; done < bytes; done += page_bytes) {
    const std::uint64_t physical = read_physical(pagemap.get(), static_cast<const std::byte*>(address) + done);
    // Relaxed: the memory itself is published afterwards.
    table_[(at + done - group::iova_base) / page_bytes].store(physical, std::memory_order_relaxed);
  }
}

void dma_pages::forget(std::uint64_t at, std::size_t bytes) const noexcept {
  // Relaxed: nobody may use that memory any more.
  for (std::size_t done = 0; done < bytes; done += page_bytes) {
    table_[(at + done - group::iova_base) / page_bytes].store(0, std::memory_order_relaxed);
  }
}

}  // namespace mpnet::nic
