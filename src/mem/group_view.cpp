// SPDX-License-Identifier: BSD-3-Clause
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <mpnet/group_view.hpp>

#include <algorithm>
#include <array>
#include <boost/interprocess/mapped_region.hpp>
#include <cstring>
#include <optional>

#include "mem/config_file.hpp"
#include "mem/lock_file.hpp"
#include "mem/membership.hpp"
#include "mem/runtime_dir.hpp"
#include "mem/zone.hpp"

namespace mpnet {
namespace {

namespace bi = boost::interprocess;

struct read_only_file {
  int fd;
  [[nodiscard]] bi::mapping_handle_t get_mapping_handle() const {
    return bi::ipcdetail::mapping_handle_from_file_handle(fd);
  }
};

bool is_dir(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

std::string text_of(const char* bytes, std::size_t limit) {
  return {bytes, ::strnlen(bytes, limit)};
}

}  // namespace

struct group_view::impl {
  std::unique_ptr<mem::lock_file> locks;  // none: nobody can be alive
  mem::unique_fd config_fd;
  bi::mapped_region map;
  const mem::control* control = nullptr;
  std::size_t segment_count = 0;                         // of the header that was examined
  std::array<mem::unique_fd, max_segments> segment_fds;  // opened at the first need

  [[nodiscard]] bool lives(std::uint32_t slot) const {
    return locks && locks->holder(mem::lock_file::first_slot + static_cast<off_t>(slot)) != -1;
  }
  /// The segment that has all of these bytes committed, or none.
  [[nodiscard]] std::optional<std::size_t> segment_of(std::uint64_t offset, std::uint64_t bytes) const;
};

std::optional<std::size_t> group_view::impl::segment_of(std::uint64_t offset, std::uint64_t bytes) const {
  for (std::size_t i = 0; i < segment_count; ++i) {
    const mem::segment& s = control->segments[i];
    const std::uint64_t window = std::min(s.window_bytes, s.granule_bytes * mem::max_granules);
    if (offset < s.window_offset || offset - s.window_offset >= window) continue;
    const std::uint64_t first = offset - s.window_offset;
    if (bytes == 0 || bytes > window - first || s.granule_bytes == 0) return std::nullopt;
    for (std::uint64_t g = first / s.granule_bytes; g <= (first + bytes - 1) / s.granule_bytes; ++g) {
      // [A-granule] pairs with [R-granule] in journal.cpp: the pages were there before the bit was.
      if ((s.published[g / 64].load(std::memory_order_acquire) >> (g % 64) & 1) == 0) return std::nullopt;
    }
    return i;
  }
  return std::nullopt;
}

group_view::group_view(const std::string& file_prefix) : impl_(std::make_unique<impl>()) {
  mem::check_name("--file-prefix", file_prefix);
  const std::string root = mem::runtime_root();
  const std::string dir = root + "/" + file_prefix;
  const std::string shared = mem::shared_root(root) + "/" + file_prefix;
  mem::config_header header{};
  if (is_dir(shared)) impl_->config_fd = mem::open_config(shared, header, mem::config_use::onlooker);
  if (!impl_->config_fd) {
    throw error{errc::not_found, fmt::format("group '{}': there is none; mpnet ps lists those that are", file_prefix)};
  }
  try {
    impl_->locks = std::make_unique<mem::lock_file>(dir + "/lock", mem::lock_file::use::onlooker);
  } catch (const error& e) {
    if (e.kind() != errc::not_found) throw;
  }
  try {
    impl_->map = bi::mapped_region{read_only_file{impl_->config_fd.get()}, bi::read_only, 0, sizeof(mem::control)};
  } catch (const bi::interprocess_exception& e) {
    throw error{errc::system, fmt::format("look at group '{}': map its config file: {}", file_prefix, e.what())};
  }
  impl_->control = static_cast<const mem::control*>(impl_->map.get_address());
  impl_->segment_count = header.segment_count;
}

group_view::~group_view() = default;
group_view::group_view(group_view&& other) noexcept = default;

bool group_view::anyone_lives() const {
  return impl_->locks && mem::anyone_lives(*impl_->locks);
}

std::vector<process_info> group_view::processes() const {
  const auto lives = [this](std::uint32_t slot) { return impl_->lives(slot); };
  return mem::describe_members(*impl_->control, mem::members_of(*impl_->control, lives));
}

bool group_view::read(std::uintptr_t address, std::span<std::byte> into) const {
  const mem::control& c = *impl_->control;
  const auto index = impl_->segment_of(address - c.config.base_address, into.size());
  if (!index) return false;
  const mem::segment& s = c.segments[*index];
  mem::unique_fd& fd = impl_->segment_fds[*index];
  const std::string path = text_of(s.path, sizeof s.path);
  if (!fd) fd.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  off_t at = static_cast<off_t>(address - c.config.base_address - s.window_offset);
  while (!into.empty()) {
    const ssize_t got = ::pread(fd.get(), into.data(), into.size(), at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    into = into.subspan(static_cast<std::size_t>(got));
    at += got;
  }
  return true;
}

std::vector<recovery_info> group_view::recoveries() const {
  return mem::recoveries_of(*impl_->control);
}

std::vector<zone_info> group_view::zones() const {
  std::vector<zone_info> found;
  const std::uint64_t used = std::min<std::uint64_t>(impl_->control->zones_used, max_zones);
  for (std::uint32_t i = 0; i < used; ++i) {
    if (impl_->control->zones[i].state == mem::zone_published) found.push_back(mem::describe_zone(*impl_->control, i));
  }
  return found;
}

std::vector<segment_info> group_view::segments() const {
  std::vector<segment_info> found;
  for (std::size_t i = 0; i < impl_->segment_count; ++i) {
    const mem::segment& s = impl_->control->segments[i];
    found.push_back({text_of(s.path, sizeof s.path), s.page_bytes, s.committed * s.granule_bytes,
                     static_cast<socket_id>(s.socket)});
  }
  return found;
}

memory_stats group_view::memory() const {
  memory_stats stats{.cap_bytes = impl_->control->config.cap_bytes,
                     .committed_bytes = 0,
                     .used_bytes = impl_->control->bytes_used,
                     .block_count = impl_->control->blocks_allocated};
  for (const segment_info& s : segments()) stats.committed_bytes += s.committed_bytes;
  return stats;
}

std::uintptr_t group_view::base_address() const noexcept {
  return impl_->control->config.base_address;
}
std::string group_view::devices() const {
  return text_of(impl_->control->config.devices, sizeof impl_->control->config.devices);
}

std::vector<std::string> list_groups() {
  std::vector<std::string> names;
  const std::string root = mem::shared_root(mem::runtime_root());
  const std::unique_ptr<DIR, int (*)(DIR*)> list{::opendir(root.c_str()), ::closedir};
  while (const dirent* entry = list ? ::readdir(list.get()) : nullptr) {
    const std::string name = entry->d_name;
    if (name[0] != '.' && ::access((root + "/" + name + "/config").c_str(), F_OK) == 0) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool clean_group(const std::string& file_prefix) {
  mem::check_name("--file-prefix", file_prefix);
  const std::string root = mem::runtime_root();
  const std::string dir = root + "/" + file_prefix;
  const std::string shared = mem::shared_root(root) + "/" + file_prefix;
  if (!is_dir(dir) && !is_dir(shared)) return false;
  mem::lock_file locks{mem::group_dir(root, file_prefix) + "/lock"};
  locks.lock(mem::lock_file::initialise, mem::lock_file::mode::exclusive, 5000,
             fmt::format("clean group '{}'", file_prefix));
  for (std::size_t i = 0; i < max_processes; ++i) {
    if (const pid_t pid = locks.holder(mem::lock_file::first_slot + static_cast<off_t>(i)); pid != -1) {
      throw error{errc::busy, fmt::format("clean group '{}': process {} lives in it; end it first", file_prefix, pid)};
    }
  }
  mem::remove_stale_files(shared, dir, file_prefix);
  mem::remove_group_dirs(shared, dir);
  return true;
}

}  // namespace mpnet
