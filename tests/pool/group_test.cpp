// SPDX-License-Identifier: BSD-3-Clause
// Pools in a group: names, attaching, leaving, and processes that are killed while they use pools and rings.
#include <sys/mman.h>
#include <mpnet/error.hpp>
#include <mpnet/memzone.hpp>
#include <mpnet/ring.hpp>

#include <chrono>
#include <cstdio>
#include <deque>
#include <random>

#include "mem/conductor.hpp"
#include "mem/membership.hpp"
#include "pool/support.hpp"
#include "support/child.hpp"
#include "support/pool_group.hpp"

using namespace pool_test;
using test::pool_group;

namespace {

struct counters {
  std::atomic<std::uint64_t> ready, stop;
};

/// Gets, puts, and passes messages and packets on, until told to stop; then gives all back.
int busy_worker(const std::string& prefix, counters& c, unsigned seed) {
  group g{pool_group(prefix, process_type::secondary)};
  if (seed % 4 != 0) detail::take_any_lcore(g);
  const auto messages = pool<message>::attach(g, "messages");
  const auto packets = mbuf_pool::attach(g, "packets");
  const auto ring_m = ring<message*>::attach(g, "ring_m");
  const auto ring_p = ring<mbuf*>::attach(g, "ring_p");
  std::mt19937 random{seed};
  std::vector<message*> m(40);
  std::vector<mbuf*> p(40);
  c.ready.fetch_add(1);
  while (c.stop.load(std::memory_order_relaxed) == 0) {
    const std::size_t n = 1 + random() % 40;
    std::size_t got = messages.get_burst(std::span{m}.first(n));
    std::size_t sent = random() % 2 != 0 ? ring_m.enqueue_burst(std::span<message* const>{m.data(), got}) : 0;
    messages.put_bulk(std::span{m}.subspan(sent, got - sent));
    got = ring_m.dequeue_burst(std::span{m}.first(n));
    messages.put_bulk(std::span{m}.first(got));

    got = packets.alloc_burst(std::span{p}.first(n));
    for (std::size_t i = 0; i + 1 < got; i += 2) {  // chains and clones
      if (mbuf* clone = packets.clone(p[i]); clone != nullptr) {
        if (!p[i + 1]->chain(clone)) free_mbuf(clone);
      }
    }
    sent = ring_p.enqueue_burst(std::span<mbuf* const>{p.data(), got});
    free_mbufs(std::span{p}.subspan(sent, got - sent));
    got = ring_p.dequeue_burst(std::span{p}.first(n));
    free_mbufs(std::span{p}.first(got));
  }
  return 0;
}

}  // namespace

TEST_CASE("pools are found by name, and checked", "[pool]") {
  group g{pool_group(test::unique_prefix("pool"))};
  auto p = pool<message>::create(g, "m", {.object_count = 100, .cache_size = 8, .private_bytes = 64},
                                 [](message& m, std::size_t i) { m.text[0] = static_cast<char>(i); });
  CHECK(p[5]->text[0] == 5);
  CHECK(pool<message>::attach(g, "m") == p);
  CHECK(pool<message>::create_or_attach(g, "m", {.object_count = 100}) == p);
  CHECK(pool<message>::lookup(g, "m") == p);
  CHECK_FALSE(pool<message>::lookup(g, "n"));
  CHECK_THROWS_AS(pool<message>::attach(g, "n"), error);
  CHECK_THROWS_AS(pool<message>::create(g, "m", {.object_count = 100}), error);
  CHECK_THROWS_AS(pool<int>::attach(g, "m"), error);
  CHECK_THROWS_AS(pool<message>::create(g, "z", {.object_count = 0}), error);
  auto made = pool<message>::create_or_attach(g, "late", {.object_count = 10});
  CHECK(made.object_count() == 10);
  CHECK(p.audit(g).sound());
}

TEST_CASE("a pool that follows another at its name and place starts afresh", "[pool]") {
  group g{pool_group(test::unique_prefix("again"))};
  detail::take_any_lcore(g);
  for (int round = 0; round < 3; ++round) {
    auto p = pool<message>::create(g, "m", {.object_count = 100, .cache_size = 8});
    message* held = p.get();
    CHECK(held != nullptr);
    p.put(p.get());
    CHECK(p.stats().in_caches_here != 0);
    CHECK(p.stats().in_use == 1);
    pool<message>::destroy(g, "m");
  }
  CHECK_THROWS_AS(pool<message>::destroy(g, "m"), error);
  detail::release_lease();
}

