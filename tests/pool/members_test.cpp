// SPDX-License-Identifier: BSD-3-Clause
// Pools between members of a group: where objects lie, who holds them, what statistics and audits say, and how long a
// large pool takes.
#include <sys/syscall.h>
#include <unistd.h>
#include <mpnet/cycles.hpp>
#include <mpnet/error.hpp>
#include <mpnet/ring.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "mem/conductor.hpp"
#include "mem/membership.hpp"
#include "pool/support.hpp"
#include "support/child.hpp"
#include "support/pool_group.hpp"

using namespace pool_test;
using test::pool_group;

namespace {

/// The NUMA node of a page, or -1 where the system does not say.
int node_of(const void* address) {
  void* page = const_cast<void*>(address);
  int node = -1;
  return ::syscall(SYS_move_pages, 0, 1UL, &page, nullptr, &node, 0) == 0 ? node : -1;
}

/// Makes a pool of `count` mbufs twice, so that the second time its pages are there already; milliseconds.
std::array<double, 2> times_to_make(group& g, std::size_t count, std::size_t data_room) {
  std::array<double, 2> ms{};
  for (double& each : ms) {
    const auto start = detail::monotonic_ns();
    const auto pool = mbuf_pool::create(g, "large", {.mbuf_count = count, .data_room_bytes = data_room});
    each = static_cast<double>(detail::monotonic_ns() - start) / 1e6;
    REQUIRE(pool.stats().available == count);
    mbuf* last = pool[count - 1];
    REQUIRE(pool.index_of(last) == count - 1);
    mbuf_pool::destroy(g, "large");
  }
  return ms;
}

}  // namespace

TEST_CASE("statistics and the audit say where each object is, whichever member has it", "[pool][group]") {
  const auto prefix = test::unique_prefix("where");
  test::signal_pipe made, held, end;
  test::child other{[&] {
    if (made.wait() == 0) return 1;
    group g{pool_group(prefix, process_type::secondary)};
    detail::take_any_lcore(g);
    const auto p = pool<message>::attach(g, "m");
    const auto r = ring<message*>::attach(g, "r");
    std::array<message*, 3> mine{};
    if (!r.dequeue_bulk(mine)) return 2;
    for (const message* m : mine)
      if (m->text[0] != 'x' || m != p[p.index_of(m)]) return 3;
    held.notify();
    return end.wait() == 0 ? 4 : 0;
  }};
  group g{pool_group(prefix)};
  detail::take_any_lcore(g);
  const auto p = pool<message>::create(g, "m", {.object_count = 100, .cache_size = 8});
  const auto r = ring<message*>::create(g, "r", {.capacity = 10});
  std::array<message*, 10> mine{};
  REQUIRE(p.get_bulk(mine) == mine.size());
  for (message* m : mine) m->text[0] = 'x';
  REQUIRE(r.enqueue_bulk(std::span<message* const>{mine}.first(4)));
  made.notify();
  REQUIRE(held.wait() != 0);
  const auto s = p.stats();
  CHECK(s.object_count == 100);
  CHECK(s.in_use == 10);
  CHECK(s.available + s.in_caches_here + s.in_use == 100);
  std::array<void*, 6> hands{};
  std::copy(mine.begin() + 4, mine.end(), hands.begin());
  const auto a = p.audit(g, hands);
  CHECK(a.in_rings == 1);
  CHECK(a.held_elsewhere == 3);
  CHECK(a.in_hands_here == 6);
  CHECK(a.in_backend + a.in_caches_here == 90);
  CHECK(a.sound());
  end.notify();
  CHECK(other.wait() == 0);
  CHECK(p.stats().in_use == 7);
  CHECK(p.audit(g, hands).held_elsewhere == 0);
  p.put_bulk(std::span<message* const>{mine}.subspan(4));
  CHECK(r.dequeue_burst(mine) == 1);
  p.put(mine[0]);
  CHECK(p.stats().in_use == 0);
  detail::release_lease();
}

TEST_CASE("what lay in a killed process's own caches goes back", "[pool][group][crash]") {
  const auto prefix = test::unique_prefix("own");
  test::signal_pipe made, held;
  test::child other{[&] {
    if (made.wait() == 0) return 1;
    group g{pool_group(prefix, process_type::secondary)};
    const auto p = pool<message>::attach(g, "m");
    pool_user_cache first = p.make_cache(8), second = p.make_cache(16);
    std::array<message*, 6> mine{};
    for (auto* cache : {&first, &second}) {
      if (p.get_bulk(*cache, mine) != mine.size()) return 2;
      p.put_bulk(*cache, std::span<message* const>{mine}.first(4));
    }
    if (first.count() == 0 || p.stats().in_caches_here != first.count() + second.count()) return 3;
    held.notify();
    for (;;) ::pause();
  }};
  group g{pool_group(prefix)};
  const auto p = pool<message>::create(g, "m", {.object_count = 100});
  made.notify();
  REQUIRE(held.wait() != 0);
  CHECK(p.stats().available < 100 - 4);
  other.kill(SIGKILL);
  CHECK(other.wait() == 1000 + SIGKILL);
  CHECK(mem::recover_dead(g) == 1);
  CHECK(p.stats().available == 100);
  CHECK(p.audit(g).sound());
}

TEST_CASE("objects lie one after the other, in device addresses too, on the node that was asked for", "[pool][group]") {
  group g{pool_group(test::unique_prefix("place"))};
  const auto p = pool<message>::create(g, "here", {.object_count = 5000, .socket = socket_id{0}, .contiguous = true});
  const auto first = static_cast<std::uint64_t>(g.iova_of(p[0]));
  std::set<const message*> seen;
  p.for_each([&](message& m) {
    const std::size_t i = seen.size();
    CHECK(p.index_of(&m) == i);
    CHECK(static_cast<std::uint64_t>(g.iova_of(&m)) == first + i * p.header()->stride_bytes);
    seen.insert(&m);
    m.text[0] = 1;
  });
  CHECK(seen.size() == 5000);
  if (const int node = node_of(p[4999]); node >= 0)
    CHECK(node == 0);
  else
    std::printf("the node of a page is not told here\n");
  CHECK(find_zone(g, zone_kind::pool, "here")->socket == socket_id{0});
  try {
    (void)pool<message>::create(g, "elsewhere", {.object_count = 10, .socket = socket_id{7}});
    FAIL_CHECK("a node that is not there was accepted");
  } catch (const error& e) {
    CHECK(std::string_view{e.what()}.find("NUMA node") != std::string_view::npos);
  }
}

TEST_CASE("a pool of a million mbufs is made, and the time told", "[mbuf][group]") {
  const char* full_size = std::getenv("MPNET_TEST_MILLION_FULL");  // 2.3 GiB of hugepages
  auto options = pool_group(test::unique_prefix("million"));
  options.no_huge = full_size == nullptr;
  options.memory_mib = full_size != nullptr ? 2600 : 400;
  options.legacy_mem = true;  // its pages are taken now
  group g{options};
  const std::size_t room = full_size != nullptr ? mbuf_default_data_room : 64;
  const auto ms = times_to_make(g, 1'000'000, room);
  std::printf("a pool of 1,000,000 mbufs of %zu bytes, %s: made in %.0f ms, once more in %.0f ms\n", room,
              full_size != nullptr ? "hugepages" : "4 KiB pages", ms[0], ms[1]);
}
