// SPDX-License-Identifier: BSD-3-Clause
// A device without an IOMMU: queues against a software 82576 that sees each hugepage somewhere else, and the table of
// physical addresses.
#include <catch2/catch.hpp>

#include <mpnet/error.hpp>

#include <deque>
#include <set>

#include "igb/workbench.hpp"

using namespace mpnet;
using namespace mpnet::nic;
using namespace mpnet::test;

namespace {

std::uint64_t page_of(const workbench& w, const void* p) {
  return w.iova_of(p) / dma_pages::page_bytes;
}
packet numbered(std::uint32_t number, std::size_t bytes) {
  packet frame = make_frame({.payload_bytes = bytes});
  std::memcpy(&frame[42], &number, sizeof(number));
  return frame;
}
std::size_t count_aside(const igb::rx_context& x) {
  std::size_t n = 0;
  for (const mbuf* m = x.aside; m != nullptr; m = m->next) ++n;
  return n;
}

}  // namespace

TEST_CASE("Without an IOMMU every received packet is whole: buffers across two pages are put aside and come back",
          "[nic][igb]") {
  workbench w{4096};
  w.without_iommu();
  const std::size_t before = w.free_mbufs();
  w.bring_up();
  std::deque<mbuf*> kept;  // so many that each buffer of the pool gets its turn
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    const packet frame = numbered(i, 1400);
    REQUIRE(w.device->deliver(frame));
    const auto got = w.receive(0);
    REQUIRE(got.size() == 1);
    REQUIRE(workbench::bytes_of(got[0]) == frame);
    kept.push_back(got[0]);
    if (kept.size() > 3800) {
      free_mbuf(kept.front());
      kept.pop_front();
    }
  }
  CHECK(w.device->dma_faults == 0);
  CHECK(count_aside(w.rx[0]) >= 2);
  for (mbuf* m : kept) free_mbuf(m);
  w.stop_queues();
  CHECK(w.free_mbufs() == before);
}

TEST_CASE("Without an IOMMU a pool that has only buffers across two pages left is survived and counted", "[nic][igb]") {
  workbench w{4096};
  w.without_iommu();
  w.bring_up();
  std::vector<mbuf*> whole, split;
  while (mbuf* m = w.pool.alloc()) {
    (page_of(w, m->buffer) == page_of(w, m->buffer + mbuf_headroom + 2047) ? whole : split).push_back(m);
  }
  REQUIRE(split.size() >= 2);
  REQUIRE(whole.size() > 31);
  for (mbuf* m : split) free_mbuf(m);
  for (std::size_t i = 0; i < 31; ++i) free_mbuf(whole[i]);
  const std::size_t before = w.free_mbufs();
  std::size_t delivered = 0;
  for (; delivered < 200 && w.device->deliver(numbered(0, 100)); ++delivered) {
    for (mbuf* m : w.receive(0)) whole.push_back(m);
  }
  CHECK(delivered == 96);
  CHECK(w.count(w.counters[0].nombuf) > 0);
  CHECK(w.free_mbufs() + count_aside(w.rx[0]) == before);
  CHECK(w.device->dma_faults == 0);
  for (std::size_t i = 31; i < whole.size(); ++i) free_mbuf(whole[i]);
  static_cast<void>(w.receive(0));  // posts buffers again
  CHECK(w.device->deliver(numbered(1, 100)));
}

TEST_CASE("Without an IOMMU every buffer can be sent from, those across two pages by two descriptors", "[nic][igb]") {
  workbench w{4096};
  w.without_iommu();
  w.bring_up();
  std::vector<mbuf*> all;
  while (mbuf* m = w.pool.alloc()) all.push_back(m);
  const std::size_t segments = GENERATE(1, 3);
  std::size_t split = 0;
  for (std::size_t i = 0; i + segments <= all.size(); i += segments) {
    packet wanted;
    for (std::size_t k = i; k < i + segments; ++k) {
      const packet part = numbered(static_cast<std::uint32_t>(k), 2048 - 42);
      std::memcpy(all[k]->append(2048), part.data(), 2048);
      wanted.insert(wanted.end(), part.begin(), part.begin() + 2048);
      if (page_of(w, all[k]->data()) != page_of(w, all[k]->data(2047))) ++split;
      if (k != i) REQUIRE(all[i]->chain(all[k]));
    }
    REQUIRE(w.send(0, {&all[i], 1}) == 1);
    const auto sent = w.device->transmit();
    REQUIRE(sent.size() == 1);
    REQUIRE(sent[0].data == wanted);
  }
  CHECK(split >= 2);
  CHECK(w.device->dma_faults == 0);
}

TEST_CASE("Without an IOMMU a packet whose memory nobody has told of is dropped and counted, not sent", "[nic][igb]") {
  workbench w;
  w.without_iommu();
  w.bring_up();
  mbuf* m = w.packet_of(make_frame({}));
  const std::size_t before = w.free_mbufs();
  w.pages->forget(page_of(w, m->data()) * dma_pages::page_bytes, 1);
  CHECK(w.send(0, {&m, 1}) == 1);
  CHECK(w.device->transmit().empty());
  CHECK(w.count(w.counters[2].errors) == 1);
  CHECK(w.free_mbufs() == before + 1);
}

TEST_CASE("The kernel tells where hugepages lie, small pages are refused", "[nic]") {
  std::vector<dma_pages::entry> table(4);
  const dma_pages pages{table};
  void* p =
      mmap(nullptr, 2 * dma_pages::page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  if (p == MAP_FAILED) {
    WARN("SKIP: no hugepages are free");
    return;
  }
  std::memset(p, 1, 2 * dma_pages::page_bytes);
  CHECK_THROWS_WITH(pages.learn(p, group::iova_base, dma_pages::page_bytes, 4096), Catch::Contains("small pages"));
  try {
    pages.learn(p, group::iova_base, 2 * dma_pages::page_bytes, dma_pages::page_bytes);
    std::set<std::uint64_t> seen;
    for (std::uint64_t page : {0, 1}) seen.insert(pages.physical(group::iova_base + page * dma_pages::page_bytes + 5));
    CHECK(seen.size() == 2);
    for (const std::uint64_t at : seen) CHECK((at % dma_pages::page_bytes == 5 && at > dma_pages::page_bytes));
    CHECK(pages.physical(group::iova_base + 2 * dma_pages::page_bytes) == 0);
    CHECK(pages.physical(group::iova_base + 400 * dma_pages::page_bytes) == 0);
  } catch (const error& e) {
    if (e.kind() != errc::permission) throw;
    WARN("SKIP: " << e.what());
  }
  munmap(p, 2 * dma_pages::page_bytes);
}
