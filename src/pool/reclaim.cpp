// SPDX-License-Identifier: BSD-3-Clause
#include <mpnet/detail/lease.hpp>

#include <algorithm>

#include "pool/backend.hpp"
#include "pool/local.hpp"
#include "pool/mbuf_refs.hpp"
#include "pool/recovery.hpp"

namespace mpnet::detail {
namespace {

constexpr std::size_t segments_max = 0xffff;

/// The next segment of a packet that may be leaving its ring at the moment.  Then whoever took it has tagged all of it
/// before, and whatever this reads spares no object of the dead; so the race with its new owner, who does not know of
/// it, is of no consequence.
__attribute__((no_sanitize("thread"))) mbuf* next_of(const mbuf& m) noexcept {
  return *static_cast<mbuf* const volatile*>(&m.next);
}

void see(std::vector<std::uint8_t>& places, std::uint32_t index, std::uint8_t place) {
  places[index] = static_cast<std::uint8_t>(places[index] | place | (places[index] != 0 ? twice : 0));
}

/// Objects that are ready to go back, handed over in one go.  Their tags name this process already: should it die with
/// them, they are its own.
class returns {
 public:
  returns(pool_header& pool, recovery_counts& counts) : pool_(pool), counts_(counts) {}
  void add(std::uint32_t index) {
    batch_[n_++] = object_at(pool_, index);
    if (n_ == std::size(batch_)) flush();
  }
  void flush() {
    const std::size_t moved = backend_add(pool_, nullptr, batch_, n_);
    if (moved < n_) strand(pool_, batch_ + moved, n_ - moved);
    counts_.objects_returned += n_;
    pool_.objects_reclaimed.fetch_add(n_, std::memory_order_relaxed);  // relaxed: a statistic
    n_ = 0;
  }

 private:
  pool_header& pool_;
  recovery_counts& counts_;
  void* batch_[64];
  std::size_t n_ = 0;
};

/// Moves the tag on; fails where a living process got the object meanwhile.
bool retag(pool_header& pool, std::uint32_t index, std::uint16_t from, std::uint16_t to) noexcept {
  // [A-tag] acquire, release for form: the CAS decides by the tag's own order of changes; the claim around each change
  // of a tag publishes everything else.  Pairs with [R-tag], here.
  return pool.tags[index].compare_exchange_strong(from, to, std::memory_order_acq_rel, std::memory_order_relaxed);
}

}  // namespace

std::vector<std::uint8_t> locate(const pool_header& pool, const surroundings& around) {
  std::vector<std::uint8_t> places(pool.object_count, 0);
  backend_visit(pool, [&](std::uint32_t index, bool owned) { see(places, index, owned ? in_claim : in_backend); });
  around.holdings([&](void* object) {
    if (contains(pool, object)) see(places, object_index(pool, object), in_ring);
    const auto is_mbuf = [&](const void* at) {
      return std::any_of(around.mbuf_pools.begin(), around.mbuf_pools.end(),
                         [at](const pool_header* p) { return contains(*p, at); });
    };
    if (!is_mbuf(object)) return;
    auto* m = static_cast<mbuf*>(object);
    for (std::size_t n = 1; n < segments_max; ++n) {
      m = next_of(*m);
      if (m == nullptr || !is_mbuf(m)) break;
      if (contains(pool, m)) see(places, object_index(pool, m), in_ring);
    }
  });
  return places;
}

void reclaim_pool(pool_header& pool, std::uint16_t dead_tag, const surroundings& around, recovery_counts& counts) {
  const bool mbufs = (pool.flags & pool_of_mbufs) != 0;
  const std::vector<std::uint8_t> places = locate(pool, around);
  returns back{pool, counts};
  const auto each_of_the_dead = [&](auto&& act) {
    for (std::uint32_t i = 0; i < pool.object_count; ++i) {
      // Relaxed: the CAS decides.
      if (pool.tags[i].load(std::memory_order_relaxed) == dead_tag && places[i] == 0) act(i);
    }
  };
  if (mbufs) {  // clones first, for they keep others alive
    each_of_the_dead([&](std::uint32_t i) {
      auto& m = *reinterpret_cast<mbuf*>(object_at(pool, i));
      static_cast<void>(settle_link(m, around));
    });
  }
  each_of_the_dead([&](std::uint32_t i) {
    if (mbufs) {
      auto& m = *reinterpret_cast<mbuf*>(object_at(pool, i));
      if (m.link != link_none || !settle_references(m, dead_tag, around)) return;
      reset_for_pool(m);
    }
    if (retag(pool, i, dead_tag, process_tag)) back.add(i);
  });
  back.flush();
  // What lies in a ring belongs to nobody until somebody takes it out: the tag is free for another process then.
  for (std::uint32_t i = 0; i < pool.object_count; ++i) {
    if ((places[i] & in_ring) != 0 && pool.tags[i].load(std::memory_order_relaxed) == dead_tag) {  // relaxed: see above
      static_cast<void>(retag(pool, i, dead_tag, tag_group));
    }
  }
}

pool_audit audit_pool(pool_header& pool, const surroundings& around, std::span<void* const> in_hands_here) {
  std::vector<std::uint8_t> places = locate(pool, around);
  struct context {
    pool_header& pool;
    std::vector<std::uint8_t>& places;
  } c{pool, places};
  visit_local(
      pool,
      [](void* at, void* object) {
        auto& where = *static_cast<context*>(at);
        see(where.places, object_index(where.pool, object), in_cache);
      },
      &c);
  for (void* object : in_hands_here) {
    if (contains(pool, object)) see(places, object_index(pool, object), in_hands);
  }
  pool_audit a;
  a.object_count = pool.object_count;
  for (std::uint32_t i = 0; i < pool.object_count; ++i) {
    const std::uint8_t place = places[i];
    if ((place & twice) != 0)
      ++a.duplicated;
    else if ((place & in_backend) != 0)
      ++a.in_backend;
    else if ((place & in_claim) != 0)
      ++a.in_claims;
    else if ((place & in_ring) != 0)
      ++a.in_rings;
    else if ((place & in_cache) != 0)
      ++a.in_caches_here;
    else if ((place & in_hands) != 0)
      ++a.in_hands_here;
    else {
      const std::uint16_t tag = pool.tags[i].load(std::memory_order_relaxed);  // relaxed: a snapshot
      const bool cloned =
          (pool.flags & pool_of_mbufs) != 0 &&
          clones_of(reinterpret_cast<mbuf*>(object_at(pool, i))->references.load(std::memory_order_relaxed)) !=
              0;  // relaxed: a snapshot
      if (cloned || (tag != tag_nobody && tag != tag_group && around.is_alive(tag)))
        ++a.held_elsewhere;
      else
        ++a.lost;
    }
  }
  return a;
}

}  // namespace mpnet::detail
