// SPDX-License-Identifier: BSD-3-Clause
// Taking from and adding to the backend, and undoing what the dead left half done.
//
// Both operations have one shape: (1) CAS the state of a chunk from open(count) to owned(count, me); (2) move objects
// out of the slots below `count`, tagging them, or write objects to the slots above; (3) store open(new count).  Dying
// before (1) or after (3) leaves nothing to do.  Dying between them, whatever was done, open(count) is right again:
// objects that were being taken are still named by their slots, whoever their tag names; objects that were being added
// are not yet, and carry the dead process's tag, so reclaim finds them.
#include "pool/backend.hpp"

#include "pool/slots.hpp"

#include <mpnet/cycles.hpp>

#include <algorithm>
#include <bit>

namespace mpnet::detail {
namespace {

constexpr int patience = 256;  // rounds over chunks that others have claimed, before a call returns short

struct claim {
  pool_header& pool;
  std::uint16_t lease;
  std::uint32_t incarnation;
  std::uint16_t tag;
};

/// Says that chunk i holds objects.
void mark(pool_header& pool, std::uint32_t i) noexcept {
  // [R-bitmap] release: who sees the bit sees the state stored before; pairs with [A-bitmap].
  pool.bitmap[i / chunks_per_word].bits.fetch_or(1ULL << i % chunks_per_word, std::memory_order_release);
}

/// Says that chunk i is empty, after its state said so.  Another may have filled it meanwhile, and may have set the bit
/// before this clears it; so look again afterwards: either the bit is set later than it was cleared here, or the new
/// state is seen here.
void unmark(pool_header& pool, std::uint32_t i) noexcept {
  // [A-bitmap] acquire: a bit set before shows the state that was stored before it; pairs with [R-bitmap].
  pool.bitmap[i / chunks_per_word].bits.fetch_and(~(1ULL << i % chunks_per_word), std::memory_order_acq_rel);
  // Relaxed: ordered by the line above.
  if (parse_chunk(chunk_at(pool, i).state.load(std::memory_order_relaxed)).count != 0) mark(pool, i);
}

/// Undoes the claim that `word` shows if its owner is dead.
bool undo(pool_header& pool, std::uint32_t i, std::uint64_t word) noexcept {
  const chunk_state state = parse_chunk(word);
  const lease& owner = lease_table[state.lease];
  // A lease is given to somebody else only after all claims of its last owner were undone, so another incarnation means
  // that `word` is out of date, and then the CAS fails.  Relaxed: the CAS decides.
  if (owner.incarnation.load(std::memory_order_relaxed) == state.incarnation && !is_dead(owner)) return false;
  // [R-chunk] release, [A-chunk] acquire: as the dead owner would have.
  if (!chunk_at(pool, i).state.compare_exchange_strong(word, open_chunk(state.count), std::memory_order_acq_rel,
                                                       std::memory_order_relaxed)) {
    return false;
  }
  // Relaxed: a statistic.
  pool.claims_undone.fetch_add(1, std::memory_order_relaxed);
  if (state.count != 0) mark(pool, i);
  return true;
}

enum class outcome { claimed, unsuitable, busy };

/// A chunk that was claimed: which one, and what is inside.
struct claimed_chunk {
  std::uint32_t i = 0;
  std::uint32_t count = 0;
  std::uint16_t tag = tag_nobody;
};

/// Claims chunk c.i if `wanted(count)` says so.
template <class Wanted>
outcome try_claim(const claim& me, claimed_chunk& c, Wanted wanted) noexcept {
  const std::uint32_t i = c.i;
  pool_chunk& chunk = chunk_at(me.pool, i);
  auto& word = chunk.state;
  prefetch_lines<false>(&chunk, me.pool.chunk_bytes);
  // Relaxed: the CAS below acquires.
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  chunk_state state = parse_chunk(seen);
  if (state.owned) {
    if (!undo(me.pool, i, seen)) return outcome::busy;
    seen = open_chunk(state.count);
    state.tag = tag_nobody;
  }
  if (!wanted(state.count)) return outcome::unsuitable;
  // [A-chunk] acquire: the slots that the last owner wrote are visible, and it is done with them; pairs with [R-chunk].
  if (!word.compare_exchange_strong(seen, owned_chunk(state.count, me.lease, me.incarnation), std::memory_order_acquire,
                                    std::memory_order_relaxed)) {
    return outcome::busy;
  }
  c.count = state.count;
  c.tag = state.tag;
  return outcome::claimed;
}

std::size_t take_from(const claim& me, const claimed_chunk& c, void** out, std::size_t n) noexcept {
  pool_header& pool = me.pool;
  pool_chunk& chunk = chunk_at(pool, c.i);
  const auto moved = static_cast<std::uint32_t>(std::min<std::size_t>(n, c.count));
  const std::uint32_t left = c.count - moved;
  read_slots(pool, chunk.slots + left, out, moved);
  if (c.tag != me.tag) tag_slots(pool, chunk.slots + left, moved, me.tag);
  // [R-chunk] release: the tags are visible to whoever sees that the objects have left; and the slots may be written
  // again.  Pairs with [A-chunk].
  chunk.state.store(open_chunk(left, c.tag), std::memory_order_release);
  if (left == 0) unmark(pool, c.i);
  return moved;
}

std::size_t add_to(const claim& me, const claimed_chunk& c, void* const* objects, std::size_t n) noexcept {
  pool_header& pool = me.pool;
  pool_chunk& chunk = chunk_at(pool, c.i);
  const auto moved = static_cast<std::uint32_t>(std::min<std::size_t>(n, pool.chunk_capacity - c.count));
  write_slots(pool, chunk.slots + c.count, objects, moved);
  // What a process holds carries its tag.
  const std::uint16_t tag = c.count == 0 || c.tag == me.tag ? me.tag : tag_nobody;
  // [R-chunk] release: the slots are visible to the next owner; pairs with [A-chunk].
  chunk.state.store(open_chunk(c.count + moved, tag), std::memory_order_release);
  if (c.count == 0) mark(pool, c.i);
  return moved;
}

/// Calls try_claim for the chunks whose bits, with `flip` applied, are set; from `word` on, which becomes where it was
/// found.  `busy` where some were suitable but in claims of others.
template <class Wanted>
outcome search(const claim& me, std::uint64_t flip, std::uint32_t& word, claimed_chunk& c, Wanted wanted) noexcept {
  pool_header& pool = me.pool;
  bool busy = false;
  std::uint32_t at = word < pool.bitmap_words ? word : 0;
  for (std::uint32_t seen = 0; seen < pool.bitmap_words; ++seen, at = at + 1 == pool.bitmap_words ? 0 : at + 1) {
    // Relaxed: the claim's CAS acquires.
    const std::uint64_t bits = (pool.bitmap[at].bits.load(std::memory_order_relaxed) ^ flip) & 0xffffffff;
    for (std::uint64_t left = bits; left != 0; left &= left - 1) {
      c.i = at * chunks_per_word + static_cast<std::uint32_t>(std::countr_zero(left));
      if (c.i >= pool.chunk_count) break;
      const outcome result = try_claim(me, c, wanted);
      if (result == outcome::claimed) {
        word = at;
        return result;
      }
      if (result == outcome::busy)
        busy = true;
      else if (flip == 0)
        unmark(pool, c.i);
    }
  }
  return busy ? outcome::busy : outcome::unsuitable;
}

/// Claims a chunk that holds objects.
outcome claim_filled(const claim& me, chunk_hints& hints, claimed_chunk& c) noexcept {
  const auto wanted = [](std::uint32_t inside) { return inside != 0; };
  while (hints.filled_count != 0) {
    c.i = hints.filled[--hints.filled_count % chunk_hints::depth];
    if (try_claim(me, c, wanted) == outcome::claimed) return outcome::claimed;
  }
  return search(me, 0, hints.filled_word, c, wanted);
}

/// Claims a chunk that has room for objects, an empty one if there is any.
outcome claim_with_room(const claim& me, chunk_hints& hints, claimed_chunk& c) noexcept {
  pool_header& pool = me.pool;
  const auto empty = [](std::uint32_t inside) { return inside == 0; };
  while (hints.emptied_count != 0) {
    c.i = hints.emptied[--hints.emptied_count % chunk_hints::depth];
    if (try_claim(me, c, empty) == outcome::claimed) return outcome::claimed;
  }
  if (search(me, ~0ULL, hints.room_word, c, empty) == outcome::claimed) return outcome::claimed;
  for (c.i = 0; c.i < pool.chunk_count; ++c.i) {
    if (try_claim(me, c, [&pool](std::uint32_t inside) { return inside < pool.chunk_capacity; }) == outcome::claimed) {
      return outcome::claimed;
    }
  }
  return outcome::busy;
}

/// Small gets and puts share one chunk, so that they do not leave many that are partly filled.
template <class Wanted>
bool claim_partial(const claim& me, std::size_t n, claimed_chunk& c, Wanted wanted) noexcept {
  if (n >= me.pool.chunk_capacity) return false;
  c.i = me.pool.partial_hint.load(std::memory_order_relaxed);  // relaxed: any value is right
  return try_claim(me, c, wanted) == outcome::claimed;
}

void remember(std::uint32_t* ring, std::uint32_t& count, std::uint32_t i) noexcept {
  // Beyond its depth the ring forgets the oldest; counted so that what is left is still there.
  ring[count % chunk_hints::depth] = i;
  count = count + 1 >= 2 * chunk_hints::depth ? chunk_hints::depth : count + 1;
}

/// Where an lcore only gets or only puts, the chunks that it takes over come from another processor: picks the next one
/// now, and asks for its lines while there is time.
template <bool for_writing>
void look_ahead(pool_header& pool, std::uint32_t word, std::uint32_t current, std::uint32_t* ring,
                std::uint32_t& count) noexcept {
  if (count != 0) return;
  // Relaxed: a hint.
  const std::uint64_t bits = pool.bitmap[word].bits.load(std::memory_order_relaxed) ^ (for_writing ? ~0ULL : 0);
  const std::uint64_t others = bits & 0xffffffff & ~(1ULL << current % chunks_per_word);
  if (others == 0) return;
  const std::uint32_t next = word * chunks_per_word + static_cast<std::uint32_t>(std::countr_zero(others));
  if (next >= pool.chunk_count) return;
  prefetch_lines<for_writing>(&chunk_at(pool, next), pool.chunk_bytes);
  remember(ring, count, next);
}

void set_hint(std::atomic<std::uint32_t>& hint, std::uint32_t value) noexcept {
  // Relaxed: any value is right.
  if (hint.load(std::memory_order_relaxed) != value) hint.store(value, std::memory_order_relaxed);
}

/// Calls `step` until it has moved n objects, waiting a bounded time for claims of others.
template <class Step>
std::size_t move_all(pool_header& pool, chunk_hints* own_hints, std::size_t n, Step step) noexcept {
  const lease* own = current_lease();
  if (own == nullptr || n == 0) return 0;
  // Relaxed: changed only while nobody holds the lease.
  const claim me{pool, lease_index(*own), own->incarnation.load(std::memory_order_relaxed), process_tag};
  chunk_hints shared{};
  if (own_hints == nullptr) {  // Relaxed: hints.
    shared.filled_word = pool.filled_hint.load(std::memory_order_relaxed);
    shared.room_word = pool.room_hint.load(std::memory_order_relaxed);
  }
  chunk_hints& hints = own_hints != nullptr ? *own_hints : shared;
  std::size_t moved = 0;
  for (int rounds = 0; moved < n && rounds < patience;) {
    std::size_t now = 0;
    const outcome result = step(me, hints, moved, now);
    moved += now;
    if (result == outcome::unsuitable) break;
    if (result == outcome::busy) {
      ++rounds;
      cpu_relax();
    }
  }
  if (own_hints == nullptr) {
    set_hint(pool.filled_hint, shared.filled_word);
    set_hint(pool.room_hint, shared.room_word);
  }
  return moved;
}

}  // namespace

std::size_t backend_take(pool_header& pool, chunk_hints* own_hints, void** out, std::size_t n) noexcept {
  const auto holds_some = [](std::uint32_t inside) { return inside != 0; };
  return move_all(pool, own_hints, n, [&](const claim& me, chunk_hints& hints, std::size_t moved, std::size_t& now) {
    claimed_chunk c;
    outcome result = outcome::claimed;
    if (!claim_partial(me, n - moved, c, holds_some)) result = claim_filled(me, hints, c);
    if (result != outcome::claimed) return result;
    now = take_from(me, c, out + moved, n - moved);
    if (now == c.count)
      remember(hints.emptied, hints.emptied_count, c.i);
    else
      set_hint(pool.partial_hint, c.i);
    if (own_hints != nullptr) look_ahead<false>(pool, hints.filled_word, c.i, hints.filled, hints.filled_count);
    return result;
  });
}

std::size_t backend_add(pool_header& pool, chunk_hints* own_hints, void* const* objects, std::size_t n) noexcept {
  const auto has_room = [&pool](std::uint32_t inside) { return inside < pool.chunk_capacity; };
  return move_all(pool, own_hints, n, [&](const claim& me, chunk_hints& hints, std::size_t moved, std::size_t& now) {
    claimed_chunk c;
    outcome result = outcome::claimed;
    if (!claim_partial(me, n - moved, c, has_room)) result = claim_with_room(me, hints, c);
    if (result != outcome::claimed) return result;
    now = add_to(me, c, objects + moved, n - moved);
    if (c.count + now == pool.chunk_capacity)
      remember(hints.filled, hints.filled_count, c.i);
    else
      set_hint(pool.partial_hint, c.i);
    if (own_hints != nullptr) look_ahead<true>(pool, hints.room_word, c.i, hints.emptied, hints.emptied_count);
    return result;
  });
}

std::size_t backend_repair(pool_header& pool) noexcept {
  std::size_t undone = 0;
  for (std::uint32_t i = 0; i < pool.chunk_count; ++i) {
    // Relaxed: undo's CAS acquires, and the bitmap is a hint.
    const std::uint64_t word = chunk_at(pool, i).state.load(std::memory_order_relaxed);
    const chunk_state state = parse_chunk(word);
    const std::uint64_t bits = pool.bitmap[i / chunks_per_word].bits.load(std::memory_order_relaxed);
    if (state.owned) {
      if (undo(pool, i, word)) ++undone;
    } else if (state.count != 0 && (bits >> i % chunks_per_word & 1) == 0) {
      mark(pool, i);  // its owner died between the state and the bit, or will set it itself
    }
  }
  return undone;
}

}  // namespace mpnet::detail
