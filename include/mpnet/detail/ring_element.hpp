// SPDX-License-Identifier: BSD-3-Clause
// What a ring carries.  Objects of a pool have an owner that moves with them, so a ring must know from its type whether
// its elements are such objects; a pointer whose kind is unknown does not compile.  pool/ specialises ring_element for
// pointers to its objects; ring/ knows nothing else about pools.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace mpnet {

/// Plain values: moved as bytes, owned by nobody.
///
/// A specialisation for a type of pool objects (always a pointer) says
///     static constexpr bool is_pool_object = true;
///     static void take(T const* objects, std::size_t count) noexcept;   // hot
/// and take() makes the calling process the owner of each object (of every segment, where they are chained).  Rings
/// call it on dequeue, after the claim and before the commit, so that at each instant either the ring holds the object
/// or its tag names the process that has it.
template <class T>
struct ring_element {
  static_assert(
      !std::is_pointer_v<T>,
      "a ring of pointers: include <mpnet/pool.hpp> or <mpnet/mbuf.hpp> for rings of pool objects; wrap pointers "
      "to anything else in mpnet::unowned<T*>");
  static constexpr bool is_pool_object = false;
};

/// A pointer to something that no pool owns, e.g. into a memzone.  Never wrap a pool's object in it: its owner would be
/// lost, and with the owner's death the object is freed while somebody uses it.
template <class P>
struct unowned {
  static_assert(std::is_pointer_v<P>);
  P pointer = nullptr;
  friend bool operator==(const unowned&, const unowned&) = default;
};

/// What can be an element: trivially copyable, 4 to 64 bytes, a multiple of 4.
template <class T>
concept ring_value = std::is_trivially_copyable_v<T> && std::is_default_constructible_v<T> && sizeof(T) >= 4 &&
                     sizeof(T) <= 64 && sizeof(T) % 4 == 0;

/// Whether a ring<T> moves ownership of pool objects.
template <class T>
inline constexpr bool ring_carries_pool_objects = ring_element<T>::is_pool_object;

}  // namespace mpnet