TEST_CASE("a process that leaves gives back its caches and what it holds", "[pool]") {
  const auto prefix = test::unique_prefix("leave");
  test::signal_pipe made, done;
  test::child other{[&] {
    if (made.wait() == 0) return 1;
    group g{pool_group(prefix, process_type::secondary)};
    detail::take_any_lcore(g);
    auto p = pool<message>::attach(g, "m");
    if (p.get() == nullptr || p.stats().in_caches_here == 0) return 2;
    auto q = mbuf_pool::attach(g, "q");
    return q.alloc() == nullptr ? 3 : 0;
  }};
  group g{pool_group(prefix)};
  auto p = pool<message>::create(g, "m", {.object_count = 100, .cache_size = 8});
  auto q = mbuf_pool::create(g, "q", {.mbuf_count = 200, .cache_size = 8});
  made.notify();
  CHECK(other.wait() == 0);
  CHECK(p.stats().available == 100);
  CHECK(q.stats().available == 200);
  CHECK(p.audit(g).sound());
}

TEST_CASE("device addresses of mbufs follow the region", "[mbuf]") {
  group g{pool_group(test::unique_prefix("iova"))};
  auto q = mbuf_pool::create(g, "q", {.mbuf_count = 200, .cache_size = 0});
  mbuf* m = q.alloc();
  CHECK(m->data_iova() == g.iova_of(m->data()));
  free_mbuf(m);
}

TEST_CASE("killed processes lose nothing", "[pool][crash]") {
  constexpr int kills = 120, workers = 3;
  const auto prefix = test::unique_prefix("storm");
  memory shared{4096};
  auto& c = *static_cast<counters*>(shared.get());
  test::signal_pipe made;
  // This one is no member: it starts workers and kills them at times that depend on nothing in them.
  test::child killer{[&] {
    if (made.wait() == 0) return 1;
    std::mt19937 random{20};
    std::deque<test::child> busy;
    unsigned seed = 0;
    const auto start = [&] {
      const unsigned s = ++seed;
      busy.emplace_back([&, s] { return busy_worker(prefix, c, s); });
    };
    for (int i = 0; i < workers; ++i) start();
    for (int i = 0; i < kills; ++i) {
      while (c.ready.load() < seed) sched_yield();
      const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds{random() % 3000};
      while (std::chrono::steady_clock::now() < until) sched_yield();
      busy.pop_front();  // kills and waits
      start();
    }
    while (c.ready.load() < seed) sched_yield();
    c.stop.store(1);
    for (auto& b : busy) {
      if (const int code = b.wait(); code != 0) return code;
    }
    return 0;
  }};
  group g{pool_group(prefix)};
  auto messages = pool<message>::create(g, "messages", {.object_count = 300, .cache_size = 20});
  auto packets = mbuf_pool::create(g, "packets", {.mbuf_count = 400, .cache_size = 16, .data_room_bytes = 256});
  const auto ring_m = ring<message*>::create(g, "ring_m", {.capacity = 64});
  auto ring_p = ring<mbuf*>::create(g, "ring_p", {.capacity = 64});
  made.notify();
  std::size_t buried = 0;
  const pid_t killer_pid = killer.pid();
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, killer_pid, 0));
  for (pollfd ended{fd, POLLIN, 0}; ::poll(&ended, 1, 1) == 0;) buried += mem::recover_dead(g);
  ::close(fd);
  CHECK(killer.wait() == 0);
  buried += mem::recover_dead(g);
  const auto check = [&](auto& pool) {
    const pool_audit a = pool.audit(g);
    std::printf(
        "kills %d, buried here %zu: claims undone %llu, objects reclaimed %llu; backend %zu, rings %zu, held %zu, "
        "lost %zu, twice %zu\n",
        kills, buried, static_cast<unsigned long long>(pool.header()->claims_undone.load()),
        static_cast<unsigned long long>(pool.header()->objects_reclaimed.load()), a.in_backend, a.in_rings,
        a.held_elsewhere, a.lost, a.duplicated);
    CHECK(a.in_backend + a.in_rings + a.held_elsewhere == a.object_count);  // held by clones that lie in the ring
    CHECK(a.sound());
    CHECK(pool.header()->objects_reclaimed.load() != 0);
  };
  check(messages);
  check(packets);
  mbuf* left[64];
  for (std::size_t n = 1; n != 0; free_mbufs({left, n})) n = ring_p.dequeue_burst({left, 64});
  CHECK(packets.stats().available == 400);
  message* more[64];
  for (std::size_t n = 1; n != 0; messages.put_bulk({more, n})) n = ring_m.dequeue_burst({more, 64});
  CHECK(messages.stats().available == 300);
  packets.for_each([](mbuf& m) { CHECK(m.reference_count() == 1); });
}
