// SPDX-License-Identifier: BSD-3-Clause
// The bodies of ring<T>'s hot functions: claim, move, commit, per mode.  Included by ring.hpp alone.
#pragma once

#include <mpnet/ring.hpp>

namespace mpnet {

template <class T>
template <bool Apart, bool Whole>
[[gnu::always_inline]] inline std::size_t ring<T>::put_single(detail::ring_header& h, const T* objects,
                                                              std::size_t count, amount how) noexcept {
  std::uint64_t position = 0;
  if (!detail::claim_single<produce, Whole>(h, position, count, how)) [[unlikely]]
    return 0;
  if constexpr (Apart) detail::fetch_lines<T>(detail::ring_slots(h), h.producer.mask, position, count);
  detail::copy_in(detail::ring_slots(h), h.producer.mask, position, objects, count);
  detail::commit_single<produce>(h, position, count);
  return count;
}

template <class T>
template <bool Apart>
[[gnu::always_inline]] inline std::size_t ring<T>::put_many(detail::ring_header& h, const T* objects, std::size_t count,
                                                            amount how, std::size_t when_busy) noexcept {
  std::uint64_t position = 0;
  if (!detail::claim_many<produce>(h, position, count, how)) [[unlikely]]
    return position == detail::ring_busy ? when_busy : 0;
  if constexpr (Apart) detail::fetch_lines<T>(detail::ring_slots(h), h.producer.mask, position, count);
  detail::copy_in(detail::ring_slots(h), h.producer.mask, position, objects, count);
  detail::commit_many<produce>(h, position, count);
  return count;
}

template <class T>
[[gnu::always_inline]] inline void ring<T>::move_out(detail::ring_header& h, T* objects, std::uint64_t position,
                                                     std::size_t count) noexcept {
  const detail::ring_own& own = h.consumer;
  detail::copy_out(objects, detail::ring_slots(h), own.mask, position, count);
  if constexpr (ring_carries_pool_objects<T>) {
    // Between the claim and the commit: dying before, the objects are in the ring; after, their tags name us.
    if ((own.flags & detail::ring_tags) != 0) ring_element<T>::take(objects, count);
  }
}

template <class T>
template <bool Apart, bool Whole>
[[gnu::always_inline]] inline std::size_t ring<T>::take_single(detail::ring_header& h, T* objects, std::size_t count,
                                                               amount how) noexcept {
  std::uint64_t position = 0;
  if (!detail::claim_single<consume, Whole>(h, position, count, how)) [[unlikely]]
    return 0;
  move_out(h, objects, position, count);
  if constexpr (Apart) detail::own_lines<T>(detail::ring_slots(h), h.consumer.mask, position, count);
  detail::commit_single<consume>(h, position, count);
  return count;
}

template <class T>
template <bool Apart>
[[gnu::always_inline]] inline std::size_t ring<T>::take_many(detail::ring_header& h, T* objects, std::size_t count,
                                                             amount how) noexcept {
  std::uint64_t position = 0;
  if (!detail::claim_many<consume>(h, position, count, how)) [[unlikely]]
    return 0;
  move_out(h, objects, position, count);
  if constexpr (Apart) detail::own_lines<T>(detail::ring_slots(h), h.consumer.mask, position, count);
  detail::commit_many<consume>(h, position, count);
  return count;
}

template <class T>
inline std::size_t ring<T>::put_in(detail::ring_header& h, const T* objects, std::size_t count, amount how,
                                   std::size_t when_busy) noexcept {
  const bool apart = (h.producer.flags & detail::ring_apart) != 0;
  if (h.producer.sync == ring_sync::single)
    return apart ? put_single<true>(h, objects, count, how) : put_single<false>(h, objects, count, how);
  return apart ? put_many<true>(h, objects, count, how, when_busy) : put_many<false>(h, objects, count, how, when_busy);
}

template <class T>
inline std::size_t ring<T>::take_from(detail::ring_header& h, T* objects, std::size_t count, amount how) noexcept {
  const bool apart = (h.consumer.flags & detail::ring_apart) != 0;
  if (h.consumer.sync == ring_sync::single)
    return apart ? take_single<true>(h, objects, count, how) : take_single<false>(h, objects, count, how);
  return apart ? take_many<true>(h, objects, count, how) : take_many<false>(h, objects, count, how);
}

template <class T>
std::size_t ring<T>::put_in_lane(detail::ring_header& h, const T* objects, std::size_t count, amount how) noexcept {
  const std::size_t lane_bytes = detail::ring_lane_bytes(h.producer.mask + 1, sizeof(T));
  const std::size_t home = detail::ring_key(h.producer) % detail::ring_lane_count;
  detail::ring_header& mine = detail::ring_lane(h, home, lane_bytes);
  constexpr std::size_t busy = ~std::size_t{0};
  std::size_t done = put_in(mine, objects, count, how, busy);
  // Held by somebody who does not go on: step aside.
  for (std::size_t i = 1; done == busy && i < detail::ring_lane_count; ++i)
    done = put_in(detail::ring_lane(h, (home + i) % detail::ring_lane_count, lane_bytes), objects, count, how, busy);
  return done == busy ? 0 : done;
}

template <class T>
std::size_t ring<T>::take_from_lanes(detail::ring_header& h, T* objects, std::size_t count, amount how) noexcept {
  const std::size_t lane_bytes = detail::ring_lane_bytes(h.consumer.mask + 1, sizeof(T));
  std::size_t first = detail::ring_key(h.consumer);
  // Now and then another lane first, so that none starves where consumers always find something in their own.
  if ((++detail::ring_visits & 7) == 0) first += detail::ring_visits / 8;
  for (std::size_t i = 0; i < detail::ring_lane_count; ++i) {
    const std::size_t done =
        take_from(detail::ring_lane(h, (first + i) % detail::ring_lane_count, lane_bytes), objects, count, how);
    if (done != 0) return done;
  }
  return 0;
}

template <class T>
[[gnu::noinline]] std::size_t ring<T>::put_general(const T* objects, std::size_t count, amount how) const noexcept {
  detail::ring_header& h = *header_;
  const bool laned = h.producer.sync == ring_sync::many_concurrent;
  const std::size_t done = laned ? put_in_lane(h, objects, count, how) : put_in(h, objects, count, how, 0);
  if ((h.producer.flags & detail::ring_doorbell) != 0 && done != 0) detail::ring_wake_consumers(h);
  return done;
}

template <class T>
[[gnu::noinline]] std::size_t ring<T>::take_general(T* objects, std::size_t count, amount how) const noexcept {
  if (header_->consumer.sync == ring_sync::many_concurrent) return take_from_lanes(*header_, objects, count, how);
  return take_from(*header_, objects, count, how);
}

template <class T>
[[gnu::always_inline]] inline std::size_t ring<T>::put(const T* objects, std::size_t count, amount how) const noexcept {
  detail::ring_header& h = detail::as_one_address(header_);
  const detail::ring_path path = h.producer.path;
  if (path == detail::ring_path::single) return put_single<false>(h, objects, count, how);
  if (path == detail::ring_path::many) return put_many<false>(h, objects, count, how, 0);
  return put_general(objects, count, how);
}

template <class T>
[[gnu::always_inline]] inline std::size_t ring<T>::take(T* objects, std::size_t count, amount how) const noexcept {
  detail::ring_header& h = detail::as_one_address(header_);
  const detail::ring_path path = h.consumer.path;
  if (path == detail::ring_path::single) return take_single<false>(h, objects, count, how);
  if (path == detail::ring_path::many) return take_many<false>(h, objects, count, how);
  return take_general(objects, count, how);
}

template <class T>
template <detail::ring_side Side>
inline ring_runs<T> ring<T>::claim_runs(std::size_t count) const noexcept {
  detail::ring_header& h = *header_;
  const detail::ring_own& own = detail::side_of<Side>::own(h);
  if (own.sync == ring_sync::many_concurrent) return {};
  if (count == 0) return {};  // a claim of nothing would never be committed
  std::uint64_t position = 0;
  const bool granted = own.sync == ring_sync::single ? detail::claim_single<Side>(h, position, count, amount::up_to)
                                                     : detail::claim_many<Side>(h, position, count, amount::up_to);
  if (!granted) return {};
  T* slots = reinterpret_cast<T*>(detail::ring_slots(h));
  const std::size_t at = position & own.mask;
  const std::size_t first = std::min<std::size_t>(count, own.mask + 1 - at);
  return {{slots + at, first}, {slots, count - first}};
}

template <class T>
template <detail::ring_side Side>
inline void ring<T>::commit_runs(std::size_t count) const noexcept {
  detail::ring_header& h = *header_;
  detail::ring_own& own = detail::side_of<Side>::own(h);
  // relaxed: this thread wrote them when it claimed.
  if (own.sync == ring_sync::single) {
    detail::commit_single<Side>(h, own.next.load(std::memory_order_relaxed), count);
    return;
  }
  const std::uint64_t word = own.word.load(std::memory_order_relaxed);
  if ((word & detail::key_mask) != detail::ring_key(own)) return;  // no claim of ours
  detail::commit_many<Side>(h, word >> detail::key_bits, count);
}

template <class T>
inline ring_runs<T> ring<T>::peek(std::size_t count) const noexcept {
  const ring_runs<T> runs = claim_runs<consume>(count);
  if constexpr (ring_carries_pool_objects<T>) {
    if (!runs.empty() && (header_->consumer.flags & detail::ring_tags) != 0) {
      ring_element<T>::take(runs.first.data(), runs.first.size());
      ring_element<T>::take(runs.second.data(), runs.second.size());
    }
  }
  return runs;
}

}  // namespace mpnet
