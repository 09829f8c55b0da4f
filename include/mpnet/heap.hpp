// SPDX-License-Identifier: BSD-3-Clause
// The shared heap: blocks of the region for the application's own data, at the same address in every member.  Follows
// rte_malloc.h.  Control: allocation takes the group's control lock (about a microsecond); allowed in every callback.
#pragma once

#include <mpnet/error.hpp>
#include <mpnet/group.hpp>

#include <cstddef>
#include <limits>
#include <new>

namespace mpnet {

enum class lifetime : std::uint8_t {
  process,  // freed when this process leaves or dies
  group,    // lives until freed, or until the last member is gone
};

struct block_options {
  std::size_t align_bytes = 16;  // a power of two, at most 1 GiB
  lifetime life = lifetime::group;
  socket_id socket = any_socket;  // any_socket: the caller's node, then the others
  bool zeroed = false;
};

/// A block of the region.  Throws no_memory, invalid_argument.  The caller owns it and may hand it to any member.
[[nodiscard]] void* allocate(group& g, std::size_t size_bytes, const block_options& options = {});

/// Frees a block, from any member; null is nothing.  Throws corrupt for an address that is no block, or none any more.
void deallocate(group& g, void* block);

/// Makes a block of lifetime::process the group's and stores its address at `place`, in one step: a death in the middle
/// leaves both done or neither, and the block goes with its process in the latter case.  So allocate for the process,
/// fill, then publish, and nothing leaks.  `place` lies in the region; who else writes there is the caller's to settle.
/// Throws invalid_argument for another place, corrupt for what is no block.
void publish_block(group& g, void* block, void** place);

/// Frees the block whose address lies at `place`, in the region, and makes that null, in one step.  Null is nothing.
void deallocate_at(group& g, void** place);

/// The size asked for.
[[nodiscard]] std::size_t block_size(group& g, const void* block);

/// A standard allocator over the shared heap, for containers of the standard library, Boost.Container and
/// Boost.Interprocess that lie in the region themselves.  It finds the group of the process that uses it, so that
/// nothing of one process is stored in shared memory.  Guard such containers with mpnet::mutex.
[[nodiscard]] group& this_group();

template <class T>
class shared_allocator {
 public:
  using value_type = T;

  shared_allocator() noexcept = default;
  template <class U>
  shared_allocator(const shared_allocator<U>&) noexcept {}  // NOLINT: allocators convert

  [[nodiscard]] T* allocate(std::size_t count) {
    if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_array_new_length{};
    return static_cast<T*>(
        mpnet::allocate(this_group(), count * sizeof(T), {.align_bytes = alignof(T) < 16 ? 16 : alignof(T)}));
  }
  void deallocate(T* block, std::size_t) { mpnet::deallocate(this_group(), block); }

  template <class U>
  bool operator==(const shared_allocator<U>&) const noexcept {
    return true;
  }
};

}  // namespace mpnet
