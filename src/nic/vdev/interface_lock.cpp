// SPDX-License-Identifier: BSD-3-Clause
#include "nic/vdev/interface_lock.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <mpnet/error.hpp>

#include <array>
#include <string_view>

#include "mem/runtime_dir.hpp"
#include "mem/system.hpp"

namespace mpnet::nic {
namespace {

constexpr off_t guard_byte = 0;
constexpr off_t holder_byte = 1;
constexpr off_t name_offset = 2;

struct flock record(short type, off_t byte) noexcept {
  struct flock l {};
  l.l_type = type;
  l.l_whence = SEEK_SET;
  l.l_start = byte;
  l.l_len = 1;
  return l;
}

bool set_lock(int fd, short type, off_t byte) noexcept {
  struct flock l = record(type, byte);
  return ::fcntl(fd, F_SETLK, &l) == 0;
}

/// The guard is held for microseconds; a holder that is stopped meanwhile ends the wait with an error.
void take_guard(int fd, const std::string& path) {
  for (int tries = 0; !set_lock(fd, F_WRLCK, guard_byte); ++tries) {
    if (errno != EAGAIN && errno != EACCES) throw mem::system_error(fmt::format("lock {}", path), errno);
    if (tries == 2000) {
      throw error{errc::timed_out, fmt::format("lock {}: another process has held it for 2 s; is one stopped?", path)};
    }
    const timespec pause{.tv_sec = 0, .tv_nsec = 1'000'000};
    nanosleep(&pause, nullptr);
  }
}

std::string read_name(int fd) {
  std::array<char, 256> text{};
  const ssize_t got = ::pread(fd, text.data(), text.size(), name_offset);
  return got > 0 ? std::string{text.data(), static_cast<std::size_t>(got)} : std::string{};
}

}  // namespace

interface_lock::interface_lock(const group& g, std::uint64_t netns_inode, std::uint32_t ifindex,
                               const std::string& interface)
    : group_(g.file_prefix()), interface_(interface) {
  const std::string root = mem::runtime_root();
  path_ = fmt::format("{}/.interface-{}-{}", root, netns_inode, ifindex);
  fd_.reset(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd_) throw mem::system_error(fmt::format("open {}, the lock of interface '{}'", path_, interface), errno);
  take();
}

void interface_lock::take() {
  take_guard(fd_.get(), path_);
  const std::string holder = read_name(fd_.get());
  if (set_lock(fd_.get(), F_WRLCK, holder_byte)) {  // nobody has it: it is ours to name
    if (::ftruncate(fd_.get(), name_offset) != 0 ||
        ::pwrite(fd_.get(), group_.data(), group_.size(), name_offset) != static_cast<ssize_t>(group_.size())) {
      throw mem::system_error(fmt::format("write {}", path_), errno, "is the runtime directory full?");
    }
  } else if (holder != group_) {
    struct flock l = record(F_WRLCK, holder_byte);
    const bool known = ::fcntl(fd_.get(), F_GETLK, &l) == 0 && l.l_type != F_UNLCK && l.l_pid > 0;
    throw error{errc::busy,
                fmt::format("interface '{}' is held by group '{}' ({}); choose another interface, or end that group",
                            interface_, holder,
                            known ? fmt::format("process {}", l.l_pid) : "a process in another PID namespace")};
  }
  const bool shared = set_lock(fd_.get(), F_RDLCK, holder_byte);
  const int number = errno;
  set_lock(fd_.get(), F_UNLCK, guard_byte);
  if (!shared) throw mem::system_error(fmt::format("lock {}", path_), number);
}

std::uint64_t network_namespace() {
  struct stat info {};
  if (::stat("/proc/thread-self/ns/net", &info) != 0) throw mem::system_error("stat /proc/thread-self/ns/net", errno);
  return info.st_ino;
}

}  // namespace mpnet::nic
