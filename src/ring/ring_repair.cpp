// SPDX-License-Identifier: BSD-3-Clause
// What survivors do for a ring's dead: on the spot, when they wait for a claim, and from recovery's conductor.  All of
// it may be run by any number of threads at once, cut short by another death, and run again.
#include <mpnet/cycles.hpp>
#include <mpnet/detail/recovery.hpp>
#include <mpnet/ring.hpp>
#include <ring/ring_repair.hpp>

#include <algorithm>

namespace mpnet::detail {
namespace {

// How often a waiter looks again before it gives up: some 20 to 150 microseconds, far more than a turn takes, far less
// than a time slice.  A stopped owner may stop for ever.
constexpr int wait_rounds = 250;
// Between two looks.  Each look takes the word's line from its owner, who needs it to give the turn back; who looks
// seldom lets the owner take several turns with warm lines: two to three times as fast where both processors do both.
constexpr int pauses_between_looks = 8;

ring_own& own_of(ring_header& h, ring_side side) {
  return side == ring_side::producer ? h.producer : h.consumer;
}
ring_published& published_of(ring_header& h, ring_side side) {
  return side == ring_side::producer ? h.produced : h.consumed;
}
void count_one(std::atomic<std::uint64_t>& kind) {
  kind.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
}

}  // namespace

bool key_is_dead(std::uint64_t key) noexcept {
  const std::uint64_t index = (key & 0xfff) - 1;
  if (lease_table == nullptr || index >= max_leases) return false;
  const lease& l = lease_table[index];
  // The incarnation first.  Were the lease given to somebody else between the two loads, its former owner, named by the
  // key, is gone as well, whatever the second load says.
  // [A-incarnation] acquire: a lease changes hands only after its owner's death was seen.
  if ((l.incarnation.load(std::memory_order_acquire) & 0xfff) != ((key >> 12) & 0xfff)) return true;
  return is_dead(l);
}

bool ring_repair_claim(ring_header& h, ring_side side, std::uint64_t word, bool& finished) noexcept {
  // The dead owner stored, in this order: tail, word.  So the tail says how far it came:
  //  - tail is still the claim's position: nothing was published, the claim is undone;
  //  - tail is beyond: the operation happened, only the turn was not given back.
  // While `word` stands nobody but its owner moves the tail, so a repairer that is itself delayed between its load and
  // its CAS either still has the right tail, or somebody was faster and the CAS fails: the word names the owner's
  // incarnation, so it does not come again.
  // [A-ptail] [A-ctail] relaxed would do, is_dead() has acquired all that the dead one stored.
  const std::uint64_t tail = published_of(h, side).tail.load(std::memory_order_acquire) & position_mask;
  finished = tail != word >> key_bits;
  // [R-word] passes on what we acquired from the dead.
  return own_of(h, side).word.compare_exchange_strong(word, tail << key_bits, std::memory_order_acq_rel,
                                                      std::memory_order_relaxed);  // relaxed: a failure is not used
}

void ring_repair_on_the_spot(ring_header& h, ring_side side, std::uint64_t word) noexcept {
  bool finished = false;
  if (ring_repair_claim(h, side, word, finished))
    count_one(finished ? h.repairs.finished_by_waiters : h.repairs.undone_by_waiters);
}

std::uint64_t ring_wait_idle(ring_header& h, ring_side side, std::uint64_t word) noexcept {
  ring_own& own = own_of(h, side);
  for (int round = 0; round < wait_rounds; ++round) {
    if (key_is_dead(word & key_mask)) {
      ring_repair_on_the_spot(h, side, word);
    } else {
      for (int i = 0; i < pauses_between_looks; ++i) cpu_relax();
    }
    word = own.word.load(std::memory_order_acquire);  // [A-word] as in claim_many
    if ((word & key_mask) == 0) return word;
  }
  return word;
}

namespace {

// A single side's user that died between its two stores has done the operation and not published it.  That is finished
// here for whoever it was; a living user that is just there stores the same value a moment later.
bool publish_late(ring_header& h, ring_side side) noexcept {
  // The tail first.  Had the user moved on between the two loads, the tail would have changed and the CAS fails.
  std::uint64_t tail = published_of(h, side).tail.load(std::memory_order_acquire);  // [A-ptail] [A-ctail]
  const std::uint64_t next = own_of(h, side).next.load(std::memory_order_acquire);  // [A-next]
  if (next == tail) return false;
  // [R-ptail] [R-ctail] in place of the user, whose copies were acquired with `next`.  relaxed: a failure is not used.
  return published_of(h, side).tail.compare_exchange_strong(tail, next, std::memory_order_release,
                                                            std::memory_order_relaxed);
}

// How far a side has come.  On a single side `next` leads: what is behind it has changed hands, published or not.
std::uint64_t progress(ring_header& h, ring_side side) noexcept {
  if (own_of(h, side).sync == ring_sync::single)
    return own_of(h, side).next.load(std::memory_order_acquire);      // [A-next]
  return published_of(h, side).tail.load(std::memory_order_acquire);  // [A-ptail] [A-ctail]
}

}  // namespace

namespace {

// The ring itself, or its lanes.
template <class Visit>
void for_each_part(ring_header& h, const Visit& visit) {
  if ((h.flags & ring_laned) == 0) return visit(h);
  for (std::size_t i = 0; i < ring_lane_count; ++i) visit(ring_lane(h, i));
}

void repair_one(ring_header& h, recovery_counts& counts) noexcept {
  for (const ring_side side : {ring_side::producer, ring_side::consumer}) {
    ring_own& own = own_of(h, side);
    if (own.sync == ring_sync::single) {
      if (publish_late(h, side)) ++counts.rolled_forward, count_one(h.repairs.published_late);
      continue;
    }
    const std::uint64_t word = own.word.load(std::memory_order_acquire);  // [A-word]
    if ((word & key_mask) == 0 || !key_is_dead(word & key_mask)) continue;
    bool finished = false;
    if (!ring_repair_claim(h, side, word, finished)) continue;
    ++(finished ? counts.rolled_forward : counts.rolled_back);
    count_one(finished ? h.repairs.finished_by_recovery : h.repairs.undone_by_recovery);
  }
}

// What lay in a private ring goes with its process.
void empty_one(ring_header& h) noexcept {
  const std::uint64_t produced = h.produced.tail.load(std::memory_order_acquire);            // [A-ptail]
  h.consumer.next.store(produced, std::memory_order_release);                                // [R-next]
  h.consumed.tail.store(produced, std::memory_order_release);                                // [R-ctail]
  h.consumer.word.store((produced & position_mask) << key_bits, std::memory_order_release);  // [R-word]
}

void holdings_of_one(ring_header& h, const std::function<void(void*)>& visit) {
  // The consumers first: what left the ring before carries its new owner's tag already.  A slot that is
  // overwritten meanwhile holds an object of a living producer: visiting that does no harm.
  const std::uint64_t consumed = progress(h, ring_side::consumer);
  const std::uint64_t produced = progress(h, ring_side::producer);
  const std::uint64_t count = std::min(distance(consumed, produced), h.capacity);
  auto* slots = reinterpret_cast<std::uint64_t*>(ring_slots(h));
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t at = (consumed + i) & (h.slot_count - 1);
    // relaxed: ordered by the tails; atomic because a producer may store it now.
    const std::uint64_t value = std::atomic_ref<std::uint64_t>{slots[at]}.load(std::memory_order_relaxed);
    if (value != 0) visit(reinterpret_cast<void*>(value));
  }
}

}  // namespace

