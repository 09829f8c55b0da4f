// SPDX-License-Identifier: BSD-3-Clause
// The shared heap: placement, merging, bad frees, containers.
#include <signal.h>
#include <mpnet/error.hpp>
#include <mpnet/heap.hpp>
#include <mpnet/memzone.hpp>
#include <mpnet/process.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "mem/control.hpp"
#include "mem/heap.hpp"
#include "support/child.hpp"

using namespace mpnet;

namespace {

group_options small(const char* name) {
  return {.file_prefix = test::unique_prefix(name), .type = process_type::primary, .no_huge = true, .memory_mib = 256};
}

/// Every byte of every window belongs to exactly one block, in order, and neighbours are merged.
void check_blocks(group& g) {
  const mem::transaction tx{g};
  mem::control& c = tx.shared();
  for (std::size_t i = 0; i < c.config.segment_count; ++i) {
    std::uint64_t at = c.segments[i].window_offset;
    std::uint64_t previous = 0;
    for (std::uint64_t n = c.segments[i].first_block; n != 0; n = mem::block_at(c, n).next) {
      const mem::block& b = mem::block_at(c, n);
      REQUIRE(b.offset == at);
      REQUIRE(b.previous == previous);
      REQUIRE(b.size > 0);
      if (previous != 0 && b.state != mem::block_taken) REQUIRE(mem::block_at(c, previous).state != b.state);
      at += b.size;
      previous = n;
    }
    REQUIRE(at == c.segments[i].window_offset + c.segments[i].window_bytes);
  }
}

}  // namespace

TEST_CASE("heap: blocks have the alignment and the size that were asked for", "[mem]") {
  group g{small("align")};
  std::vector<void*> blocks;
  for (std::size_t align = 1; align <= (4U << 20); align *= 2) {
    void* p = allocate(g, 100, {.align_bytes = align, .zeroed = true});
    CHECK(reinterpret_cast<std::uintptr_t>(p) % align == 0);
    CHECK(block_size(g, p) == 100);
    std::memset(p, 0xee, 100);
    blocks.push_back(p);
  }
  check_blocks(g);
  for (void* p : blocks) deallocate(g, p);
  check_blocks(g);
  CHECK(g.memory().block_count == 0);
}

TEST_CASE("heap: zeroed blocks are zero wherever they lie, others cost no clearing", "[mem]") {
  group g{small("zero")};
  for (const std::size_t size : {std::size_t{100}, std::size_t{5000}, std::size_t{3} << 20}) {
    void* used = allocate(g, size);
    std::memset(used, 0xee, size);
    deallocate(g, used);
    auto* p = static_cast<unsigned char*>(allocate(g, size, {.zeroed = true}));
    CHECK(std::all_of(p, p + size, [](unsigned char byte) { return byte == 0; }));
    deallocate(g, p);
  }
}

TEST_CASE("heap: blocks lie on the node that was asked for, and are counted there", "[mem]") {
  group g{small("node")};
  const auto node = static_cast<socket_id>(g.control().segments[0].socket);
  void* p = allocate(g, 1000, {.socket = node});
  const memory_stats all = g.memory();
  const memory_stats there = g.memory(node);
  CHECK(all.used_bytes == 1000);
  CHECK(there.used_bytes == 1000);
  CHECK(there.block_count == 1);
  CHECK(there.committed_bytes >= 1000);
  constexpr socket_id nowhere{7};
  CHECK(g.memory(nowhere).committed_bytes == 0);
  std::string text;
  try {
    static_cast<void>(allocate(g, 1000, {.socket = nowhere}));
  } catch (const error& e) {
    CHECK(e.kind() == errc::no_memory);
    text = e.what();
  }
  CHECK(text.find("choose another socket") != std::string::npos);
  deallocate(g, p);
  CHECK(g.memory().used_bytes == 0);
}

TEST_CASE("heap: memory that one process gives back is closed in the others at their next look", "[mem][process]") {
  const std::string prefix = test::unique_prefix("shrink");
  const test::signal_pipe ready, seen, freed;
  test::child other{[&] {
    ::signal(SIGSEGV, SIG_DFL);  // the test framework's handler would be chained
    if (ready.wait() == 0) return 1;
    group g{{.file_prefix = prefix, .type = process_type::secondary}};
    const auto box = find_zone(g, zone_kind::raw, "box");
    auto* const block = *static_cast<volatile char**>(box->address);
    if (block[20 << 20] != 42) return 2;
    seen.notify();
    if (freed.wait() == 0) return 3;
    static_cast<void>(find_zone(g, zone_kind::raw, "box"));
    return int{block[20 << 20]};  // a hole: reading it would take a page, so it must not be readable
  }};
  group g{{.file_prefix = prefix, .type = process_type::primary, .no_huge = true, .memory_mib = 64}};
  zone_builder box = reserve_zone(g, {.name = "box", .size_bytes = 64});
  auto* block = static_cast<char*>(allocate(g, 40 << 20));
  block[20 << 20] = 42;
  *static_cast<char**>(box.address()) = block;
  box.publish();
  ready.notify();
  REQUIRE(seen.wait() != 0);
  deallocate(g, block);
  CHECK(g.memory().committed_bytes <= 8U << 20);
  freed.notify();
  CHECK(other.wait() == 1000 + SIGSEGV);
}

