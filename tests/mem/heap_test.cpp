// SPDX-License-Identifier: BSD-3-Clause
// The shared heap: placement, merging, bad frees, containers.
#include <mpnet/error.hpp>
#include <mpnet/heap.hpp>

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
