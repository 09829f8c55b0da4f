// SPDX-License-Identifier: BSD-3-Clause
#include "mem/region.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <bit>
#include <sstream>

namespace mpnet::mem {
namespace {

/// The lines of /proc/self/maps that overlap a range, for people.
std::string occupants(std::uintptr_t base, std::uint64_t bytes) {
  std::istringstream maps{read_file("/proc/self/maps")};
  std::string found;
  for (std::string line; std::getline(maps, line);) {
    char* after = nullptr;
    const std::uintptr_t from = std::strtoull(line.c_str(), &after, 16);
    const std::uintptr_t to = std::strtoull(after + 1, nullptr, 16);
    if (from < base + bytes && to > base) {
      const std::size_t path = line.find_first_of("/[");
      found += fmt::format("{}{:#x}-{:#x} {}", found.empty() ? "" : ", ", from, to,
                           path == std::string::npos ? "(anonymous)" : line.substr(path));
    }
  }
  return found.empty() ? "something that is gone by now" : found;
}

/// boost::interprocess maps whatever offers a handle; ours may have come from another process.
struct descriptor {
  int fd;
  [[nodiscard]] boost::interprocess::mapping_handle_t get_mapping_handle() const {
    return boost::interprocess::ipcdetail::mapping_handle_from_file_handle(fd);
  }
};

}  // namespace

region::region(std::uintptr_t base, std::uint64_t bytes)
    : base_(base), bytes_(bytes), open_(std::make_unique<decltype(open_)::element_type>()) {
  if (base % (1ULL << 30) != 0 || base == 0 || base >= highest_base) {
    throw error{
        errc::invalid_argument,
        fmt::format("base address {:#x}: not a multiple of 1 GiB below {:#x}; choose another --base-virtaddr, and "
                    "do not mix thread-sanitizer builds with others in one group",
                    base, highest_base)};
  }
  void* got = ::mmap(reinterpret_cast<void*>(base), bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (got == MAP_FAILED && errno == EEXIST) {
    throw error{errc::busy,
                fmt::format("reserve addresses {:#x}-{:#x}: taken by {}; start the group's first process with "
                            "another --base-virtaddr",
                            base, base + bytes, occupants(base, bytes))};
  }
  if (got == MAP_FAILED) {
    throw system_error(fmt::format("reserve {} MiB of addresses at {:#x}", bytes >> 20, base), errno,
                       "raise the address space limit (ulimit -v)");
  }
  ::madvise(got, bytes, MADV_DONTDUMP);
  ::madvise(got, bytes, MADV_DONTFORK);
}

region::~region() {
  control_map_.reset();
  ::munmap(reinterpret_cast<void*>(base_), bytes_);
}

control& region::map_control(int fd) {
  namespace bi = boost::interprocess;
  try {
    control_map_ = std::make_unique<bi::mapped_region>(descriptor{fd}, bi::read_write, 0, sizeof(mem::control),
                                                       reinterpret_cast<void*>(base_), MAP_FIXED);
  } catch (const bi::interprocess_exception& e) {
    throw error{errc::system, fmt::format("map the group's config file: {}", e.what())};
  }
  ::madvise(reinterpret_cast<void*>(base_), sizeof(mem::control), MADV_DONTDUMP);
  ::madvise(reinterpret_cast<void*>(base_), sizeof(mem::control), MADV_DONTFORK);
  control_ = reinterpret_cast<mem::control*>(base_);
  return *control_;
}

void region::map_segment(std::size_t index, unique_fd fd) {
  const segment& s = control_->segments[index];
  void* const at = reinterpret_cast<void*>(base_ + s.window_offset);
  void* const got = ::mmap(at, s.window_bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd.get(), 0);
  if (got == MAP_FAILED) throw system_error(fmt::format("map {}", s.path), errno);
  ::madvise(at, s.window_bytes, MADV_DONTDUMP);
  ::madvise(at, s.window_bytes, MADV_DONTFORK);
  fds_[index] = std::move(fd);
}

void region::open_extent(std::size_t index, std::uint64_t first, std::uint64_t count) noexcept {
  const segment& s = control_->segments[index];
  ::mprotect(reinterpret_cast<void*>(base_ + s.window_offset + first * s.granule_bytes), count * s.granule_bytes,
             PROT_READ | PROT_WRITE);
  for (std::uint64_t g = first; g < first + count; ++g) {
    // relaxed: a hint for this process alone
    (*open_)[index][g / 64].fetch_or(1ULL << (g % 64), std::memory_order_relaxed);
  }
}

void region::close_extent(std::size_t index, std::uint64_t first, std::uint64_t count) noexcept {
  const segment& s = control_->segments[index];
  ::mprotect(reinterpret_cast<void*>(base_ + s.window_offset + first * s.granule_bytes), count * s.granule_bytes,
             PROT_NONE);
  for (std::uint64_t g = first; g < first + count; ++g) {
    // relaxed: a hint for this process alone
    (*open_)[index][g / 64].fetch_and(~(1ULL << (g % 64)), std::memory_order_relaxed);
  }
}

void region::sync_extents() noexcept {
  // [A-extent] pairs with [R-extent] in heap.cpp: the bits that the epoch counts are visible.
  const std::uint64_t epoch = control_->extent_epoch.load(std::memory_order_acquire);
  // relaxed: a stale value costs a second look
  if (seen_epoch_.load(std::memory_order_relaxed) == epoch) return;
  for (std::size_t i = 0; i < control_->config.segment_count; ++i) {
    const segment& s = control_->segments[i];
    const std::uint64_t words = (s.window_bytes / s.granule_bytes + 63) / 64;
    for (std::uint64_t w = 0; w < words; ++w) {
      // relaxed: ordered by the epoch above
      const std::uint64_t published = s.published[w].load(std::memory_order_relaxed);
      std::uint64_t changed = published ^ (*open_)[i][w].load(std::memory_order_relaxed);
      while (changed != 0) {  // runs of changed granules that go the same way
        const int bit = std::countr_zero(changed);
        const bool open = ((published >> bit) & 1) != 0;
        const std::uint64_t same = changed & (open ? published : ~published);
        const int length = std::countr_one(same >> bit);
        const std::uint64_t first = w * 64 + static_cast<std::uint64_t>(bit);
        if (open) {
          open_extent(i, first, static_cast<std::uint64_t>(length));
        } else {
          close_extent(i, first, static_cast<std::uint64_t>(length));
        }
        const std::uint64_t mask = length == 64 ? ~0ULL : ((1ULL << length) - 1) << bit;
        changed &= ~mask;
      }
    }
  }
  seen_epoch_.store(epoch, std::memory_order_relaxed);
}

bool region::open_at(std::uintptr_t address) noexcept {
  if (control_ == nullptr || !contains(address)) return false;
  const std::uint64_t offset = address - base_;
  for (std::size_t i = 0; i < control_->config.segment_count; ++i) {
    const segment& s = control_->segments[i];
    if (offset - s.window_offset >= s.window_bytes) continue;
    const std::uint64_t g = (offset - s.window_offset) / s.granule_bytes;
    const std::uint64_t bit = 1ULL << (g % 64);
    // [A-granule] pairs with [R-granule] in journal.cpp: the pages were there before the bit was.
    if ((s.published[g / 64].load(std::memory_order_acquire) & bit) == 0) return false;
    // relaxed: a hint.  Open already and still a fault: a real one, unless another thread opened it this moment.
    const bool was_open = ((*open_)[i][g / 64].fetch_or(bit, std::memory_order_relaxed) & bit) != 0;
    ::mprotect(reinterpret_cast<void*>(base_ + s.window_offset + g * s.granule_bytes), s.granule_bytes,
               PROT_READ | PROT_WRITE);
    static thread_local std::uintptr_t last_fault = 0;
    const bool again = was_open && last_fault == address;
    last_fault = address;
    return !again;
  }
  return false;
}

}  // namespace mpnet::mem
