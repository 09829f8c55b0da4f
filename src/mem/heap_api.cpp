// SPDX-License-Identifier: BSD-3-Clause
// The public heap: a block with a small header in front of the address that the caller gets, which names the
// descriptor.
#include <fmt/format.h>
#include <mpnet/heap.hpp>

#include <bit>
#include <cstring>

#include "mem/heap.hpp"
#include "mem/local_state.hpp"

namespace mpnet {
namespace {

struct block_header {
  std::uint64_t number;
  std::uint64_t check;  // of number and address
};
static_assert(sizeof(block_header) == 16);

std::uint64_t check_of(std::uint64_t number, const void* address) {
  return (number * 0x9e3779b97f4a7c15ULL) ^ reinterpret_cast<std::uint64_t>(address);
}

/// The descriptor's number for an address that allocate() gave out.  Throws corrupt.
std::uint64_t number_of(const group& g, const void* address) {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  const auto bad = [address](std::string_view why) -> error {
    return {errc::corrupt, fmt::format("heap block {}: {}", address, why)};
  };
  if (!g.local().map->contains(at) || at % 16 != 0 || at < g.base_address() + mem::control_window_bytes) {
    throw bad("no block of this group starts there");
  }
  g.local().map->sync_extents();
  const mem::control& c = g.control();
  block_header header{};
  std::memcpy(&header, static_cast<const char*>(address) - sizeof header, sizeof header);
  if (header.check != check_of(header.number, address) || header.number == 0 || header.number > c.blocks_used) {
    throw bad("freed already, never a block, or overwritten by the block in front of it");
  }
  const mem::block& b = c.blocks[header.number - 1];
  const std::uint64_t offset = at - g.base_address();
  if (b.state != mem::block_taken || offset < b.offset || offset >= b.offset + b.size) throw bad("freed already");
  return header.number;
}

/// The word at a place of the caller's, which must survive him.
std::uint64_t& word_at(const group& g, void** place, std::string_view what) {
  const auto at = reinterpret_cast<std::uintptr_t>(place);
  if (!g.local().map->contains(at) || at % alignof(void*) != 0 || at < g.base_address() + mem::control_window_bytes) {
    throw error{errc::invalid_argument,
                fmt::format("{}: the place {} is not in the group's region; use one in a memzone or a heap block", what,
                            static_cast<void*>(place))};
  }
  return *reinterpret_cast<std::uint64_t*>(place);
}

}  // namespace

void* allocate(group& g, std::size_t size_bytes, const block_options& options) {
  if (!std::has_single_bit(options.align_bytes) || options.align_bytes > (1ULL << 30)) {
    throw error{errc::invalid_argument,
                fmt::format("allocate with alignment {}: not a power of two up to 1 GiB", options.align_bytes)};
  }
  if (size_bytes == 0 || size_bytes > (1ULL << 40)) {
    throw error{errc::invalid_argument, fmt::format("allocate {} bytes: the size must be 1 byte to 1 TiB", size_bytes)};
  }
  const std::uint64_t align = std::max<std::uint64_t>(options.align_bytes, 16);
  // The header takes the last 16 bytes in front of the aligned address.
  const std::uint64_t lead = align <= 64 ? std::max<std::uint64_t>(align, sizeof(block_header)) : align;
  const mem::local_state& local = g.local();
  void* address = nullptr;
  {
    mem::transaction tx{g};
    const std::uint64_t number = mem::take_block(
        tx, {.size = size_bytes + lead,
             .align = align,
             .socket = options.socket,
             .owner = options.life == lifetime::process ? mem::owner_word(local.slot, local.incarnation) : 0,
             .used_bytes = size_bytes});
    local.map->sync_extents();
    address = reinterpret_cast<void*>(g.base_address() + mem::block_at(tx.shared(), number).offset + lead);
    const block_header header{number, check_of(number, address)};
    std::memcpy(static_cast<char*>(address) - sizeof header, &header, sizeof header);
    tx.commit();
  }
  if (options.zeroed) std::memset(address, 0, size_bytes);
  return address;
}

void deallocate(group& g, void* block) {
  if (block == nullptr) return;
  mem::transaction tx{g};
  mem::give_block(tx, number_of(g, block));  // the header stays as it is: the descriptor's state tells a second free
  tx.commit();
}

void publish_block(group& g, void* block, void** place) {
  std::uint64_t& word = word_at(g, place, "publish a heap block");
  mem::transaction tx{g};
  tx.set(mem::block_at(tx.shared(), number_of(g, block)).owner, 0);
  tx.set(word, reinterpret_cast<std::uint64_t>(block));
  tx.commit();
}

void deallocate_at(group& g, void** place) {
  std::uint64_t& word = word_at(g, place, "free a published heap block");
  mem::transaction tx{g};
  if (word == 0) return;
  const std::uint64_t number = number_of(g, reinterpret_cast<void*>(word));
  tx.set(word, 0);
  mem::give_block(tx, number);
  tx.commit();
}

std::size_t block_size(group& g, const void* block) {
  const mem::transaction tx{g};
  return tx.shared().blocks[number_of(g, block) - 1].used_bytes;
}

}  // namespace mpnet
