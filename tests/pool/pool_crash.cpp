// SPDX-License-Identifier: BSD-3-Clause
// Kills a process at every instruction of every operation of pools and mbufs, and of their reclaim.  Options:
// crash_run.hpp.
//
// Actors: A dies in the operation; B lives beside it and holds objects; C is the survivor who recovers and judges; R is
// a recovery that dies itself.  The judgement does not rest on tags: every object must be in exactly one place, then B
// gives back what it holds, and each object must come out of its pool exactly once.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "pool/backend.hpp"
#include "pool/mbuf_refs.hpp"
#include "pool/recovery.hpp"
#include "support/crash_run.hpp"

namespace mpnet::test {
namespace {

constexpr std::size_t mbufs = 40;
constexpr std::size_t cache = 16;  // chunks of 14
constexpr std::uint16_t tag_a = 1, tag_b = 2, tag_c = 3, tag_r = 4;
enum who : std::size_t { a_with_lcore, a_without, b, c, r, actors };

struct hands {
  std::array<mbuf*, 64> mbufs{};
  std::size_t count = 0;
  void add(mbuf* m) { mbufs[count++] = m; }
  std::span<mbuf*> all() { return {mbufs.data(), count}; }
};

struct shared_world {
  std::array<detail::lease, actors> leases;
  hands a, b, ring;
  alignas(64) std::array<std::byte, 32 * 1024> pool_bytes;
  alignas(64) std::array<std::byte, 32 * 1024> clone_pool_bytes;
};

constexpr const char* undone = "claims undone by recovery";
constexpr const char* by_waiter = "by a waiter";
constexpr const char* reclaimed = "objects reclaimed";
crash_run run{"pool_crash", {undone, by_waiter, reclaimed}};
shared_world* world = nullptr;
mbuf_pool pool_of_packets, pool_of_clones;

// The first actor is the last lcore id, the others are threads without one.
void become(who actor) {
  constexpr std::uint16_t tags[] = {tag_a, tag_a, tag_b, tag_c, tag_r};
  detail::lease_table = world->leases.data() - (max_lcores - 1);
  detail::this_lease = &world->leases[actor];
  detail::process_tag = tags[actor];
}

void enter(who actor) {
  become(actor);
  hold_lease(*detail::this_lease);
}

mbuf_pool make_pool(std::span<std::byte> memory, std::uint32_t index, std::size_t cache_size) {
  const mbuf_pool_options options{.mbuf_count = mbufs, .cache_size = cache_size, .data_room_bytes = mbuf_headroom + 64};
  const pool_options plain{.object_count = mbufs, .cache_size = cache_size};
  require(detail::pool_footprint(plain, mbuf_pool::format(options)) <= memory.size(), "the arena is too small");
  auto& header = detail::format_pool(memory.data(), plain, mbuf_pool::format(options));
  mbuf_pool::initialise(header, options, 0);
  return mbuf_pool{&detail::attach_pool(memory.data(), memory.size(), index, mbuf_pool::layout())};
}

std::vector<detail::pool_header*> pools() {
  return {pool_of_packets.header(), pool_of_clones.header()};
}

detail::surroundings around(std::span<detail::pool_header* const> all, bool r_is_dead) {
  return {.mbuf_pools = all,
          .holdings =
              [](const auto& visit) {
                for (mbuf* m : world->ring.all()) visit(m);
              },
          .is_alive =
              [r_is_dead](std::uint16_t tag) { return tag == tag_b || tag == tag_c || (tag == tag_r && !r_is_dead); }};
}

void recover(std::initializer_list<std::uint16_t> dead, bool r_is_dead, detail::recovery_counts& counts) {
  const auto all = pools();
  for (auto* pool : all) counts.rolled_back += detail::backend_repair(*pool);
  for (const std::uint16_t tag : dead) {
    for (auto* pool : all) detail::reclaim_pool(*pool, tag, around(all, r_is_dead), counts);
  }
}

/// Each object in exactly one place, whatever its tag says.
void account(bool after_b_gave_back) {
  const auto all = pools();
  for (auto* pool : all) {
    std::vector<std::uint8_t> places = detail::locate(*pool, around(all, true));
    const auto hold = [&](const mbuf* m) {
      if (!detail::contains(*pool, m)) return;
      auto& place = places[detail::object_index(*pool, m)];
      place = static_cast<std::uint8_t>(place != 0 ? detail::twice : detail::in_hands);
    };
    for (const mbuf* m : world->b.all()) hold(m);
    std::set<const mbuf*> origins;
    for (const mbuf* m : world->b.all()) {
      if (m->link != link_none) origins.insert(m->origin);
    }
    for (const mbuf* m : origins) {
      if (std::find(world->b.mbufs.begin(), world->b.mbufs.end(), m) == world->b.mbufs.end()) hold(m);
    }
    for (std::uint32_t i = 0; i < pool->object_count; ++i) {
      const auto& m = *reinterpret_cast<mbuf*>(detail::object_at(*pool, i));
      run.losses += places[i] == 0 ? 1 : 0;
      run.duplicates += (places[i] & detail::twice) != 0 ? 1 : 0;
      require(places[i] != 0, fmt::format("mbuf {} is lost, tag {}, references {:x}, link {}", i, pool->tags[i].load(),
                                          m.references.load(), m.link));
      require((places[i] & detail::twice) == 0, fmt::format("mbuf {} is in two places ({:x})", i, places[i]));
      require((places[i] & detail::in_claim) == 0, "a claim of the dead is left");
      if (!after_b_gave_back) continue;
      require((m.references.load() & 0xffffffff) == detail::one_hold, "a free mbuf is referenced");
      require(m.next == nullptr && m.origin == nullptr && m.link == link_none && !m.is_indirect(),
              "a free mbuf is not clean");
    }
  }
}

void judge(std::initializer_list<std::uint16_t> dead) {
  become(c);
  detail::recovery_counts counts;
  recover(dead, true, counts);
  run.repaired(reclaimed, counts.objects_returned);
  run.repaired(undone, counts.rolled_back);
  account(false);
  detail::recovery_counts again;
  recover(dead, true, again);
  require(again.objects_returned == 0 && again.rolled_back == 0, "recovery is not idempotent");
  become(b);
  for (mbuf* m : world->b.all()) free_segment(m);
  world->b.count = 0;
  for (mbuf* m : world->ring.all()) ring_element<mbuf*>::take(&m, 1), free_mbuf(m);
  world->ring.count = 0;
  account(true);
  for (const mbuf_pool& pool : {pool_of_packets, pool_of_clones}) {
    std::array<mbuf*, mbufs + 1> got;
    require(pool.get_burst(got) == mbufs, "not all objects can be got");
    require(std::set<mbuf*>(got.begin(), got.begin() + mbufs).size() == mbufs, "an object was got twice");
  }
}

struct operation {
  const char* name;
  bool with_lcore;
  std::function<void()> prepare;  // as A (and B), at full speed
  std::function<void()> run;      // as A
};

/// B comes by before any recovery: it must neither hang nor get what is not there.
void visit_by_survivor() {
  become(b);
  const std::uint64_t before = pool_of_packets.header()->claims_undone.load();
  std::array<mbuf*, 6> got;
  const std::size_t n = pool_of_packets.get_burst(got);
  for (std::size_t i = 0; i < n; ++i) world->b.add(got[i]);
  if (mbuf* m = pool_of_clones.get(); m != nullptr) pool_of_clones.put(m);
  run.repaired(by_waiter, pool_of_packets.header()->claims_undone.load() - before);
}

class scenario {
 public:
  explicit scenario(arena& memory) : arena_(memory) {}

