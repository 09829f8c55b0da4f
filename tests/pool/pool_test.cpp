// SPDX-License-Identifier: BSD-3-Clause
// Gets, puts, caches and what is left, on plain memory.
#include "pool/support.hpp"

#include <mpnet/error.hpp>

#include <algorithm>
#include <set>
#include <thread>

#include "pool/backend.hpp"

using namespace pool_test;

TEST_CASE("a pool hands out exactly its objects, each once", "[pool]") {
  leases l;
  const std::size_t count = GENERATE(1, 2, 29, 30, 31, 64, 1023, 5000);
  const std::size_t cache = GENERATE(0, 16, 300);
  if (cache * 3 / 2 > count) return;
  plain_pool<> p{{.object_count = count, .cache_size = cache}};
  std::set<message*> seen;
  while (message* m = p->get()) {
    CHECK(seen.insert(m).second);
    CHECK((*p)[p->index_of(m)] == m);
  }
  CHECK(seen.size() == count);
  CHECK(p->stats().in_use == count);
  for (message* m : seen) p->put(m);
  CHECK(p->stats().in_use == 0);
  CHECK(p->stats().available + p->stats().in_caches_here == count);
  CHECK((cache != 0) == (p->stats().in_caches_here != 0));
}

TEST_CASE("bulk gets take all or none, bursts what there is", "[pool]") {
  leases l;
  const std::size_t cache = GENERATE(0, 8, 60);
  plain_pool<> p{{.object_count = 100, .cache_size = cache}};
  std::vector<message*> v(101);
  CHECK(p->get_bulk(v) == 0);
  CHECK(p->stats().in_use == 0);
  CHECK(p->get_bulk(std::span{v}.first(60)) == 60);
  CHECK(p->get_bulk(std::span{v}.subspan(60)) == 0);
  CHECK(p->get_burst(std::span{v}.subspan(60)) == 40);
  CHECK(p->get_burst(std::span{v}.first(1)) == 0);
  CHECK(std::set<message*>(v.begin(), v.begin() + 100).size() == 100);
  p->put_bulk(std::span{v}.first(100));
  CHECK(p->stats().in_use == 0);
  CHECK(p->get_bulk({}) == 0);
  p->put_bulk({});
}

TEST_CASE("threads without an lcore id go to the backend", "[pool]") {
  leases l;
  plain_pool<> p{{.object_count = 100, .cache_size = 32}};
  l.become(max_lcores, 1);
  REQUIRE(lcore_id() == no_lcore);
  message* m = p->get();
  CHECK(p->stats().available == 99);
  CHECK(p->stats().in_caches_here == 0);
  p->put(m);
  CHECK(p->stats().available == 100);
}

TEST_CASE("a thread's cache goes back when it gives up its lcore id, and when it ends", "[pool]") {
  leases l;
  plain_pool<> p{{.object_count = 100, .cache_size = 32}};
  p->put(p->get());
  CHECK(p->stats().available < 100);
  detail::flush_thread_caches();
  CHECK(p->stats().available == 100);
  std::thread{[&] {
    detail::this_lease = &detail::lease_table[1];
    p->put(p->get());
    CHECK(p->stats().available < 100);
  }}.join();
  CHECK(p->stats().available == 100);
}

TEST_CASE("a cache of one's own serves and gives back", "[pool]") {
  leases l;
  plain_pool<> p{{.object_count = 100, .cache_size = 0}};
  {
    auto cache = p->make_cache(16);
    std::vector<message*> v(16);
    CHECK(p->get_bulk(cache, v) == 16);
    p->put_bulk(cache, v);
    CHECK(cache.count() >= 16);
    CHECK(p->stats().in_caches_here == cache.count());
    cache.flush();
    CHECK(p->stats().available == 100);
    CHECK(p->get_bulk(cache, v) == 16);
    p->put_bulk(cache, v);
  }
  CHECK(p->stats().available == 100);
  CHECK_THROWS_AS(p->make_cache(0), error);
  CHECK_THROWS_AS(p->make_cache(80), error);
}

