// SPDX-License-Identifier: BSD-3-Clause
// The mark by which a guest program tells insn_count, the plugin in QEMU, that a measurement begins or ends: a no-op of
// eight bytes that no compiler makes, with a number in it.  Without the plugin it does nothing.
#pragma once

#include <cstddef>

inline constexpr unsigned char vm_mark[8] = {0x0f, 0x1f, 0x84, 0x00, 0, 'n', 'p', 'm'};
inline constexpr std::size_t vm_mark_number = 4;  // where the number is

inline void mark_begin() noexcept {
  asm volatile(".byte 0x0f, 0x1f, 0x84, 0x00, 1, 'n', 'p', 'm'");
}
inline void mark_end() noexcept {
  asm volatile(".byte 0x0f, 0x1f, 0x84, 0x00, 2, 'n', 'p', 'm'");
}
