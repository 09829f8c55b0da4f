// SPDX-License-Identifier: BSD-3-Clause
// Clones and origins after a death.  A process that dies while an mbuf's link says `changing` leaves open whether the
// origin counts that mbuf: its references are compared with a recount of those that say `attached`.  Who took an origin
// with its last reference, and died before its tag said so, is named in the references themselves.
#include <mpnet/cycles.hpp>
#include <mpnet/detail/lease.hpp>

#include "pool/backend.hpp"
#include "pool/local.hpp"
#include "pool/mbuf_refs.hpp"
#include "pool/recovery.hpp"

namespace mpnet::detail {
namespace {

enum class counted { no, yes, open };

struct census {
  std::uint32_t attached = 0;
  std::uint32_t changing_alive = 0;
  std::uint32_t changing_dead = 0;
};

census count_clones(const mbuf& origin, const surroundings& around) {
  census c;
  for (pool_header* pool : around.mbuf_pools) {
    for (std::uint32_t i = 0; i < pool->object_count; ++i) {
      auto& m = *reinterpret_cast<mbuf*>(object_at(*pool, i));
      // [A-mbuf-link] acquire: pairs with [R-mbuf-link] in mbuf_refs.cpp.
      const auto link = std::atomic_ref{m.link}.load(std::memory_order_acquire);
      if (link == link_none) continue;
      // Relaxed: written before the link.
      if (std::atomic_ref{m.origin}.load(std::memory_order_relaxed) != &origin) continue;
      if (link == link_attached)
        ++c.attached;
      else if (around.is_alive(pool->tags[i].load(std::memory_order_relaxed)))
        ++c.changing_alive;
      else
        ++c.changing_dead;
    }
  }
  return c;
}

/// Whether the origin of `m`, which is changing, counts it.  `m` is among the changing ones of the dead.
counted ask_origin(const mbuf& m, const surroundings& around) {
  for (int rounds = 0; rounds < 100; ++rounds) {
    // [A-mbuf] acquire; pairs with [R-mbuf].
    const std::uint64_t before = m.origin->references.load(std::memory_order_acquire);
    const census c = count_clones(*m.origin, around);
    // Relaxed: compared with what was read before.
    if (m.origin->references.load(std::memory_order_relaxed) != before) continue;  // they change: again
    const std::uint32_t in_doubt = clones_of(before) - c.attached;
    if (in_doubt == 0) return counted::no;
    if (in_doubt == c.changing_alive + c.changing_dead || c.changing_alive == 0) return counted::yes;
    cpu_relax();
  }
  return counted::open;
}

/// Gives back an origin that came free: tagged as this process's first, then no more in transit, then put.
void give_back(mbuf& m) noexcept {
  pool_header& pool = *m.pool;
  tag_object(pool, object_index(pool, &m), process_tag);
  reset_for_pool(m);
  void* object = &m;
  if (backend_add(pool, nullptr, &object, 1) == 0) strand(pool, &object, 1);
}

}  // namespace

bool settle_link(mbuf& m, const surroundings& around) {
  if (m.link == link_none) return true;
  if (m.link == link_changing) {
    const counted answer = ask_origin(m, around);
    if (answer == counted::open) return false;
    if (answer == counted::no) {
      mbuf& origin = *m.origin;
      // [A-mbuf] acquire; pairs with [R-mbuf].
      const std::uint64_t r = origin.references.load(std::memory_order_acquire);
      if (taker_of(r) != tag_nobody && !around.is_alive(taker_of(r))) give_back(origin);
      static_cast<void>(unlink_from_origin(m, false));
      return true;
    }
  }
  if (mbuf* origin = unlink_from_origin(m, true); origin != nullptr) give_back(*origin);
  return true;
}

bool settle_references(mbuf& m, std::uint16_t dead_tag, const surroundings& around) {
  // [A-mbuf] acquire; pairs with [R-mbuf].
  std::uint64_t r = m.references.load(std::memory_order_acquire);
  while (clones_of(r) != 0) {
    // Its holders are dead, clones of others are not: the last of them gives it back.
    // [R-mbuf], [A-mbuf]: as in drop_references.
    if (holds_of(r) == 0 || m.references.compare_exchange_weak(r, references_of(0, clones_of(r), tag_nobody, r),
                                                               std::memory_order_acq_rel, std::memory_order_acquire)) {
      std::uint16_t expected = dead_tag;
      // Relaxed: it says only that no process answers for it; who drops the last clone overwrites it.
      m.pool->tags[object_index(*m.pool, &m)].compare_exchange_strong(expected, tag_group, std::memory_order_relaxed,
                                                                      std::memory_order_relaxed);
      return false;
    }
  }
  // Somebody alive dropped the last clone and is about to say so in the tag.
  return taker_of(r) == tag_nobody || taker_of(r) == dead_tag || !around.is_alive(taker_of(r));
}

}  // namespace mpnet::detail
