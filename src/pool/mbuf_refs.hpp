// SPDX-License-Identifier: BSD-3-Clause
// The word that counts who needs an mbuf's data: holds of its owner and clones.  Nobody leaves it at zero: whoever
// drops the last reference takes the mbuf in the same CAS, which leaves that one's tag behind as evidence.  For
// src/pool alone.
#pragma once

#include <mpnet/mbuf.hpp>

namespace mpnet::detail {

[[nodiscard]] constexpr std::uint32_t holds_of(std::uint64_t r) noexcept {
  return static_cast<std::uint32_t>(r & 0xffff);
}
[[nodiscard]] constexpr std::uint32_t clones_of(std::uint64_t r) noexcept {
  return static_cast<std::uint32_t>(r >> 16 & 0xffff);
}
[[nodiscard]] constexpr std::uint16_t taker_of(std::uint64_t r) noexcept {
  return static_cast<std::uint16_t>(r >> 32);
}
[[nodiscard]] constexpr std::uint64_t references_of(std::uint32_t holds, std::uint32_t clones, std::uint16_t taker,
                                                    std::uint64_t before) noexcept {
  return holds | std::uint64_t{clones} << 16 | std::uint64_t{taker} << 32 | ((before >> 48) + 1) << 48;
}

/// Drops `holds` and `clones`; true where these were the last, and the caller has the mbuf now (one hold).
[[nodiscard]] bool drop_references(mbuf& m, std::uint32_t holds, std::uint32_t clones) noexcept;

/// Undoes an attachment, step by step so that a survivor can finish.  Returns the origin if the caller has it now: it
/// is tagged already and must be put back after `m` is done with.
[[nodiscard]] mbuf* unlink_from_origin(mbuf& m, bool counted) noexcept;

/// Puts an origin that unlink_from_origin returned.
void put_origin(mbuf& m) noexcept;

/// Back to the state in which mbufs lie in their pool.
void reset_for_pool(mbuf& m) noexcept;

}  // namespace mpnet::detail
