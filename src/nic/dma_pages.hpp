// SPDX-License-Identifier: BSD-3-Clause
// Where the region's pages lie in physical memory: what a device without an IOMMU must be told.  One table for the
// group, an entry for each 2 MiB of the region; whoever adds memory fills it in before anyone can learn of that memory,
// whoever takes memory away clears it first.  Behind an IOMMU there is no table, and addresses stay as they are.
#pragma once

#include <mpnet/group.hpp>

#include <atomic>
#include <cstdint>
#include <span>

namespace mpnet::nic {

/// This process's view of the table.
class dma_pages {
 public:
  static constexpr std::uint64_t page_bytes = 2U << 20;
  using entry = std::atomic<std::uint64_t>;  // shared; the physical address, 0: nothing there

  explicit dma_pages(std::span<entry> table) noexcept : table_(table) {}
  /// The group's table, made by whoever asks first.  Control.
  [[nodiscard]] static dma_pages of(group& g);

  /// The physical address of `at`, 0 where nothing is known to be there.  Hot.
  [[nodiscard]] std::uint64_t physical(std::uint64_t at) const noexcept {
    const std::uint64_t offset = at - group::iova_base, page = offset / page_bytes;
    if (page >= table_.size()) return 0;
    // Relaxed: filled in before the memory was published; who was handed something that lies there sees it.
    const std::uint64_t base = table_[page].load(std::memory_order_relaxed);
    return base == 0 ? 0 : base + offset % page_bytes;
  }
  /// How many of `bytes` (at most page_bytes) follow `at` in one piece of physical memory.  Hot.
  [[nodiscard]] std::uint64_t in_one_piece(std::uint64_t at, std::uint64_t bytes) const noexcept {
    const std::uint64_t first = page_bytes - at % page_bytes;
    return bytes <= first || physical(at) + first == physical(at + first) ? bytes : first;
  }

  /// Throws unsupported for small pages, permission where the kernel does not tell.  Control.
  void learn(const void* address, std::uint64_t at, std::size_t bytes, std::uint64_t memory_page_bytes) const;
  void forget(std::uint64_t at, std::size_t bytes) const noexcept;

 private:
  std::span<entry> table_;
};

/// What a device must be told to reach the `bytes` from `at` on, the one way from the region to a descriptor; 0 where
/// it cannot reach them in one piece.  `pages` is null behind an IOMMU.  Hot.
[[nodiscard]] inline std::uint64_t device_address(const dma_pages* pages, std::uint64_t at,
                                                  std::uint64_t bytes) noexcept {
  if (pages == nullptr) [[likely]]
    return at;
  return pages->in_one_piece(at, bytes) == bytes ? pages->physical(at) : 0;
}

}  // namespace mpnet::nic
