// SPDX-License-Identifier: BSD-3-Clause
#include "mem/config_file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <memory>
#include <random>

#include "mem/hugetlb.hpp"
#include "mem/local_state.hpp"
#include "mem/log.hpp"
#include "mem/shared_layout.hpp"

namespace mpnet::mem {

std::function<unique_fd(const std::string&, const std::string&)> foreign_fd_source;

namespace {

constexpr std::size_t first_blocks = 4096;  // descriptors backed when the file is made

[[noreturn]] void corrupt(const std::string& path, std::string_view why) {
  throw error{errc::corrupt,
              fmt::format("{}: {}; if no process of that group lives, remove the file, else choose another "
                          "--file-prefix",
                          path, why)};
}

/// What a segment will be: a page size on a node.
struct segment_plan {
  std::uint64_t page_bytes;
  std::uint64_t granule_bytes;
  std::uint64_t window_bytes;
  int socket;
  std::string directory;  // of its file
};

std::uint64_t window_for(std::uint64_t granule_bytes) {
  const std::uint64_t physical = std::bit_ceil(std::max<std::uint64_t>(physical_memory_bytes(), 4ULL << 30));
  return std::min(physical, granule_bytes * max_granules);
}

std::vector<segment_plan> plan(const group_options& options, const std::string& small_page_dir) {
  std::vector<segment_plan> segments;
  const std::vector<int> nodes = numa_nodes();
  const auto add = [&](std::uint64_t page_bytes, const std::string& directory) {
    const std::uint64_t granule = std::max<std::uint64_t>(page_bytes, granule_bytes_min);
    for (const int node : nodes) {
      if (static_cast<std::size_t>(node) >= max_sockets || segments.size() == max_segments) continue;
      segments.push_back({page_bytes, granule, window_for(granule), node, directory});
    }
  };
  if (!options.no_huge) {
    for (const hugetlb_mount& mount : hugetlb_mounts(options.huge_dirs)) {
      if (free_hugepages(mount.page_bytes, -1) != 0) add(mount.page_bytes, mount.path);
    }
  }
  if (segments.empty()) add(4096, small_page_dir);
  return segments;
}

void warn_without_hugepages(const group_options& options) {
  std::string why = "No free hugepages: running on 4 kB pages; reserve some with: " + reserve_command(2ULL << 20);
  if (hugetlb_mounts(options.huge_dirs).empty()) {
    const std::vector<std::string> mounted = mounted_hugetlbfs();
    why = mounted.empty()
              ? "No hugetlbfs is mounted: running on 4 kB pages; mount one with: mount -t hugetlbfs none /dev/hugepages"
              : fmt::format(
                    "This user may not write to {}: running on 4 kB pages; mount one with: mount -t hugetlbfs "
                    "-o uid={},mode=0700 none DIRECTORY, and give --huge-dir DIRECTORY",
                    fmt::join(mounted, ", "), ::geteuid());
  }
  log(log_level::warning, "EAL", why);
}

bool is_ours(const std::string& path, const std::string& prefix, const std::string& shared_dir) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos || path.compare(slash + 1, 7 + prefix.size(), "mpnet-" + prefix + "-") != 0)
    return false;
  struct statfs fs {};
  if (path.compare(0, slash, shared_dir) == 0) return true;
  return ::statfs(path.substr(0, slash).c_str(), &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC;
}

void remove_named_segments(const std::string& config_path, const std::string& prefix, const std::string& shared_dir) {
  const unique_fd fd{::open(config_path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
  if (!fd) return;
  for (std::size_t i = 0; i < max_segments; ++i) {
    char path[path_bytes] = {};
    const off_t at = static_cast<off_t>(offsetof(control, segments) + i * sizeof(segment) + offsetof(segment, path));
    if (::pread(fd.get(), path, sizeof path - 1, at) <= 0) return;
    if (is_ours(path, prefix, shared_dir)) ::unlink(path);
  }
}

/// Whether what is mapped from the file's word stays where it belongs.
void check_windows(const std::string& path, int fd, const config_header& header) {
  std::uint64_t end = control_window_bytes;
  for (std::size_t i = 0; i < header.segment_count; ++i) {
    std::uint64_t field[offsetof(segment, socket) / 8];
    const off_t at = static_cast<off_t>(offsetof(control, segments) + i * sizeof(segment));
    if (::pread(fd, field, sizeof field, at) != static_cast<ssize_t>(sizeof field)) corrupt(path, "truncated");
    const auto [page, granule, offset, bytes] = std::to_array(field);
    const bool sizes = std::has_single_bit(page) && page >= 4096 && granule >= granule_bytes_min &&
                       granule % page == 0 && bytes != 0 && bytes % granule == 0 && bytes / granule <= max_granules;
    if (!sizes || offset < end || offset % granule != 0 || bytes > header.region_bytes ||
        offset > header.region_bytes - bytes) {
      corrupt(path, fmt::format("its segment {} makes no sense", i));
    }
    end = offset + bytes;
  }
}

void check_header(const std::string& path, const config_header& header) {
  if (header.version != config_version || header.layout != shared_layout) {
    throw error{
        errc::incompatible,
        fmt::format("{}: made by a build with another layout (version {}, layout {:016x}; ours {}, {:016x}); use the "
                    "same release of mpnet, or another --file-prefix",
                    path, header.version, header.layout, config_version, shared_layout)};
  }
  if (header.segment_count == 0 || header.segment_count > max_segments || header.base_address % (1ULL << 30) != 0 ||
      header.region_bytes < control_window_bytes || header.region_bytes > (508ULL << 30)) {
    corrupt(path, "its header makes no sense");
  }
}

}  // namespace

unique_fd open_config(const std::string& shared_dir, config_header& header, config_use use) {
  const std::string path = shared_dir + "/config";
  const int access = use == config_use::member ? O_RDWR : O_RDONLY;
  // O_NONBLOCK: a FIFO planted there must not hold us up.
  unique_fd fd{::open(path.c_str(), access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  if (!fd) {
    if (errno == ENOENT) return {};
    throw system_error(fmt::format("open {}", path), errno,
                       errno == ELOOP ? "a link was planted there; remove it" : "");
  }
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) corrupt(path, "not a regular file");
  if (st.st_uid != ::geteuid() || (st.st_mode & 077) != 0) {
    throw error{errc::permission,
                fmt::format("{}: belongs to user {} with mode {:04o}, but must be ours with mode 0600", path, st.st_uid,
                            st.st_mode & 07777)};
  }
  if (::pread(fd.get(), &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) corrupt(path, "truncated");
  if (header.magic != config_magic) corrupt(path, "not a config file of mpnet");
  header.boot_id[sizeof header.boot_id - 1] = '\0';
  header.file_prefix[sizeof header.file_prefix - 1] = '\0';
  header.devices[sizeof header.devices - 1] = '\0';
  if (boot_id() != header.boot_id) return {};
  check_header(path, header);
  if (static_cast<std::size_t>(st.st_size) < sizeof(control)) corrupt(path, "truncated");
  check_windows(path, fd.get(), header);
  return fd;
}

unique_fd create_config(const std::string& shared_dir) {
  const std::string path = shared_dir + "/config.new";
  require_file_size(path, sizeof(control));
  unique_fd fd{::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!fd) throw system_error(fmt::format("make {}", path), errno);
  constexpr std::uint64_t backed = offsetof(control, blocks) + first_blocks * sizeof(block);
  int failed = ::ftruncate(fd.get(), sizeof(control)) == 0 ? 0 : errno;
  if (failed == 0) failed = allocate_file(fd.get(), 0, backed, 4096);
  if (failed != 0) {
    ::unlink(path.c_str());
    throw error{errc::no_memory,
                fmt::format("make {}: {}; free {} kB there", path, std::strerror(failed), backed >> 10)};
  }
  return fd;
}

void publish_config(const std::string& shared_dir) {
  const std::string path = shared_dir + "/config";
  if (::rename((path + ".new").c_str(), path.c_str()) != 0)
    throw system_error(fmt::format("rename {}.new", path), errno);
}

std::uint64_t planned_region_bytes(const group_options& options) {
  std::uint64_t bytes = control_window_bytes;
  for (const segment_plan& s : plan(options, "")) bytes += s.window_bytes;
  return bytes;
}

void create_segments(control& c, const group_options& options, const std::string& shared_dir) {
  const std::vector<segment_plan> segments = plan(options, shared_dir);
  if (segments.front().page_bytes == 4096 && !options.no_huge) warn_without_hugepages(options);
  std::uint64_t offset = control_window_bytes;
  std::random_device random;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const segment_plan& p = segments[i];
    segment& s = c.segments[i];
    s.page_bytes = p.page_bytes;
    s.granule_bytes = p.granule_bytes;
    s.window_offset = offset;
    s.window_bytes = p.window_bytes;
    s.socket = static_cast<std::uint64_t>(p.socket);
    offset += p.window_bytes;
    // The name goes into the file that remove_stale_files() reads before the file exists.
    const std::string path = fmt::format("{}/mpnet-{}-{:08x}-node{}-{}kB", p.directory, options.file_prefix, random(),
                                         p.socket, p.page_bytes >> 10);
    if (path.size() >= path_bytes) throw error{errc::invalid_argument, fmt::format("{}: the path is too long", path)};
    std::memcpy(s.path, path.c_str(), path.size() + 1);
    c.config.segment_count = i + 1;
    require_file_size(path, s.window_bytes);
    const unique_fd fd{::open(s.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!fd)
      throw system_error(fmt::format("make {}", path), errno, "choose a directory that may be written with --huge-dir");
    if (::ftruncate(fd.get(), static_cast<off_t>(s.window_bytes)) != 0) {
      throw system_error(fmt::format("size {}", path), errno);
    }
  }
}

unique_fd open_segment(const segment& s, std::size_t index, const std::string& runtime_dir) {
  require_file_size(s.path, s.window_bytes);  // whoever attaches may be the one who grows it
  unique_fd fd{::open(s.path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)};
  const int failed = errno;
  if (!fd && foreign_fd_source) fd = foreign_fd_source(runtime_dir, fmt::format("segment:{}", index));
  if (!fd)
    throw system_error(fmt::format("open {}", s.path), failed, "mount that hugetlbfs in this process's namespace too");
  return fd;
}

void remove_stale_files(const std::string& shared_dir, const std::string& runtime_dir,
                        const std::string& prefix) noexcept {
  remove_named_segments(shared_dir + "/config.new", prefix, shared_dir);
  remove_named_segments(shared_dir + "/config", prefix, shared_dir);
  // The config goes last: as long as it is there, the group is listed, so that what a death leaves here is found.
  for (const std::string& dir : {runtime_dir, shared_dir}) {
    const std::unique_ptr<DIR, int (*)(DIR*)> list{::opendir(dir.c_str()), ::closedir};
    while (const dirent* entry = list ? ::readdir(list.get()) : nullptr) {
      const std::string_view name = entry->d_name;
      if (name != "lock" && name != "config") ::unlinkat(::dirfd(list.get()), entry->d_name, 0);
    }
  }
  ::unlink((shared_dir + "/config").c_str());
}

void remove_group_dirs(const std::string& shared_dir, const std::string& runtime_dir) noexcept {
  // The lock file holds those off who want to enter, so what they will make again goes before it.
  if (shared_dir != runtime_dir) ::rmdir(shared_dir.c_str());
  ::unlink((runtime_dir + "/lock").c_str());
  ::rmdir(runtime_dir.c_str());
}

}  // namespace mpnet::mem
