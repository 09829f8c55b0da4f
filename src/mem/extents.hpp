// SPDX-License-Identifier: BSD-3-Clause
// Committing and withdrawing the pages of a segment.  What the journal cannot undo (fallocate, hole punching, DMA
// mappings) is announced first and reconciled by whoever takes the lock after a death.  Control, inside a transaction.
#pragma once

#include <cstdint>

#include "mem/journal.hpp"

namespace mpnet::mem {

/// Commits granules: pages, observers, this process's mapping, then the published bits.  Throws no_memory.
void commit_granules(transaction& tx, std::size_t segment_index, std::uint64_t first, std::uint64_t count);
/// Withdraws granules: the published bits; observers are told and the pages go back when the transaction commits.
void withdraw_granules(transaction& tx, std::size_t segment_index, std::uint64_t first, std::uint64_t count);
/// What caps and free pages allow to commit on a segment at this moment.
[[nodiscard]] std::uint64_t committable_bytes(group& g, std::size_t segment_index);
/// Makes sure that the control file has pages behind the first `count` block descriptors.
void back_blocks(group& g, std::uint64_t count);

}  // namespace mpnet::mem
