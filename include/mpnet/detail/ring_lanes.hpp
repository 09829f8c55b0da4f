// SPDX-License-Identifier: BSD-3-Clause
// Rings with lanes: which lane a thread uses, and how a producer puts into one that it holds.  Hot.  The choice of a
// lane and the search among them are in src/ring/ring_lanes.cpp.
//
// A producer takes a lane as it would take a turn, word and all, and does not give it back while it lives: then it puts
// without an atomic instruction.  What a death leaves is what a death in a turn leaves, and is repaired in the same
// way.
#pragma once

#include <mpnet/cycles.hpp>
#include <mpnet/detail/ring_ops.hpp>

namespace mpnet::detail {

/// Looks at the lane where something was found, before another is looked at.  A lane that nobody empties waits for
/// twice as many a used lane.  A prime, so that a thread that goes round several rings comes to each.
inline constexpr std::uint32_t looks_between_others = 127;
/// How this thread looks for objects in the ring with lanes that it used last.
struct ring_look {
  const ring_header* ring = nullptr;
  std::uint32_t lane = 0;                     // where it looks first: where it last found some
  std::uint32_t left = looks_between_others;  // looks until it is seen whether another lane starves
  std::uint32_t watched = 0;                  // that lane
  std::uint64_t tail = 0;                     // and its consumers' tail when it was last seen
};
inline thread_local constinit ring_look this_look{};

/// A producer that has just been told that its lane is full waits so long before it looks once more: each look takes
/// the line from the consumer, who needs it to make room.
inline constexpr int pauses_when_full = 16;

/// Where the thread with `key` says which lane it has chosen.
[[nodiscard, gnu::always_inline]] inline std::atomic<std::uint32_t>& ring_choice(ring_header& h,
                                                                                 std::uint64_t key) noexcept {
  return choices_of(h).of[key % max_leases];
}

/// The lane that the thread with `key` holds, and its word; null: it holds none, or has not chosen yet.
[[nodiscard, gnu::always_inline]] inline ring_header* held_lane(ring_header& h, std::uint64_t key,
                                                                std::uint64_t& word) noexcept {
  // relaxed, both: written by this thread, if they are ours.
  const std::uint32_t choice = ring_choice(h, key).load(std::memory_order_relaxed);
  if ((choice & key_mask) != key) [[unlikely]]
    return nullptr;
  ring_header& lane = ring_lane(h, choice >> key_bits);
  word = lane.producer.word.load(std::memory_order_relaxed);
  return (word & key_mask) == key ? &lane : nullptr;
}

/// As claim_single, in a lane that the caller holds.
[[nodiscard, gnu::always_inline]] inline bool claim_held(ring_header& lane, std::uint64_t position, std::size_t& count,
                                                         ring_amount amount) noexcept {
  using S = side_of<ring_side::producer>;
  ring_own& own = lane.producer;
  // relaxed, as all of `own`: the holder's; the next one acquires it with the word.
  std::int64_t room = ring_room(own.limit.load(std::memory_order_relaxed), position);
  if (room >= static_cast<std::int64_t>(count)) [[likely]]
    return true;
  if (own.found_full.load(std::memory_order_relaxed) != 0) [[unlikely]]
    for (int i = 0; i < pauses_when_full; ++i) cpu_relax();
  // [A-ctail] as claim_single
  const std::uint64_t limit = S::limit(own, S::peer(lane).tail.load(std::memory_order_acquire));
  room = ring_room(limit, position);
  own.limit.store(limit, std::memory_order_relaxed);
  const bool enough = room >= static_cast<std::int64_t>(count);
  own.found_full.store(enough ? 0 : 1, std::memory_order_relaxed);
  if (enough) [[likely]]
    return true;
  if (amount == ring_amount::all_or_nothing || room <= 0) return false;
  count = static_cast<std::size_t>(room);
  return true;
}

/// As commit_many, but the turn goes on.
[[gnu::always_inline]] inline void commit_held(ring_header& lane, std::uint64_t word, std::size_t count) noexcept {
  const std::uint64_t next = ((word >> key_bits) + count) & position_mask;
  // [R-ptail] publishes what was done to the slots.  From here on the operation happened: a repair finishes it.
  lane.produced.tail.store(next, std::memory_order_release);
  // [R-word] the next holder comes after our commit, and sees the limit.
  lane.producer.word.store(next << key_bits | (word & key_mask), std::memory_order_release);
}

/// The lane that the thread with `key` puts into: the one that it chose before, or else one of its own where one is to
/// be had, or else a shared one.  In a lane of its own, held_lane() finds it afterwards.
[[nodiscard]] std::size_t ring_choose_lane(ring_header& h, std::uint64_t key) noexcept;
/// The lane that a consumer looks at first when `look` does not say.
[[nodiscard]] std::size_t ring_first_look(ring_header& h, std::uint64_t key, ring_look& look) noexcept;
/// The lane, beside `lane`, for a producer that steps aside.
[[nodiscard]] inline std::size_t ring_lane_aside(std::size_t lane) noexcept {
  return lane + 1 == ring_lane_count ? ring_held_lane_count : lane + 1;
}

}  // namespace mpnet::detail
