// SPDX-License-Identifier: BSD-3-Clause
// Reclaim after a death, on plain memory: this process plays the dead, the survivor and the recovery by turns.
#include "pool/recovery.hpp"

#include <algorithm>
#include <set>

#include "pool/backend.hpp"
#include "pool/local.hpp"
#include "pool/mbuf_refs.hpp"
#include "pool/support.hpp"

using namespace pool_test;

namespace {

constexpr std::uint16_t dead = 2, survivor = 1, other = 3;

/// A group of pools, a ring (a vector) and the tags of those who live.
struct world {
  std::vector<detail::pool_header*> pools;
  std::vector<void*> ring;
  std::set<std::uint16_t> alive{survivor, other};
  detail::surroundings around() {
    return {.mbuf_pools = pools,
            .holdings =
                [this](const auto& visit) {
                  for (void* o : ring) visit(o);
                },
            .is_alive = [this](std::uint16_t tag) { return alive.contains(tag); }};
  }
  std::uint64_t reclaim(std::uint16_t tag = dead) {
    leases::become(0, survivor);
    detail::recovery_counts counts;
    for (auto* pool : pools) detail::reclaim_pool(*pool, tag, around(), counts);
    return counts.objects_returned;
  }
};

}  // namespace

TEST_CASE("what the dead held goes back, what lies in the backend or a ring stays there", "[pool][crash]") {
  leases l;
  plain_pool<> p{{.object_count = 300, .cache_size = 0}};
  world w{.pools = {}, .ring = {}};
  l.become(1, dead);
  std::vector<message*> v(200);
  REQUIRE(p->get_bulk(v) == 200);
  p->put_bulk(std::span{v}.first(50));                                    // stale tags in the backend
  std::copy(v.begin() + 50, v.begin() + 80, std::back_inserter(w.ring));  // in a ring
  l.become(0, survivor);
  detail::recovery_counts counts;
  detail::reclaim_pool(p.header(), dead, w.around(), counts);
  CHECK(counts.objects_returned == 120);
  CHECK(p->stats().available == 270);
  const auto audit = detail::audit_pool(p.header(), w.around(), {});
  CHECK(audit.in_rings == 30);
  CHECK(audit.sound());
  detail::reclaim_pool(p.header(), dead, w.around(), counts);
  CHECK(counts.objects_returned == 120);
  for (void* o : w.ring) CHECK(p.header().tags[p->index_of(static_cast<message*>(o))].load() == detail::tag_group);
}

TEST_CASE("an audit tells lost and duplicated objects from held ones", "[pool]") {
  leases l;
  plain_pool<> p{{.object_count = 100, .cache_size = 10}};
  world w;
  message* m = p->get();
  auto audit = detail::audit_pool(p.header(), w.around(), {});
  CHECK(audit.held_elsewhere == 1);  // tagged as ours, and we are alive
  void* hands[] = {m};
  audit = detail::audit_pool(p.header(), w.around(), hands);
  CHECK(audit.in_hands_here == 1);
  CHECK(audit.sound());
  CHECK(audit.in_backend + audit.in_caches_here == 99);
  p.header().tags[p->index_of(m)].store(77);
  CHECK(detail::audit_pool(p.header(), w.around(), {}).lost == 1);
  w.ring.push_back(m);
  CHECK(detail::audit_pool(p.header(), w.around(), hands).duplicated == 1);
}

TEST_CASE("chains in a ring stay whole", "[mbuf][crash]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 50, .cache_size = 0}};
  world w{.pools = {p->header()}, .ring = {}};
  l.become(1, dead);
  mbuf* head = p->alloc();
  REQUIRE(head->chain(p->alloc()));
  REQUIRE(head->chain(p->alloc()));
  REQUIRE(p->alloc() != nullptr);
  w.ring.push_back(head);
  CHECK(w.reclaim() == 1);
  CHECK(p->stats().in_use == 3);
  CHECK(detail::audit_pool(*p->header(), w.around(), {}).in_rings == 3);
  w.ring.clear();
  ring_element<mbuf*>::take(&head, 1);
  free_mbuf(head);
  CHECK(p->stats().in_use == 0);
}

