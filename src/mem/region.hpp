// SPDX-License-Identifier: BSD-3-Clause
// This process's mapping of the region: one reservation at the group's base address, the control segment at its start,
// and a window for each segment's sparse file.
//
// Holes are mapped PROT_NONE, because a stray read or an mlockall(2) over a readable hole would take a free hugepage.
// Extents are opened once they are published: at attach, at every lookup, and in the fault handler for a pointer that
// arrives before the news.  Control, but for open_at().
#pragma once

#include <array>
#include <atomic>
#include <boost/interprocess/mapped_region.hpp>
#include <cstdint>
#include <memory>
#include <utility>

#include "mem/control.hpp"
#include "mem/system.hpp"

namespace mpnet::mem {

/// Where groups lie unless told otherwise: far from executables, heaps, stacks and libraries, so that ASLR can stay on.
/// ThreadSanitizer keeps that place for itself.
#if defined(__SANITIZE_THREAD__)
#define MPNET_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MPNET_TSAN 1
#endif
#endif
#if defined(MPNET_TSAN)
inline constexpr std::uintptr_t default_base = 0x10'0000'0000;
inline constexpr std::uintptr_t highest_base = 0x40'0000'0000;
#else
inline constexpr std::uintptr_t default_base = 0x2000'0000'0000;
inline constexpr std::uintptr_t highest_base = 0x7000'0000'0000;
#endif

class region {
 public:
  /// Reserves addresses.  Throws busy naming what lies there.
  region(std::uintptr_t base, std::uint64_t bytes);
  ~region();
  region(const region&) = delete;
  region& operator=(const region&) = delete;

  [[nodiscard]] mem::control& map_control(int fd);
  /// Maps a segment's whole window, all of it closed.
  void map_segment(std::size_t index, unique_fd fd);
  [[nodiscard]] int segment_fd(std::size_t index) const noexcept { return fds_[index].get(); }

  /// The segments' files, whose mappings stay.
  [[nodiscard]] std::array<unique_fd, max_segments> take_files() noexcept { return std::move(fds_); }

  /// Opens what was published since the last call and closes what was withdrawn.  Any thread.
  void sync_extents() noexcept;
  void open_extent(std::size_t segment, std::uint64_t first, std::uint64_t count) noexcept;
  void close_extent(std::size_t segment, std::uint64_t first, std::uint64_t count) noexcept;
  /// Opens the published granule around `address`; false where there is none.  Async-signal-safe.
  bool open_at(std::uintptr_t address) noexcept;

  [[nodiscard]] bool contains(std::uintptr_t address) const noexcept { return address - base_ < bytes_; }
  [[nodiscard]] std::uintptr_t base() const noexcept { return base_; }

 private:
  std::uintptr_t base_;
  std::uint64_t bytes_;
  mem::control* control_ = nullptr;
  std::unique_ptr<boost::interprocess::mapped_region> control_map_;
  std::array<unique_fd, max_segments> fds_;
  std::atomic<std::uint64_t> seen_epoch_{0};
  // Which granules this process has open.  Hints only: opening twice is harmless.
  std::unique_ptr<std::array<std::array<std::atomic<std::uint64_t>, max_granules / 64>, max_segments>> open_;
};

}  // namespace mpnet::mem
