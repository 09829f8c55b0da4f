// SPDX-License-Identifier: BSD-3-Clause
// What the control path throws.  The text says what failed, why, and what to do about it:
//   "create ring 'PRI_2_SEC': a zone of that name exists with another element size; look it up with attach()".
// Hot-path functions never throw: they return counts.
#pragma once

#include <string>
#include <system_error>

namespace mpnet {

enum class errc : int {
  usage = 1,         // a malformed command line or argument: exit code 2
  invalid_argument,  // a value that cannot be used
  not_found,         // no object, member, device of that name
  exists,            // the name or id is taken
  busy,              // somebody else holds it; the text says who
  no_memory,         // the group's cap, the hugepages or the address space are used up
  no_hugepages,      // hugepages are missing or not mounted
  incompatible,      // another layout, version, element type or size
  corrupt,           // shared state that cannot be
  permission,        // the operating system refused
  no_primary,        // nobody holds the primary role at the moment
  peer_died,         // the process that was to answer is dead
  no_handler,        // the process asked has no handler of that name
  timed_out,         // a bounded wait ended; the text names what was waited for
  unsupported,       // this device, kernel or build cannot do it
  limit,             // a documented limit is reached
  system,            // a system call failed; the text carries its errno
};

[[nodiscard]] const std::error_category& error_category() noexcept;
[[nodiscard]] inline std::error_code make_error_code(errc code) noexcept {
  return {static_cast<int>(code), error_category()};
}

/// The one exception type of the control path.  what() is the text given, and nothing else.
class error : public std::system_error {
 public:
  error(errc code, std::string text);

  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }
  [[nodiscard]] errc kind() const noexcept { return static_cast<errc>(code().value()); }
  /// 2 for usage errors, 1 for all others.
  [[nodiscard]] int exit_code() const noexcept { return kind() == errc::usage ? 2 : 1; }

 private:
  std::string text_;
};

}  // namespace mpnet

template <>
struct std::is_error_code_enum<mpnet::errc> : std::true_type {};
