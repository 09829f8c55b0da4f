// SPDX-License-Identifier: BSD-3-Clause
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <mpnet/group_view.hpp>

#include <algorithm>
#include <boost/interprocess/mapped_region.hpp>
#include <cstring>

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

/// The pid of a process that holds a slot's byte, or -1.  Asking takes no lock.
pid_t slot_holder(int lock_fd, std::size_t slot) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = mem::lock_file::first_slot + static_cast<off_t>(slot);
  lock.l_len = 1;
  while (::fcntl(lock_fd, F_GETLK, &lock) != 0) {
    if (errno != EINTR) return 0;  // doubt counts as alive
  }
  return lock.l_type == F_UNLCK ? -1 : lock.l_pid;
}

}  // namespace

struct group_view::impl {
  mem::unique_fd lock_fd;
  mem::unique_fd config_fd;
  bi::mapped_region map;
  const mem::control* control = nullptr;

  [[nodiscard]] bool alive(std::size_t slot) const { return lock_fd && slot_holder(lock_fd.get(), slot) != -1; }
};

group_view::group_view(const std::string& file_prefix) : impl_(std::make_unique<impl>()) {
  mem::check_name("--file-prefix", file_prefix);
  const std::string root = mem::runtime_root();
  const std::string dir = root + "/" + file_prefix;
  const std::string shared = mem::shared_root(root) + "/" + file_prefix;
  mem::config_header header{};
  if (is_dir(shared)) impl_->config_fd = mem::open_config(shared, header);
  if (!impl_->config_fd) {
    throw error{errc::not_found, fmt::format("group '{}': there is none; mpnet ps lists those that are", file_prefix)};
  }
  impl_->lock_fd.reset(::open((dir + "/lock").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  impl_->map = bi::mapped_region{read_only_file{impl_->config_fd.get()}, bi::read_only, 0, sizeof(mem::control)};
  impl_->control = static_cast<const mem::control*>(impl_->map.get_address());
}

group_view::~group_view() = default;
group_view::group_view(group_view&& other) noexcept = default;

bool group_view::anyone_lives() const {
  for (std::size_t i = 0; i < max_processes; ++i) {
    if (impl_->alive(i)) return true;
  }
  return false;
}

std::vector<process_info> group_view::processes() const {
  std::vector<process_info> found;
  for (std::uint16_t i = 0; i < max_processes; ++i) {
    const mem::process_slot& s = impl_->control->slots[i];
    const std::uint32_t state = s.state.load(std::memory_order_acquire);  // [A-slot]
    if (state == mem::slot_free) continue;
    process_info p;
    p.id = process_id{i};
    p.incarnation = s.incarnation.load(std::memory_order_relaxed);  // relaxed: ordered by the state
    p.pid = s.pid;
    p.command = text_of(s.command, sizeof s.command);
    p.started = mem::start_time_text(s.start_ticks);
    p.state = !impl_->alive(i)             ? process_state::recovering
              : state == mem::slot_joining ? process_state::joining
              : state == mem::slot_leaving ? process_state::leaving
                                           : process_state::alive;
    // relaxed: a snapshot
    p.primary = impl_->control->primary_slot.load(std::memory_order_relaxed) == i + 1U;
    for (std::uint16_t l = 0; l < max_lcores; ++l) {
      const detail::lease& held = impl_->control->leases[l];
      if (held.state.load(std::memory_order_acquire) != detail::lease_free &&  // [A-lease-state]
          held.slot.load(std::memory_order_relaxed) == i) {                    // relaxed: ordered by the state
        p.lcores.push_back(lcore{l});
      }
    }
    found.push_back(std::move(p));
  }
  return found;
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
  for (std::size_t i = 0; i < impl_->control->config.segment_count; ++i) {
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
