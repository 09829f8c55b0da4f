// SPDX-License-Identifier: BSD-3-Clause
// What a thread does to its side of a ring: claim places, (move objects,) commit.  Hot; the algorithms that a crash may
// cut anywhere.  Repairs are in src/ring/ring_repair.cpp.
//
// Positions travel so: the producer's tail says what consumers may read, the consumer's tail what producers may
// overwrite.
//   [R-ptail] after the copy into the slots   -> [A-ptail] before the copy out of them
//   [R-ctail] after the copy out of the slots -> [A-ctail] before the copy into them
// A cached copy of the peer's tail is as good as the tail when it was loaded; it passes between threads of one side
// through the word ([R-word] -> [A-word]) or, on a single side, through whatever hands the side over.
#pragma once

#include <mpnet/detail/ring_layout.hpp>

#include <algorithm>

namespace mpnet::detail {

template <ring_side Side>
struct side_of;
template <>
struct side_of<ring_side::producer> {
  static ring_own& own(ring_header& h) noexcept { return h.producer; }
  static ring_published& published(ring_header& h) noexcept { return h.produced; }
  static const ring_published& peer(ring_header& h) noexcept { return h.consumed; }
  static std::uint64_t room(const ring_own& own, std::uint64_t position, std::uint64_t peer) noexcept {
    return own.capacity - distance(peer, position);
  }
};
template <>
struct side_of<ring_side::consumer> {
  static ring_own& own(ring_header& h) noexcept { return h.consumer; }
  static ring_published& published(ring_header& h) noexcept { return h.consumed; }
  static const ring_published& peer(ring_header& h) noexcept { return h.produced; }
  static std::uint64_t room(const ring_own&, std::uint64_t position, std::uint64_t peer) noexcept {
    return distance(position, peer);
  }
};

/// What a claim got: `count` places from `position`; none if count is 0.
struct ring_grant {
  std::uint64_t position;
  std::size_t count;
};

enum class ring_amount : std::uint8_t { all_or_nothing, up_to };

[[nodiscard, gnu::always_inline]] inline std::uint64_t ring_key(const ring_own& own) noexcept {
  const lease* l = this_lease;
  if (l != nullptr) [[likely]]
    return lease_key(*l);
  return ring_key_slow(own);
}

// --- single -------------------------------------------------------------------------------------------------------
// `next` is private to the side, so that a burst never loads the published line, which the peer may have taken away.
// Killed between the stores of tail and next, `next` is behind; the key of the dead is still in `word`, so whoever
// comes next takes over and reads the tail.

template <ring_side Side>
[[gnu::always_inline]] inline ring_grant claim_single(ring_header& h, std::size_t want, ring_amount amount) noexcept {
  using S = side_of<Side>;
  ring_own& own = S::own(h);
  const std::uint64_t key = ring_key(own);
  // relaxed, as are next and cached_peer below: one thread uses the side.
  if (own.word.load(std::memory_order_relaxed) != key) [[unlikely]] {
    if (!ring_take_over(h, Side, key)) return {0, 0};
  }
  const std::uint64_t position = own.next.load(std::memory_order_relaxed);
  std::uint64_t room = S::room(own, position, own.cached_peer.load(std::memory_order_relaxed));
  if (room < want) [[unlikely]] {
    // [A-ptail] [A-ctail] what the other side did to the slots before it published is done.
    const std::uint64_t peer = S::peer(h).tail.load(std::memory_order_acquire);
    own.cached_peer.store(peer, std::memory_order_relaxed);
    room = S::room(own, position, peer);
    if (room < want) {
      if (amount == ring_amount::all_or_nothing) return {position, 0};
      want = room;
    }
  }
  return {position, want};
}

template <ring_side Side>
[[gnu::always_inline]] inline void commit_single(ring_header& h, std::uint64_t position, std::size_t count) noexcept {
  using S = side_of<Side>;
  const std::uint64_t next = position + count;
  // [R-ptail] [R-ctail] publishes what was done to the slots.
  S::published(h).tail.store(next, std::memory_order_release);
  // After the tail, never before: a thread that takes over must not publish slots which the dead one did not.
  // release orders it behind the tail; only the side itself reads it.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  S::own(h).next.store(next, std::memory_order_relaxed);
}

// --- many: one claim at a time ------------------------------------------------------------------------------------

template <ring_side Side>
[[gnu::always_inline]] inline ring_grant claim_many(ring_header& h, std::size_t want, ring_amount amount) noexcept {
  using S = side_of<Side>;
  ring_own& own = S::own(h);
  const std::uint64_t key = ring_key(own);
  if (key == 0 || want == 0) [[unlikely]]  // nothing wanted: a claim of nothing would never be committed
    return {0, 0};
  // The cases, each time around:
  //  1. somebody's claim stands: wait for its end (bounded), or repair it if its owner is dead;
  //  2. idle, but the peer has nothing for us: leave without claiming;
  //  3. idle, and the CAS fails: somebody claimed, or claimed and committed, in between: look again;
  //  4. the CAS succeeds: nobody moved `position` since the word was loaded, so the room computed from it holds,
  //  however
  //     old the peer's tail is: that only grows.
  std::uint64_t word = own.word.load(std::memory_order_acquire);  // [A-word]
  for (;;) {
    if ((word & key_mask) != 0) [[unlikely]] {
      word = ring_wait_idle(h, Side, word);
      if ((word & key_mask) != 0) return {0, 0};
    }
    const std::uint64_t position = word >> key_bits;
    std::size_t count = want;
    // relaxed: stored by owners of the side while they held the word, whose release we acquired with it.
    std::uint64_t peer = own.cached_peer.load(std::memory_order_relaxed);
    std::uint64_t room = S::room(own, position, peer);
    bool refreshed = false;
    if (room < want) [[unlikely]] {
      peer = S::peer(h).tail.load(std::memory_order_acquire);  // [A-ptail] [A-ctail] as in claim_single
      room = S::room(own, position, peer);
      refreshed = true;
      if (room < want) {
        if (amount == ring_amount::all_or_nothing || room == 0) return {position, 0};
        count = room;
      }
    }
    // [A-word] the former owner's commit is done.  Failure acquires too: the word is used again.
    if (own.word.compare_exchange_strong(word, word | key, std::memory_order_acquire, std::memory_order_acquire))
        [[likely]] {
      if (refreshed) own.cached_peer.store(peer, std::memory_order_relaxed);
      return {position, count};
    }
  }
}

/// Gives the turn back; `count` 0 moves nothing.
template <ring_side Side>
[[gnu::always_inline]] inline void commit_many(ring_header& h, std::uint64_t position, std::size_t count) noexcept {
  using S = side_of<Side>;
  const std::uint64_t next = (position + count) & position_mask;
  // [R-ptail] [R-ctail] publishes what was done to the slots.  From here on the operation happened: a repair finishes
  // it.
  S::published(h).tail.store(next, std::memory_order_release);
  // [R-word] the next owner sees cached_peer, and comes after our commit.
  S::own(h).word.store(next << key_bits, std::memory_order_release);
}

}  // namespace mpnet::detail
