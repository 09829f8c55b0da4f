// SPDX-License-Identifier: BSD-3-Clause
// A handle on a ring whose modes are known when the program is compiled: the same ring, and calls that need not look up
// how it is used.  Other members may use ring<T> on it.  What a call does, returns and promises: see ring.hpp.
#pragma once

#include <mpnet/ring.hpp>

namespace mpnet {

/// One pointer, copied freely, owns nothing.  Rings with a doorbell have no such handle.
template <class T, ring_sync Producers, ring_sync Consumers, bool Apart = false>
class fixed_ring {
  static constexpr bool laned = Producers == ring_sync::many_concurrent || Consumers == ring_sync::many_concurrent;
  using amount = detail::ring_amount;
  static constexpr bool both_single = Producers == ring_sync::single && Consumers == ring_sync::single;

 public:
  using value_type = T;
  fixed_ring() noexcept = default;  // a handle on nothing: test before use
  /// Control.  Throws incompatible where the ring was made with other modes, another `apart`, or a doorbell.
  explicit fixed_ring(ring<T> r) : ring_(r) { detail::ring_require(*r.header(), Producers, Consumers, Apart); }
  explicit operator bool() const noexcept { return static_cast<bool>(ring_); }
  friend bool operator==(fixed_ring, fixed_ring) noexcept = default;

  /// Hot, all of these.  As in ring<T>.
  [[nodiscard, gnu::always_inline]] std::size_t enqueue_burst(std::span<const T> objects) const noexcept {
    return put(objects.data(), objects.size(), amount::up_to);
  }
  [[nodiscard, gnu::always_inline]] bool enqueue_bulk(std::span<const T> objects) const noexcept {
    return put(objects.data(), objects.size(), amount::all_or_nothing) == objects.size();
  }
  [[nodiscard, gnu::always_inline]] bool enqueue(const T& object) const noexcept {
    return put(&object, 1, amount::all_or_nothing) == 1;
  }
  [[nodiscard, gnu::always_inline]] std::size_t dequeue_burst(std::span<T> objects) const noexcept {
    return take(objects.data(), objects.size(), amount::up_to);
  }
  [[nodiscard, gnu::always_inline]] bool dequeue_bulk(std::span<T> objects) const noexcept {
    return take(objects.data(), objects.size(), amount::all_or_nothing) == objects.size();
  }
  [[nodiscard, gnu::always_inline]] bool dequeue(T& object) const noexcept {
    return take(&object, 1, amount::all_or_nothing) == 1;
  }

  /// The handle for everything else.
  [[nodiscard]] ring<T> any() const noexcept { return ring_; }

 private:
  [[gnu::always_inline]] std::size_t put(const T* objects, std::size_t count, amount how) const noexcept {
    detail::ring_header& h = detail::as_one_address(ring_.header());
    if constexpr (laned && Producers != ring_sync::single) {
      return ring<T>::template put_in_lane<Apart>(h, objects, count, how);
    } else if constexpr (Producers == ring_sync::single) {
      detail::ring_header& part = laned ? detail::ring_lane(h, 0) : h;
      return ring<T>::template put_single<Apart, both_single>(part, objects, count, how);
    } else {
      return ring<T>::template put_many<Apart>(h, objects, count, how, 0);
    }
  }
  [[gnu::always_inline]] std::size_t take(T* objects, std::size_t count, amount how) const noexcept {
    detail::ring_header& h = detail::as_one_address(ring_.header());
    if constexpr (laned) {
      return ring<T>::template take_from_lanes<Consumers, Apart>(h, objects, count, how);
    } else if constexpr (Consumers == ring_sync::single) {
      return ring<T>::template take_single<Apart, both_single>(h, objects, count, how);
    } else {
      return ring<T>::template take_many<Apart>(h, objects, count, how);
    }
  }

  ring<T> ring_;
};

}  // namespace mpnet
