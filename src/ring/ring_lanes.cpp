// SPDX-License-Identifier: BSD-3-Clause
// Rings with lanes: who puts into which lane, and which one a consumer looks at next.  Cold: a producer comes here
// once, unless it shares a lane, a consumer when a lane is empty and now and then.
#include <mpnet/ring.hpp>
#include <ring/ring_repair.hpp>

namespace mpnet::detail {
namespace {

std::size_t shared_lane_of(std::uint64_t key) {
  return ring_held_lane_count + (key & 0xfff) % (ring_lane_count - ring_held_lane_count);
}

// Takes a lane for the caller's life; false: a living thread holds it.
// The cases:
//  1. idle: nobody ever held it, or its holder was seen to be gone: claim it, as claim_many does;
//  2. its holder is dead, or its lease went to another since: repair, which makes it idle, whoever is first;
//  3. its holder lives: leave it alone, at once.
bool take_lane(ring_header& lane, std::uint64_t key) noexcept {
  std::atomic<std::uint64_t>& word = lane.producer.word;
  std::uint64_t seen = word.load(std::memory_order_acquire);  // [A-word]
  if ((seen & key_mask) != 0 && key_is_dead(seen & key_mask)) {
    ring_repair_on_the_spot(lane, ring_side::producer, seen);
    seen = word.load(std::memory_order_acquire);  // [A-word]
  }
  if ((seen & key_mask) != 0) return false;
  // [A-word] the former holder's commit is done.  relaxed: a failure says that somebody else has it.
  return word.compare_exchange_strong(seen, seen | key, std::memory_order_acquire, std::memory_order_relaxed);
}

}  // namespace

std::size_t ring_choose_lane(ring_header& h, std::uint64_t key) noexcept {
  std::atomic<std::uint32_t>& choice = ring_choice(h, key);
  const std::uint32_t chosen = choice.load(std::memory_order_relaxed);  // relaxed: ours
  // Once in a shared lane, always there: in another one, its later objects could overtake the former.
  if ((chosen & key_mask) == key && chosen >> key_bits >= ring_held_lane_count) return chosen >> key_bits;
  std::size_t lane = shared_lane_of(key);
  // Threads without a lease are not told apart, so none of them can hold anything.
  for (std::size_t i = 0; key != key_of_nobody && i < ring_held_lane_count; ++i) {
    const std::size_t at = ((key & 0xfff) - 1 + i) % ring_held_lane_count;
    if (!take_lane(ring_lane(h, at), key)) continue;
    lane = at;
    break;
  }
  // Before anything is put there.  relaxed: a bit more to look at; who has heard of an object by other ways sees it.
  const std::uint32_t shared = (1U << ring_lane_count) - (1U << ring_held_lane_count);
  h.consumer.lanes_used.fetch_or(lane < ring_held_lane_count ? 1U << lane : shared, std::memory_order_relaxed);
  if (key != key_of_nobody)
    choice.store(static_cast<std::uint32_t>(lane << key_bits | key), std::memory_order_relaxed);  // relaxed: for us
  return lane;
}

namespace {

// A lane starves if objects lie in it and nobody has taken any since this thread last looked.  Lanes that others empty
// are left to them: what is taken from one processor's lane by another costs both.
bool watched_lane_starves(ring_header& h, const ring_look& look) noexcept {
  const ring_header& lane = ring_lane(h, look.watched);
  // relaxed, both: whoever takes something claims it.
  const std::uint64_t tail = lane.consumed.tail.load(std::memory_order_relaxed);
  return tail == look.tail && lane.produced.tail.load(std::memory_order_relaxed) != tail;
}

void watch_next_lane(ring_header& h, ring_look& look, std::uint32_t used) noexcept {
  look.tail = ~0ULL;  // as no tail is
  for (std::size_t i = 0; i < ring_lane_count; ++i) {
    look.watched = (look.watched + 1) % ring_lane_count;
    if ((used >> look.watched & 1) == 0 || look.watched == look.lane) continue;
    look.tail = ring_lane(h, look.watched).consumed.tail.load(std::memory_order_relaxed);  // relaxed: as above
    return;
  }
}

}  // namespace

std::size_t ring_first_look(ring_header& h, std::uint64_t key, ring_look& look) noexcept {
  const bool known = look.ring == &h;
  if (!known) --look.left;
  const bool time_for_others = look.left == 0;
  if (time_for_others) look.left = looks_between_others;
  const std::uint32_t choice = ring_choice(h, key).load(std::memory_order_relaxed);  // relaxed: ours
  const bool produces = (choice & key_mask) == key;
  const std::uint32_t home = produces ? choice >> key_bits : 0;
  if (!known) {
    // A thread that goes to and fro between rings knows nothing of their lanes, and begins anywhere at times.
    const std::uint32_t first = time_for_others ? (look.watched + 1) % ring_lane_count : home;
    look = {&h, first, look.left, first, ~0ULL};
    return first;
  }
  if (time_for_others) {
    const std::size_t first = watched_lane_starves(h, look) ? look.watched : look.lane;
    // relaxed: see ring_choose_lane
    watch_next_lane(h, look, h.consumer.lanes_used.load(std::memory_order_relaxed));
    return first;
  }
  // The lane where it last found something is empty.
  return produces && home != look.lane ? home : look.lane + 1;
}

}  // namespace mpnet::detail
