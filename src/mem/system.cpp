// SPDX-License-Identifier: BSD-3-Clause
#include "mem/system.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>

namespace mpnet::mem {

error system_error(std::string_view what, int number, std::string_view remedy) {
  const errc code = number == EACCES || number == EPERM ? errc::permission : errc::system;
  return error{code, fmt::format("{}: {}{}{}", what, std::strerror(number), remedy.empty() ? "" : "; ", remedy)};
}

std::string read_file(const std::string& path) {
  const unique_fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  std::string text;
  char buffer[4096];
  while (fd && text.size() < (1U << 20)) {
    const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return text;
}

std::string boot_id() {
  std::string text = read_file("/proc/sys/kernel/random/boot_id");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::uint64_t process_start_ticks(int pid) {
  const std::string stat = read_file(fmt::format("/proc/{}/stat", pid));
  const std::size_t close = stat.rfind(')');  // the command may hold blanks and brackets
  if (close == std::string::npos) return 0;
  std::size_t at = close + 1;
  for (int field = 2; field < 21; ++field) {
    at = stat.find(' ', at + 1);
    if (at == std::string::npos) return 0;
  }
  return std::strtoull(stat.c_str() + at + 1, nullptr, 10);
}

std::string start_time_text(std::uint64_t start_ticks) {
  if (start_ticks == 0) return "?";
  timespec now{};
  timespec since_boot{};
  clock_gettime(CLOCK_REALTIME, &now);
  clock_gettime(CLOCK_BOOTTIME, &since_boot);
  const auto hz = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
  const std::time_t when = now.tv_sec - since_boot.tv_sec + static_cast<std::time_t>(start_ticks / hz);
  std::tm parts{};
  char text[32];
  // Ticks that somebody scribbled on may be in no year that there is.
  if (localtime_r(&when, &parts) == nullptr || std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts) == 0) {
    return "?";
  }
  return text;
}

std::string process_command(int pid, std::size_t limit) {
  std::string text = read_file(fmt::format("/proc/{}/cmdline", pid));
  while (!text.empty() && text.back() == '\0') text.pop_back();
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  if (text.empty()) {
    text = read_file(fmt::format("/proc/{}/comm", pid));
    while (!text.empty() && text.back() == '\n') text.pop_back();
  }
  if (text.size() > limit) text.resize(limit);
  return text;
}

int allocate_file(int fd, std::uint64_t offset, std::uint64_t bytes, std::uint64_t page_bytes) noexcept {
  // A signal ends the call, and a tmpfs takes back what it had done until then: smaller steps get on between signals,
  // a page at a time at last.
  std::uint64_t step = std::max<std::uint64_t>(page_bytes, 2U << 20);
  for (std::uint64_t done = 0; done < bytes;) {
    const std::uint64_t chunk = std::min(step, bytes - done);
    if (::fallocate(fd, 0, static_cast<off_t>(offset + done), static_cast<off_t>(chunk)) == 0) {
      done += chunk;
    } else if (errno != EINTR) {
      return errno;
    } else {
      step = std::max(page_bytes, step / 2);
    }
  }
  return 0;
}

void require_file_size(const std::string& path, std::uint64_t bytes) {
  rlimit most{};
  if (::getrlimit(RLIMIT_FSIZE, &most) != 0 || most.rlim_cur == RLIM_INFINITY || most.rlim_cur >= bytes) return;
  throw error{errc::limit, fmt::format("size {}: {} MiB are beyond this process's limit of {} MiB; raise the file size "
                                       "limit (ulimit -f)",
                                       path, bytes >> 20, most.rlim_cur >> 20)};
}

std::uint64_t realtime_ns() noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000ULL + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace mpnet::mem
