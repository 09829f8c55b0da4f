// SPDX-License-Identifier: BSD-3-Clause
// The region's blocks: every byte of every segment's window belongs to one block {hole, free, taken}.  The descriptors
// lie in the control segment, apart from the memory, so that an overrun cannot harm them and recovery needs no walk
// through application data.  Free blocks are on lists by power of two; holes become free by growing, and free granules
// holes by shrinking.  All functions need a transaction.
#pragma once

#include <cstdint>

#include "mem/journal.hpp"

namespace mpnet::mem {

struct block_request {
  std::uint64_t size = 0;    // made a multiple of 64
  std::uint64_t align = 64;  // a power of two
  socket_id socket = any_socket;
  std::uint64_t owner = 0;  // 0: the group
  std::uint64_t used_bytes = 0;
};

/// Takes a block; grows the region where needed.  Returns its number.  Throws no_memory.
[[nodiscard]] std::uint64_t take_block(transaction& tx, const block_request& request);
/// Gives a block back and shrinks the region where whole granules became free.
void give_block(transaction& tx, std::uint64_t number);
/// Gives back all blocks of an owner; returns how many.  Commits as it goes.
std::uint64_t give_blocks_of(transaction& tx, std::uint64_t owner);
/// Makes the block list of a new segment: one hole.
void format_segment(transaction& tx, std::size_t index);
/// Commits memory until the cap or the free pages are used up (--legacy-mem).  Returns the bytes committed.
std::uint64_t commit_everything(group& g);

[[nodiscard]] inline block& block_at(control& c, std::uint64_t number) noexcept {
  return c.blocks[number - 1];
}

}  // namespace mpnet::mem