TEST_CASE("an mbuf whose owner dies stays while clones of others need it", "[mbuf][crash]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 50, .cache_size = 0}};
  world w{.pools = {p->header()}, .ring = {}};
  l.become(1, dead);
  mbuf* m = p->alloc();
  mbuf* theirs = p->clone(m);
  mbuf* own = p->clone(m);
  REQUIRE(own != nullptr);
  l.become(2, other);
  ring_element<mbuf*>::take(&theirs, 1);  // came to another process through a ring
  CHECK(w.reclaim() == 1);                // the dead one's own clone
  CHECK(m->reference_count() == 1);
  CHECK(detail::audit_pool(*p->header(), w.around(), {}).sound());
  l.become(2, other);
  free_mbuf(theirs);
  CHECK(p->stats().in_use == 0);
}

TEST_CASE("clones that a dead process held let go of what living ones own", "[mbuf][crash]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 50, .cache_size = 0}};
  world w{.pools = {p->header()}, .ring = {}};
  l.become(2, other);
  mbuf* kept = p->alloc();
  mbuf* orphan = p->alloc();
  mbuf* a = p->clone(kept);
  mbuf* b = p->clone(orphan);
  free_mbuf(orphan);
  l.become(1, dead);
  ring_element<mbuf*>::take(&a, 1);
  ring_element<mbuf*>::take(&b, 1);
  CHECK(w.reclaim() == 2);
  CHECK(kept->reference_count() == 1);
  CHECK(p->stats().in_use == 1);
  CHECK(detail::audit_pool(*p->header(), w.around(), {}).sound());
}

TEST_CASE("a clone caught while it changes is settled by a recount", "[mbuf][crash]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 50, .cache_size = 0}};
  world w{.pools = {p->header()}, .ring = {}};
  l.become(2, other);
  mbuf* m = p->alloc();
  mbuf* living = p->clone(m);
  l.become(1, dead);
  mbuf* c = p->clone(m);
  const bool was_counted = GENERATE(true, false);
  c->link = link_changing;
  if (!was_counted) REQUIRE_FALSE(detail::drop_references(*m, 0, 1));
  CHECK(w.reclaim() == 1);
  CHECK(m->reference_count() == 2);
  l.become(2, other);
  free_mbuf(m);
  free_mbuf(living);
  CHECK(p->stats().in_use == 0);
}

TEST_CASE("an mbuf taken with its last clone by one who died at once goes back", "[mbuf][crash]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 50, .cache_size = 0}};
  world w{.pools = {p->header()}, .ring = {}};
  l.become(2, other);
  mbuf* m = p->alloc();
  l.become(1, dead);
  mbuf* c = p->clone(m);
  l.become(2, other);
  free_mbuf(m);
  l.become(1, dead);
  c->link = link_changing;
  REQUIRE(detail::drop_references(*m, 0, 1));
  const bool tagged = GENERATE(true, false);
  if (tagged) p->header()->tags[p->index_of(m)].store(dead);
  w.reclaim();
  CHECK(p->stats().in_use == 0);
  CHECK(detail::audit_pool(*p->header(), w.around(), {}).sound());
}

TEST_CASE("who once took an mbuf with its last clone is not asked about it for ever", "[mbuf][crash]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 50, .cache_size = 0}};
  world w{.pools = {p->header()}, .ring = {}};
  l.become(2, other);
  mbuf* m = p->alloc();
  mbuf* c = p->clone(m);
  free_mbuf(m);
  free_mbuf(c);
  l.become(1, dead);
  std::vector<mbuf*> v(50);
  REQUIRE(p->alloc_bulk(v) == 50);
  CHECK(w.reclaim() == 50);
}
