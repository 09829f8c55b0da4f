// SPDX-License-Identifier: BSD-3-Clause
// Small wrappers of system calls that the control path shares: errors with their errno, files read whole, boot id.
#pragma once

#include <mpnet/detail/unique_fd.hpp>
#include <mpnet/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace mpnet::mem {

using detail::unique_fd;

/// error{errc::system or errc::permission} with "what: strerror(number); remedy".
[[nodiscard]] error system_error(std::string_view what, int number, std::string_view remedy = {});

/// The file's contents, up to 1 MiB; empty where it cannot be read.
[[nodiscard]] std::string read_file(const std::string& path);

[[nodiscard]] std::string boot_id();

/// Field 22 of /proc/PID/stat: when the process started, in clock ticks since boot; 0 where it cannot be read.
[[nodiscard]] std::uint64_t process_start_ticks(int pid);
/// "2026-01-31 12:00:00" for such a start time, or "?" .
[[nodiscard]] std::string start_time_text(std::uint64_t start_ticks);
/// The command line, arguments joined by blanks, cut to `limit` bytes.
[[nodiscard]] std::string process_command(int pid, std::size_t limit);

[[nodiscard]] std::uint64_t realtime_ns() noexcept;

/// fallocate(2) to the end, whatever signals arrive meanwhile; 0, or the errno of the failure, which may have left a
/// part allocated.  `page_bytes`: of the file.
[[nodiscard]] int allocate_file(int fd, std::uint64_t offset, std::uint64_t bytes, std::uint64_t page_bytes) noexcept;

/// Throws limit where this process may not make files of that size: the kernel would end it by a signal instead of
/// refusing.
void require_file_size(const std::string& path, std::uint64_t bytes);

}  // namespace mpnet::mem
