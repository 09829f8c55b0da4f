// SPDX-License-Identifier: BSD-3-Clause
// For tests of what a sanitizer's runtime does in its own way: fatal signals, threads that end without a word, checks
// that need a descriptor of their own.
#pragma once

#include <catch2/catch.hpp>

namespace test {

/// True in a build with ASan, UBSan or TSan, having said that the test is skipped and why.
inline bool skip_sanitized([[maybe_unused]] const char* why) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  WARN("SKIP: " << why);
  return true;
#else
  return false;
#endif
}

/// The same, where members are forked: GCC 12's runtimes do not carry their own locks over a fork of a process with
/// threads, so the child may find the allocator locked for ever.  Other builds test what forks.
inline bool skip_sanitized_forks() {
  return skip_sanitized("this sanitizer's runtime does not survive a fork of a process with threads");
}

}  // namespace test
