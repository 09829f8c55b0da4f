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
  static std::int64_t room(const ring_own& own, std::uint64_t position, std::uint64_t peer) noexcept {
    return static_cast<std::int64_t>(own.capacity - distance(peer, position));
  }
  /// Whether a freshly loaded tail is worth a store: what the next operation would find exhausted is not.
  static bool keeps(std::int64_t, std::size_t) noexcept { return true; }
};
template <>
struct side_of<ring_side::consumer> {
  static ring_own& own(ring_header& h) noexcept { return h.consumer; }
  static ring_published& published(ring_header& h) noexcept { return h.consumed; }
  static const ring_published& peer(ring_header& h) noexcept { return h.produced; }
  // Signed: an exhausted copy of the peer's tail is not kept, so what is cached may lie behind the position.
  static std::int64_t room(const ring_own&, std::uint64_t position, std::uint64_t peer) noexcept {
    return static_cast<std::int64_t>((peer - position) << key_bits) >> key_bits;
  }
  static bool keeps(std::int64_t room, std::size_t count) noexcept { return room > static_cast<std::int64_t>(count); }
};

/// What a claim got: `count` places from `position`; none if count is 0, and then `position` may say why.
struct ring_grant {
  std::uint64_t position;
  std::size_t count;
};

inline constexpr std::uint64_t ring_busy = ~0ULL;  // somebody else's claim did not end

enum class ring_amount : std::uint8_t { all_or_nothing, up_to };

/// Counts this thread's visits to rings with lanes.
inline thread_local constinit std::uint32_t ring_visits = 0;

[[nodiscard, gnu::always_inline]] inline std::uint64_t ring_key(const ring_own& own) noexcept {
  if (this_lease != nullptr) [[likely]] {
    // relaxed: written by this thread.
    const std::uint32_t key = this_lease->key.load(std::memory_order_relaxed);
    if (key != 0) [[likely]]
      return key;
  }
  return ring_key_slow(own);
}

// --- single -------------------------------------------------------------------------------------------------------
// `next` is the side's own position, so that a burst never loads the published line, which the peer may have taken
// away. It is stored before the tail.  Killed in between, the operation has happened and is published late: by the next
// operation of whoever uses the side then, or by recovery.  Nothing needs to know who the dead one was.

template <ring_side Side>
[[gnu::always_inline]] inline ring_grant claim_single(ring_header& h, std::size_t want, ring_amount amount) noexcept {
  using S = side_of<Side>;
  ring_own& own = S::own(h);
  // relaxed, as cached_peer below: one thread uses the side.
  const std::uint64_t position = own.next.load(std::memory_order_relaxed);
  std::int64_t room = S::room(own, position, own.cached_peer.load(std::memory_order_relaxed));
  if (room < static_cast<std::int64_t>(want)) [[unlikely]] {
    // [A-ptail] [A-ctail] what the other side did to the slots before it published is done.
    const std::uint64_t peer = S::peer(h).tail.load(std::memory_order_acquire);
    room = S::room(own, position, peer);
    if (S::keeps(room, want)) own.cached_peer.store(peer, std::memory_order_relaxed);
    if (room < static_cast<std::int64_t>(want)) {
      if (amount == ring_amount::all_or_nothing || room <= 0) {
        // Nothing to do: time to publish what a former user, now dead, left unpublished.  Both sides could wait for it.
        if (S::published(h).tail.load(std::memory_order_relaxed) != position)
          S::published(h).tail.store(position, std::memory_order_release);  // [R-ptail] [R-ctail]
        return {position, 0};
      }
      want = static_cast<std::size_t>(room);
    }
  }
  return {position, want};
}

template <ring_side Side>
[[gnu::always_inline]] inline void commit_single(ring_header& h, std::uint64_t position, std::size_t count) noexcept {
  using S = side_of<Side>;
  const std::uint64_t next = position + count;
  // [R-next] what was done to the slots, for recovery, which may publish it in our place; pairs with [A-next].
  S::own(h).next.store(next, std::memory_order_release);
  // [R-ptail] [R-ctail] publishes what was done to the slots.
  S::published(h).tail.store(next, std::memory_order_release);
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
      if ((word & key_mask) != 0) return {ring_busy, 0};
    }
    const std::uint64_t position = word >> key_bits;
    std::size_t count = want;
    // relaxed: stored by owners of the side while they held the word, whose release we acquired with it.
    std::uint64_t peer = own.cached_peer.load(std::memory_order_relaxed);
    std::int64_t room = S::room(own, position, peer);
    bool refreshed = false;
    if (room < static_cast<std::int64_t>(want)) [[unlikely]] {
      peer = S::peer(h).tail.load(std::memory_order_acquire);  // [A-ptail] [A-ctail] as in claim_single
      room = S::room(own, position, peer);
      refreshed = S::keeps(room, want);
      if (room < static_cast<std::int64_t>(want)) {
        if (amount == ring_amount::all_or_nothing || room <= 0) return {position, 0};
        count = static_cast<std::size_t>(room);
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