TEST_CASE("heap: random work leaves every byte in exactly one block", "[mem]") {
  group g{small("random")};
  std::mt19937 random{7};
  std::vector<std::pair<unsigned char*, std::size_t>> live;
  for (int i = 0; i < 5000; ++i) {
    if (live.size() < 20 || random() % 2 == 0) {
      const std::size_t size = 1 + random() % (random() % 50 == 0 ? 3'000'000 : 3000);
      if (live.size() > 300) continue;
      auto* p = static_cast<unsigned char*>(allocate(g, size));
      p[0] = p[size - 1] = static_cast<unsigned char>(size);
      live.emplace_back(p, size);
    } else {
      const std::size_t at = random() % live.size();
      REQUIRE(live[at].first[0] == static_cast<unsigned char>(live[at].second));
      REQUIRE(live[at].first[live[at].second - 1] == static_cast<unsigned char>(live[at].second));
      deallocate(g, live[at].first);
      live[at] = live.back();
      live.pop_back();
    }
  }
  check_blocks(g);
  for (const auto& [p, size] : live) deallocate(g, p);
  check_blocks(g);
  CHECK(g.memory().block_count == 0);
}

TEST_CASE("heap: freeing twice, or what is no block, is reported and changes nothing", "[mem][bad-input]") {
  group g{small("free")};
  auto* p = static_cast<char*>(allocate(g, 100));
  char other = 0;
  CHECK_THROWS_AS(deallocate(g, p + 16), error);
  CHECK_THROWS_AS(deallocate(g, &other), error);
  deallocate(g, p);
  CHECK_THROWS_AS(deallocate(g, p), error);
  CHECK_THROWS_AS(allocate(g, 0), error);
  CHECK_THROWS_AS(allocate(g, 10, {.align_bytes = 48}), error);
  check_blocks(g);
}

TEST_CASE("heap: standard containers live in it", "[mem]") {
  group g{small("containers")};
  using text = std::basic_string<char, std::char_traits<char>, shared_allocator<char>>;
  using entry = std::pair<const int, text>;
  using table = std::unordered_map<int, text, std::hash<int>, std::equal_to<>, shared_allocator<entry>>;
  void* place = allocate(g, sizeof(table));
  auto* map = new (place) table;
  for (int i = 0; i < 1000; ++i) map->emplace(i, text("a text that is too long to lie inside the string itself"));
  CHECK(map->at(999).size() > 40);
  map->~table();
  deallocate(g, place);
  CHECK(g.memory().block_count == 0);
}

TEST_CASE("heap: a block belongs to its process until it is published, and to the group afterwards", "[mem][crash]") {
  const std::string prefix = test::unique_prefix("publish");
  const test::signal_pipe made, in;
  test::child dying{[&] {
    if (made.wait() == 0) return 1;
    group g{{.file_prefix = prefix, .type = process_type::secondary}};
    auto** places = static_cast<void**>(find_zone(g, zone_kind::raw, "places")->address);
    for (int i = 0; i < 2; ++i) {
      void* block = allocate(g, 1000, {.life = lifetime::process});
      std::memset(block, 7, 1000);
      if (i == 0) publish_block(g, block, &places[0]);
    }
    in.notify();
    ::pause();
    return 1;
  }};
  group g{{.file_prefix = prefix, .type = process_type::primary, .no_huge = true, .memory_mib = 64}};
  auto builder = reserve_zone(g, {.name = "places", .size_bytes = 64});
  auto** places = static_cast<void**>(builder.address());
  builder.publish();
  made.notify();
  REQUIRE(in.wait() != 0);
  CHECK(g.memory().block_count == 3);
  dying.kill(SIGKILL);
  dying.wait();
  CHECK(recover_dead(g) == 1);
  CHECK(g.memory().block_count == 2);
  REQUIRE(places[0] != nullptr);
  CHECK(static_cast<const char*>(places[0])[999] == 7);
  deallocate_at(g, &places[0]);
  CHECK(places[0] == nullptr);
  CHECK_NOTHROW(deallocate_at(g, &places[0]));
  CHECK(g.memory().block_count == 1);
}

TEST_CASE("heap: a place outside of the region is refused, and the block stays as it is", "[mem][bad-input]") {
  group g{small("place")};
  void* private_place = nullptr;
  auto** place = static_cast<void**>(allocate(g, 64, {.zeroed = true}));
  void* block = allocate(g, 100, {.life = lifetime::process});
  CHECK_THROWS_AS(publish_block(g, block, &private_place), error);
  CHECK(private_place == nullptr);
  CHECK_NOTHROW(deallocate(g, block));
  CHECK_THROWS_AS(publish_block(g, block, place), error);  // freed above
  CHECK(*place == nullptr);
}

TEST_CASE("heap: memory that is free again goes back to the system, however it came apart", "[mem]") {
  group g{small("shrink")};
  std::mt19937 random{11};
  std::vector<void*> blocks;
  for (int i = 0; i < 3000; ++i) {
    if (blocks.size() < 12 || random() % 2 == 0) {
      try {
        blocks.push_back(allocate(g, random() % 8 == 0 ? 5U << 20 : 1 + random() % 3000));
      } catch (const error& e) {
        REQUIRE(e.kind() == errc::no_memory);  // the cap, which stays far away once memory does go back
      }
    }
    if (blocks.size() > 20) {
      const std::size_t k = random() % blocks.size();
      deallocate(g, blocks[k]);
      blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(k));
    }
  }
  check_blocks(g);
  for (void* p : blocks) deallocate(g, p);
  check_blocks(g);
  CHECK(g.memory().block_count == 0);
  CHECK(g.memory().committed_bytes <= 4U << 20);
}