TEST_CASE("what was freed last is handed out first", "[pool]") {
  leases l;
  const std::size_t cache = GENERATE(0, 32);
  plain_pool<> p{{.object_count = 200, .cache_size = cache}};
  message* a = p->get();
  message* b = p->get();
  p->put(a);
  CHECK(p->get() == a);
  p->put(a);
  p->put(b);
  CHECK(p->get() == b);
}

TEST_CASE("objects keep their contents while they are free", "[pool]") {
  leases l;
  plain_pool<> p{{.object_count = 50, .cache_size = 8, .private_bytes = 100}};
  CHECK(p->private_area().size() == 100);
  std::fill(p->private_area().begin(), p->private_area().end(), std::byte{7});
  p->for_each([&](message& m) { m.text[63] = static_cast<char>(p->index_of(&m)); });
  std::vector<message*> v(50);
  REQUIRE(p->get_bulk(v) == 50);
  for (message* m : v) CHECK(m->text[63] == static_cast<char>(p->index_of(m)));
  p->put_bulk(v);
  CHECK(reinterpret_cast<std::uintptr_t>((*p)[0]) % cache_line == 0);
}

TEST_CASE("a claim that a dead thread left is undone by whoever meets it", "[pool][crash]") {
  leases l;
  plain_pool<> p{{.object_count = 30, .cache_size = 0}};
  auto& chunk = detail::chunk_at(p.header(), 0);
  chunk.state.store(detail::owned_chunk(30, 5, 1));
  CHECK(p->get() == nullptr);  // its owner is alive: not now
  CHECK(p->stats().available == 30);
  l.mark_dead(5);
  CHECK(p->get() != nullptr);
  CHECK(p.header().claims_undone.load() == 1);
  CHECK(p->stats().available == 29);
}

TEST_CASE("objects find a place while all chunks with room are claimed", "[pool]") {
  leases l;
  plain_pool<> p{{.object_count = 30, .cache_size = 0}};
  std::vector<message*> v(30);
  REQUIRE(p->get_bulk(v) == 30);
  std::vector<std::uint64_t> before;
  for (std::uint32_t i = 0; i < p.header().chunk_count; ++i) {
    before.push_back(detail::chunk_at(p.header(), i).state.exchange(detail::owned_chunk(0, 5, 1)));
  }
  p->put_bulk(v);
  CHECK(p->stats().in_caches_here == 30);
  CHECK(p->get() != nullptr);
  for (std::uint32_t i = 0; i < p.header().chunk_count; ++i) detail::chunk_at(p.header(), i).state.store(before[i]);
  detail::flush_process_caches();
  CHECK(p->stats().available == 29);
}

TEST_CASE("attaching believes nothing", "[pool]") {
  leases l;
  const pool_options options{.object_count = 10};
  memory m{detail::pool_footprint(options, pool<message>::format())};
  const auto attach = [&](void* at, std::size_t size) {
    return &detail::attach_pool(at, size, 3, pool<message>::layout());
  };
  CHECK_THROWS_AS(attach(nullptr, 0), error);
  CHECK_THROWS_AS(attach(m.get(), m.size()), error);
  auto& header = detail::format_pool(m.get(), options, pool<message>::format());
  CHECK(attach(m.get(), m.size()) == &header);
  CHECK_THROWS_AS(attach(static_cast<char*>(m.get()) + 8, m.size() - 8), error);
  CHECK_THROWS_AS(attach(m.get(), m.size() - 64), error);
  CHECK_THROWS_AS((detail::attach_pool(m.get(), m.size(), 3, pool<int>::layout())), error);
  header.object_count = 1U << 20;
  CHECK_THROWS_AS(attach(m.get(), m.size()), error);
}

TEST_CASE("options that cannot be are refused", "[pool]") {
  CHECK_THROWS_AS((detail::pool_footprint({.object_count = 0}, pool<message>::format())), error);
  CHECK_THROWS_AS((detail::pool_footprint({.object_count = 10, .cache_size = 8}, pool<message>::format())), error);
  CHECK_THROWS_AS((detail::pool_footprint({.object_count = 1ULL << 40}, pool<message>::format())), error);
}
