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
template <bool Apart>
[[gnu::always_inline]] inline std::size_t ring<T>::put_in_lane(detail::ring_header& h, const T* objects,
                                                               std::size_t count, amount how) noexcept {
  std::uint64_t word = 0;
  detail::ring_header* lane = detail::held_lane(h, detail::ring_key(h.producer), word);
  if (lane == nullptr) [[unlikely]]
    return put_in_some_lane(h, objects, count, how);
  const std::uint64_t position = word >> detail::key_bits;
  if (!detail::claim_held(*lane, position, count, how)) [[unlikely]]
    return 0;
  if constexpr (Apart) detail::fetch_lines<T>(detail::ring_slots(*lane), h.producer.mask, position, count);
  detail::copy_in(detail::ring_slots(*lane), h.producer.mask, position, objects, count);
  detail::commit_held(*lane, word, count);
  return count;
}

template <class T>
[[gnu::noinline]] std::size_t ring<T>::put_in_some_lane(detail::ring_header& h, const T* objects, std::size_t count,
                                                        amount how) noexcept {
  const std::uint64_t key = detail::ring_key(h.producer);
  if (key == 0) return 0;
  const std::size_t lane = detail::ring_choose_lane(h, key);
  if (lane < detail::ring_held_lane_count) return put_in_lane<false>(h, objects, count, how);
  constexpr std::size_t busy = ~std::size_t{0};
  std::size_t done = put_in(detail::ring_lane(h, lane), objects, count, how, busy);
  // Held by somebody who does not go on: step aside.
  if (done == busy) done = put_in(detail::ring_lane(h, detail::ring_lane_aside(lane)), objects, count, how, busy);
  return done == busy ? 0 : done;
}

template <class T>
template <ring_sync Sync, bool Apart>
[[gnu::always_inline]] inline std::size_t ring<T>::take_from_lanes(detail::ring_header& h, T* objects,
                                                                   std::size_t count, amount how) noexcept {
  detail::ring_look& look = detail::this_look;
  if (look.ring == &h && --look.left != 0) [[likely]] {
    detail::ring_header& lane = detail::ring_lane(h, look.lane);
    const std::size_t done = Sync == ring_sync::single ? take_single<Apart>(lane, objects, count, how)
                                                       : take_many<Apart>(lane, objects, count, how);
    if (done != 0) [[likely]]
      return done;
  }
  return take_from_some_lane(h, objects, count, how);
}

template <class T>
[[gnu::noinline]] std::size_t ring<T>::take_from_some_lane(detail::ring_header& h, T* objects, std::size_t count,
                                                           amount how) noexcept {
  const std::size_t first = detail::ring_first_look(h, detail::ring_key(h.consumer), detail::this_look);
  // relaxed: see ring_choose_lane
  const std::uint32_t used = h.consumer.lanes_used.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < detail::ring_lane_count; ++i) {
    const std::size_t lane = (first + i) % detail::ring_lane_count;
    if ((used >> lane & 1) == 0) continue;
    const std::size_t done = take_from(detail::ring_lane(h, lane), objects, count, how);
    if (done == 0) continue;
    detail::this_look.lane = static_cast<std::uint32_t>(lane);
    return done;
  }
  return 0;
}

template <class T>
[[gnu::noinline]] std::size_t ring<T>::put_general(const T* objects, std::size_t count, amount how) const noexcept {
  detail::ring_header& h = *header_;
  const bool laned = h.producer.sync == ring_sync::many_concurrent;
  const bool apart = (h.producer.flags & detail::ring_apart) != 0;
  std::size_t done = 0;
  if (!laned || h.producers == ring_sync::single)
    done = put_in(laned ? detail::ring_lane(h, 0) : h, objects, count, how, 0);
  else
    done = apart ? put_in_lane<true>(h, objects, count, how) : put_in_lane<false>(h, objects, count, how);
  if ((h.producer.flags & detail::ring_doorbell) != 0 && done != 0) detail::ring_wake_consumers(h);
  return done;
}

template <class T>
[[gnu::noinline]] std::size_t ring<T>::take_general(T* objects, std::size_t count, amount how) const noexcept {
  using enum ring_sync;
  detail::ring_header& h = *header_;
  if (h.consumer.sync != many_concurrent) return take_from(h, objects, count, how);
  const bool apart = (h.consumer.flags & detail::ring_apart) != 0;
  if (h.consumers == single)
    return apart ? take_from_lanes<single, true>(h, objects, count, how)
                 : take_from_lanes<single, false>(h, objects, count, how);
  return apart ? take_from_lanes<many, true>(h, objects, count, how)
               : take_from_lanes<many, false>(h, objects, count, how);
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
