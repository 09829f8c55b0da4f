// SPDX-License-Identifier: BSD-3-Clause
// Nudges: how members tell each other to look again (somebody joined, left, crashed, took the role).  A FIFO for each
// member in the runtime directory; a nudge is one byte and says nothing else, so a lost or an extra one does no harm.
// Control; nudge_members() is async-signal-safe, because a crashing process nudges before its core is dumped.
#pragma once

#include <string>

#include "mem/control.hpp"
#include "mem/system.hpp"

namespace mpnet::mem {

/// Makes and opens this member's FIFO: readable when nudged, non-blocking.
[[nodiscard]] unique_fd open_nudge_fifo(const std::string& runtime_dir, std::uint32_t slot);
void remove_nudge_fifo(const std::string& runtime_dir, std::uint32_t slot) noexcept;
/// Nudges every member but `self`.
void nudge_members(const control& c, const std::string& runtime_dir, std::uint32_t self) noexcept;

}  // namespace mpnet::mem
