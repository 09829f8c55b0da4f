// SPDX-License-Identifier: BSD-3-Clause
#include "mem/nudge.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

namespace mpnet::mem {
namespace {

constexpr std::string_view stem = "/nudge.";

/// DIR/nudge.SLOT without allocation; false where it does not fit.
bool write_path(char (&path)[512], const std::string& dir, std::uint32_t slot) noexcept {
  if (dir.size() + stem.size() + 8 > sizeof path) return false;
  char* at = path;
  std::memcpy(at, dir.data(), dir.size());
  at += dir.size();
  std::memcpy(at, stem.data(), stem.size());
  at += stem.size();
  char digits[8];
  int count = 0;
  do {
    digits[count++] = static_cast<char>('0' + slot % 10);
    slot /= 10;
  } while (slot != 0);
  while (count > 0) *at++ = digits[--count];
  *at = '\0';
  return true;
}

}  // namespace

unique_fd open_nudge_fifo(const std::string& runtime_dir, std::uint32_t slot) {
  remove_nudge_fifo(runtime_dir, slot);  // a dead predecessor's
  const std::string path = fmt::format("{}{}{}", runtime_dir, stem, slot);
  if (::mkfifo(path.c_str(), 0600) != 0) throw system_error(fmt::format("make {}", path), errno);
  unique_fd fd{::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW)};
  if (!fd) throw system_error(fmt::format("open {}", path), errno);
  return fd;
}

void remove_nudge_fifo(const std::string& runtime_dir, std::uint32_t slot) noexcept {
  char path[512];
  if (write_path(path, runtime_dir, slot)) ::unlink(path);
}

void nudge_members(const control& c, const std::string& runtime_dir, std::uint32_t self) noexcept {
  char path[512];
  for (std::uint32_t i = 0; i < max_processes; ++i) {
    // relaxed: a nudge too few is made good by the members' own watching
    if (i == self || c.slots[i].state.load(std::memory_order_relaxed) == slot_free) continue;
    if (!write_path(path, runtime_dir, i)) return;
    // For reading too: the reader may go between our two calls, and a FIFO without one answers with SIGPIPE.
    const int fd = ::open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;
    const ssize_t sent = ::write(fd, "", 1);  // a full FIFO has nudged already
    static_cast<void>(sent);
    ::close(fd);
  }
}

}  // namespace mpnet::mem