  void cut(const operation& op) {
    const who a = op.with_lcore ? a_with_lcore : a_without;
    const auto enter_a = [&op, a] {
      enter(a);
      op.with_lcore ? warm() : void();
    };
    const auto mark = [](who actor) { return [actor] { mark_dead(world->leases[actor]); }; };
    const auto recovery = [] {
      detail::recovery_counts ignored;
      recover({tag_a}, false, ignored);
    };
    std::size_t k = 0;
    run.cut(arena_,
            {.title = op.name,
             .dying = {[&, a] { prepare(op, a); }, enter_a, op.run, mark(a)},
             .died =
                 [&k] {
                   if (++k % 3 == 0) visit_by_survivor();
                   judge({tag_a});
                 },
             .repairers = {{[] {}, [] { enter(r); }, recovery, mark(r)}},
             .both_died =
                 [] {
                   judge({tag_a, tag_r});
                 },
             .frozen =
                 [a](stepped_child& child, bool kills) {
                   visit_by_survivor();
                   kills ? child.kill() : child.finish();
                   child.kill();
                   mark_dead(world->leases[a]);
                   judge({tag_a});
                 }},
            {.nested = 2});
  }

 private:
  // What a thread with an lcore id does first: its private rows and caches are there, and empty.
  static void warm() {
    mbuf* m = pool_of_packets.get();
    pool_of_packets.put(m);
    detail::cache_put(*pool_of_packets.header(), detail::thread_cache(*pool_of_packets.header()), nullptr, 0);
  }