void ring_repair(ring_header& h, const dead_party& dead, recovery_counts& counts) noexcept {
  for_each_part(h, [&](ring_header& part) { repair_one(part, counts); });
  const std::atomic_ref<std::uint16_t> owner{h.owner_slot};
  // relaxed: the dead one's, or none of its
  if ((h.flags & ring_private) != 0 && dead.tag != 0 && owner.load(std::memory_order_relaxed) + 1 == dead.tag) {
    for_each_part(h, [](ring_header& part) { empty_one(part); });
    // [R-owner] last: whoever attaches next finds it empty; pairs with [A-owner] in ring_attach.
    owner.store(static_cast<std::uint16_t>(no_process), std::memory_order_release);
  }
  // A producer that died between its commit and its ring of the bell left sleepers asleep.
  if ((h.flags & ring_doorbell) != 0) ring_wake_consumers(h);
}

void ring_holdings(ring_header& h, const std::function<void(void*)>& visit) {
  if ((h.flags & ring_pool_objects) == 0 || h.element_size != sizeof(void*)) return;
  if ((h.flags & ring_private) != 0) return;  // its objects are tagged as its process's, and shared with nobody
  for_each_part(h, [&](ring_header& part) { holdings_of_one(part, visit); });
}

}  // namespace mpnet::detail
