// SPDX-License-Identifier: BSD-3-Clause
// What a thread does to its side of a ring: claim places, (move objects,) commit.  Hot; the algorithms that a crash may
// cut anywhere.  Repairs are in src/ring/ring_repair.cpp.
//
// Positions travel so: the producer's tail says what consumers may read, the consumer's tail what producers may
// overwrite.
//   [R-ptail] after the copy into the slots   -> [A-ptail] before the copy out of them
//   [R-ctail] after the copy out of the slots -> [A-ctail] before the copy into them
// A side's limit, what the peer's tail let it reach when last looked at, is as good as the tail when that was loaded;
// it passes between threads of one side through the word ([R-word] -> [A-word]) or, on a single side, through whatever
// hands the side over.
#pragma once

#include <mpnet/detail/ring_layout.hpp>

#include <algorithm>

namespace mpnet::detail {

/// The header, by an address that the compiler takes for a new one.  Otherwise it computes the address of each atomic
/// ahead of a loop of calls, finds no registers for that many, and loads them from the stack each time: half as much
/// again for one object a call.
[[nodiscard, gnu::always_inline]] inline ring_header& as_one_address(ring_header* h) noexcept {
  asm("" : "+r"(h));
  return *h;
}

template <ring_side Side>
struct side_of;
template <>
struct side_of<ring_side::producer> {
  static ring_own& own(ring_header& h) noexcept { return h.producer; }
  static ring_published& published(ring_header& h) noexcept { return h.produced; }
  static const ring_published& peer(ring_header& h) noexcept { return h.consumed; }
  /// Up to where this side may go while the peer's tail is `peer`.
  static std::uint64_t limit(const ring_own& own, std::uint64_t peer) noexcept { return peer + own.capacity; }
  /// Stores a fresh limit where that is worth it: what the next operation would find exhausted is not.
  static void keep(ring_own& own, std::uint64_t limit, std::int64_t, std::size_t) noexcept {
    own.limit.store(limit, std::memory_order_relaxed);
  }
};
template <>
struct side_of<ring_side::consumer> {
  static ring_own& own(ring_header& h) noexcept { return h.consumer; }
  static ring_published& published(ring_header& h) noexcept { return h.consumed; }
  static const ring_published& peer(ring_header& h) noexcept { return h.produced; }
  static std::uint64_t limit(const ring_own&, std::uint64_t peer) noexcept { return peer; }
  static void keep(ring_own& own, std::uint64_t limit, std::int64_t room, std::size_t count) noexcept {
    if (room > static_cast<std::int64_t>(count)) own.limit.store(limit, std::memory_order_relaxed);
  }
};

/// How many places there are from `position` to `limit`.  Signed: an exhausted limit is not always kept, so the
/// position may lie beyond it.  `Whole`: both sides are single, and their positions 64 bits wide.
template <bool Whole = false>
[[nodiscard, gnu::always_inline]] inline std::int64_t ring_room(std::uint64_t limit, std::uint64_t position) noexcept {
  if constexpr (Whole) return static_cast<std::int64_t>(limit - position);
  return static_cast<std::int64_t>((limit - position) << key_bits) >> key_bits;
}

inline constexpr std::uint64_t ring_busy = ~0ULL;  // somebody else's claim did not end

enum class ring_amount : std::uint8_t { all_or_nothing, up_to };

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

/// Makes of `count`, what is wanted, how many places from `position` on the caller gets; false: none.
template <ring_side Side, bool Whole = false>
[[gnu::always_inline]] inline bool claim_single(ring_header& h, std::uint64_t& position, std::size_t& count,
                                                ring_amount amount) noexcept {
  using S = side_of<Side>;
  ring_own& own = S::own(h);
  // relaxed, as the limit below: one thread uses the side.
  const std::uint64_t at = own.next.load(std::memory_order_relaxed);
  position = at;
  std::int64_t room = ring_room<Whole>(own.limit.load(std::memory_order_relaxed), at);
  if (room >= static_cast<std::int64_t>(count)) [[likely]]
    return true;
  // [A-ptail] [A-ctail] what the other side did to the slots before it published is done.
  const std::uint64_t limit = S::limit(own, S::peer(h).tail.load(std::memory_order_acquire));
  room = ring_room<Whole>(limit, at);
  S::keep(own, limit, room, count);
  if (room >= static_cast<std::int64_t>(count)) [[likely]]
    return true;
  if (amount == ring_amount::up_to && room > 0) {
    count = static_cast<std::size_t>(room);
    return true;
  }
  // Nothing to do: time to publish what a former user, now dead, left unpublished.  Both sides could wait for it.
  if (S::published(h).tail.load(std::memory_order_relaxed) != at)
    S::published(h).tail.store(at, std::memory_order_release);  // [R-ptail] [R-ctail]
  return false;
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

/// A turn where the first look does not get one; `word` is what it saw.  Returns how many places the caller gets from
/// the position in the word on, which is its own now; ring_busy if somebody else's claim is why there are none.
template <ring_side Side>
[[nodiscard]] inline std::size_t claim_many_again(ring_header& h, std::uint64_t word, std::size_t count,
                                                  ring_amount amount, std::uint64_t key) noexcept {
  using S = side_of<Side>;
  ring_own& own = S::own(h);
  for (;;) {
    if ((word & key_mask) != 0) [[unlikely]] {
      word = ring_wait_idle(h, Side, word);
      if ((word & key_mask) != 0) return ring_busy;
    }
    // [A-ptail] [A-ctail] as claim_single
    const std::uint64_t limit = S::limit(own, S::peer(h).tail.load(std::memory_order_acquire));
    const std::int64_t room = ring_room(limit, word >> key_bits);
    std::size_t granted = count;
    if (room < static_cast<std::int64_t>(count)) [[unlikely]] {
      if (amount == ring_amount::all_or_nothing || room <= 0) return 0;
      granted = static_cast<std::size_t>(room);
    }
    // [A-word] the former owner's commit is done.  Failure acquires too: the word is used again.
    if (own.word.compare_exchange_strong(word, word | key, std::memory_order_acquire, std::memory_order_acquire))
        [[likely]] {
      S::keep(own, limit, room, count);
      return granted;
    }
  }
}

/// As claim_single; where it returns false, `position` is ring_busy if somebody else's claim is why.
template <ring_side Side>
[[gnu::always_inline]] inline bool claim_many(ring_header& h, std::uint64_t& position, std::size_t& count,
                                              ring_amount amount) noexcept {
  using S = side_of<Side>;
  ring_own& own = S::own(h);
  const std::uint64_t key = ring_key(own);
  if (key == 0) [[unlikely]]
    return false;
  // The cases, each time around:
  //  1. somebody's claim stands: wait for its end (bounded), or repair it if its owner is dead;
  //  2. idle, but the peer has nothing for us: leave without claiming;
  //  3. idle, and the CAS fails: somebody claimed, or claimed and committed, in between: look again;
  //  4. the CAS succeeds: nobody moved `position` since the word was loaded, so the room computed from it holds,
  //     however old the peer's tail is: that only grows.
  // Here once with the limit of an earlier look, which often will do; then again with the peer's tail.
  std::uint64_t word = own.word.load(std::memory_order_acquire);  // [A-word]
  position = word >> key_bits;
  // relaxed: stored by owners of the side while they held the word, whose release we acquired with it.
  const std::int64_t room = ring_room(own.limit.load(std::memory_order_relaxed), position);
  if ((word & key_mask) == 0 && room >= static_cast<std::int64_t>(count)) {
    // [A-word] as in claim_many_again.
    if (own.word.compare_exchange_strong(word, word | key, std::memory_order_acquire, std::memory_order_acquire))
        [[likely]]
      return true;
  }
  const std::size_t granted = claim_many_again<Side>(h, word, count, amount, key);
  if (granted == 0 || granted == ring_busy) {
    position = granted;
    return false;
  }
  if (amount == ring_amount::up_to) count = granted;
  position = own.word.load(std::memory_order_relaxed) >> key_bits;  // relaxed: ours
  return true;
}

/// Gives the turn back; `count` 0 moves nothing.
template <ring_side Side>
[[gnu::always_inline]] inline void commit_many(ring_header& h, std::uint64_t position, std::size_t count) noexcept {
  using S = side_of<Side>;
  const std::uint64_t next = (position + count) & position_mask;
  // [R-ptail] [R-ctail] publishes what was done to the slots.  From here on the operation happened: a repair finishes
  // it.
  S::published(h).tail.store(next, std::memory_order_release);
  // [R-word] the next owner sees the limit, and comes after our commit.
  S::own(h).word.store(next << key_bits, std::memory_order_release);
}

}  // namespace mpnet::detail