  void prepare(const operation& op, who a) {
    arena_.clear();
    world = ::new (arena_.data()) shared_world;
    for (auto& l : world->leases) make_lease(l);
    become(b);
    pool_of_packets = make_pool(world->pool_bytes, 5, cache);
    pool_of_clones = make_pool(world->clone_pool_bytes, 6, 0);
    for (int i = 0; i < 3; ++i) world->b.add(pool_of_packets.get());
    become(a == a_with_lcore ? a_without : a);  // without caches: those of the child must start empty
    op.prepare();
  }

  arena& arena_;
};

void take(std::size_t n) {
  std::array<mbuf*, 64> got;
  n = pool_of_packets.get_burst(std::span{got}.first(n));
  for (std::size_t i = 0; i < n; ++i) world->a.add(got[i]);
}

void give(std::size_t first, std::size_t n) {
  pool_of_packets.put_bulk(std::span<mbuf* const>{world->a.mbufs.data() + first, n});
}

mbuf* packet(std::size_t segments) {
  mbuf* head = pool_of_packets.alloc();
  for (std::size_t i = 1; i < segments; ++i) static_cast<void>(head->chain(pool_of_packets.alloc()));
  return head;
}

void write_into(mbuf* packet) {
  for (mbuf* m = packet; m != nullptr; m = m->next) m->data_len = 20, packet->packet_len += 20;
}

void alloc(std::size_t n, bool all_or_none) {
  const std::span<mbuf*> into{world->a.mbufs.data(), n};
  world->a.count = all_or_none ? pool_of_packets.alloc_bulk(into) : pool_of_packets.alloc_burst(into);
}

// B's packet, of which A holds a clone; B keeps it or not.
void clone_of_b(bool kept) {
  const auto a = detail::this_lease;
  become(b);
  mbuf* m = pool_of_packets.alloc();
  mbuf* clone = pool_of_clones.clone(m);
  if (kept)
    world->b.add(m);
  else
    free_mbuf(m);
  become(a == &world->leases[a_with_lcore] ? a_with_lcore : a_without);
  ring_element<mbuf*>::take(&clone, 1);
  world->a.add(clone);
}

// A's packet, of which B holds a clone.
void cloned_to_b() {
  mbuf* m = pool_of_packets.alloc();
  mbuf* clone = pool_of_clones.clone(m);
  world->a.add(m);
  const auto a = detail::this_lease;
  become(b);
  ring_element<mbuf*>::take(&clone, 1);
  world->b.add(clone);
  become(a == &world->leases[a_with_lcore] ? a_with_lcore : a_without);
}

std::vector<operation> operations() {
  const auto nothing = [] {};
  const auto free_first = [] { free_mbuf(world->a.mbufs[0]); };
  return {
      {"get 1", false, nothing, [] { take(1); }},
      {"get 5", false, nothing, [] { take(5); }},
      {"get all there are", false, nothing, [] { take(60); }},
      {"get 16 or none", false, nothing,
       [] {
         static_cast<void>(pool_of_packets.get_bulk({world->a.mbufs.data(), 50}));
       }},
      {"put 1", false, [] { take(20); }, [] { give(0, 1); }},
      {"put 5", false, [] { take(20); }, [] { give(0, 5); }},
      {"put 30", false, [] { take(34); }, [] { give(0, 30); }},
      {"refill a cache", true, nothing, [] { take(16); }},
      {"get more than a cache holds", true, nothing, [] { take(30); }},
      {"flush a cache", true, [] { take(30); }, [] { give(0, 12), give(12, 12), give(24, 6); }},
      {"give a cache back", true, [] { take(10); }, [] { give(0, 10), detail::flush_thread_caches(); }},
      {"alloc a chain", false, nothing, [] { world->a.add(packet(3)); }},
      {"free a chain", false, [] { world->a.add(packet(3)); }, free_first},
      {"clone", false, [] { world->a.add(packet(2)); }, [] { world->a.add(pool_of_clones.clone(world->a.mbufs[0])); }},
      {"free a clone of one's own", false,
       [] { world->a.add(packet(1)), world->a.add(pool_of_clones.clone(world->a.mbufs[0])); },
       [] { free_mbuf(world->a.mbufs[1]); }},
      {"free what is cloned", false,
       [] { world->a.add(packet(1)), world->a.add(pool_of_clones.clone(world->a.mbufs[0])); }, free_first},
      {"free a clone of another's", false, [] { clone_of_b(true); }, free_first},
      {"free the last clone of another's", false, [] { clone_of_b(false); }, free_first},
      {"free what another has cloned", false, [] { cloned_to_b(); }, free_first},
      {"attach and detach", false, [] { world->a.add(packet(1)), world->a.add(packet(1)); },
       [] { attach_mbuf(*world->a.mbufs[0], *world->a.mbufs[1]), detach_mbuf(*world->a.mbufs[0]); }},
      {"take a chain out of a ring", false,
       [] {
         const auto a = detail::this_lease;
         become(b);
         world->ring.add(packet(3));
         become(a == &world->leases[a_with_lcore] ? a_with_lcore : a_without);
       },
       [] { ring_element<mbuf*>::take(world->ring.mbufs.data(), 1); }},
      {"get and put through a cache", true, nothing, [] { take(1), give(0, 1), take(3), give(1, 3); }},
      {"a cache of one's own", false, nothing,
       [] {
         pool_user_cache own = pool_of_packets.make_cache(8);
         const std::span<mbuf*> into{world->a.mbufs.data(), 5};
         if (pool_of_packets.get_bulk(own, into) == 5) pool_of_packets.put_bulk(own, into);
       }},
      {"alloc a burst", true, nothing, [] { alloc(10, false); }},
      {"alloc more than there are", false, nothing, [] { alloc(60, false); }},
      {"alloc in bulk", false, nothing, [] { alloc(12, true); }},
      {"free a burst of chains", false,
       [] { world->a.add(packet(3)), world->a.add(packet(2)), world->a.add(packet(1)); },
       [] { free_mbufs(world->a.all()); }},
      {"free a burst into a cache", true, [] { take(24); }, [] { free_mbufs(world->a.all()); }},
      {"copy a packet", false, [] { world->a.add(packet(2)), write_into(world->a.mbufs[0]); },
       [] { world->a.add(pool_of_packets.copy(world->a.mbufs[0])); }},
      {"make a chain linear", false, [] { world->a.add(packet(3)), write_into(world->a.mbufs[0]); },
       [] { static_cast<void>(world->a.mbufs[0]->linearise()); }},
      {"hold and let go", false, [] { world->a.add(packet(2)); },
       [] { world->a.mbufs[0]->hold(), free_mbuf(world->a.mbufs[0]), free_mbuf(world->a.mbufs[0]); }},
  };
}

}  // namespace
}  // namespace mpnet::test

int main(int argc, char** argv) {
  using namespace mpnet::test;
  if (!run.begin(argc, argv)) return 77;
  arena memory{sizeof(shared_world)};
  scenario s{memory};
  for (const operation& op : operations()) s.cut(op);
  return run.report();
}
