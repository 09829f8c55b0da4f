// SPDX-License-Identifier: BSD-3-Clause
#include "mem/lock_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <mpnet/cycles.hpp>

#include <ctime>
#include <mutex>
#include <set>

namespace mpnet::mem {
namespace {

std::mutex open_files_mutex;
std::set<std::string>& open_files() {
  static std::set<std::string> paths;
  return paths;
}

struct flock record(off_t byte, short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

}  // namespace

lock_file::lock_file(const std::string& path, use how) : path_(path) {
  const std::lock_guard guard{open_files_mutex};
  if (open_files().contains(path)) {
    throw error{errc::busy, fmt::format("{}: this process is a member of that group already; leave it first", path)};
  }
  const int access = how == use::member ? O_RDWR | O_CREAT : O_RDONLY;
  fd_.reset(::open(path.c_str(), access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd_ && errno == ENOENT) throw error{errc::not_found, fmt::format("{}: there is none", path)};
  if (!fd_) {
    throw system_error(fmt::format("open lock file {}", path), errno,
                       errno == ELOOP ? "a link was planted there; remove it" : "");
  }
  struct stat st {};
  if (::fstat(fd_.get(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != ::geteuid()) {
    throw error{errc::permission, fmt::format("lock file {}: not a file of ours; remove it", path)};
  }
  open_files().insert(path);
}

lock_file::~lock_file() {
  if (!fd_) return;
  const std::lock_guard guard{open_files_mutex};
  open_files().erase(path_);
}

void lock_file::abandon() noexcept {
  // Closing here drops nothing: POSIX locks belong to the process, and the child holds none.
  open_files().erase(path_);
  fd_.reset();
}

bool lock_file::unlinked() const noexcept {
  struct stat st {};
  return ::fstat(fd_.get(), &st) == 0 && st.st_nlink == 0;
}

bool lock_file::try_lock(off_t byte, mode m) {
  struct flock lock = record(byte, m == mode::shared ? F_RDLCK : F_WRLCK);
  while (::fcntl(fd_.get(), F_SETLK, &lock) != 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EACCES) return false;
    throw system_error(fmt::format("lock {}", path_), errno);
  }
  return true;
}

void lock_file::lock(off_t byte, mode m, int timeout_ms, const std::string& what) {
  // The kernel has no timed wait for record locks; a short nap between tries keeps the bound.
  const std::uint64_t deadline = detail::monotonic_ns() + static_cast<std::uint64_t>(timeout_ms) * 1'000'000U;
  for (long nap_ns = 20'000; !try_lock(byte, m); nap_ns = nap_ns < 2'000'000 ? nap_ns * 2 : nap_ns) {
    if (detail::monotonic_ns() > deadline) {
      throw error{errc::timed_out, fmt::format("{}: process {} holds it for more than {} ms; is it stopped?", what,
                                               holder(byte), timeout_ms)};
    }
    const timespec nap{0, nap_ns};
    ::nanosleep(&nap, nullptr);
  }
}

void lock_file::unlock(off_t byte) noexcept {
  struct flock lock = record(byte, F_UNLCK);
  while (::fcntl(fd_.get(), F_SETLK, &lock) != 0 && errno == EINTR) {
  }
}

void lock_file::unlock_all() noexcept {
  struct flock lock = record(0, F_UNLCK);
  lock.l_len = 0;
  while (::fcntl(fd_.get(), F_SETLK, &lock) != 0 && errno == EINTR) {
  }
}

pid_t lock_file::holder(off_t byte) const noexcept {
  struct flock lock = record(byte, F_WRLCK);
  while (::fcntl(fd_.get(), F_GETLK, &lock) != 0) {
    if (errno != EINTR) return 0;  // doubt counts as alive
  }
  return lock.l_type == F_UNLCK ? -1 : lock.l_pid;
}

}  // namespace mpnet::mem
