// SPDX-License-Identifier: BSD-3-Clause
// Packets: room, chains, holds, clones and copies, on plain memory.
#include <cstring>
#include <numeric>

#include "pool/support.hpp"

using namespace pool_test;

namespace {

void fill(mbuf* m, std::uint16_t len, int first) {
  std::byte* at = m->append(len);
  REQUIRE(at != nullptr);
  for (int i = 0; i < len; ++i) at[i] = static_cast<std::byte>(first + i);
}

}  // namespace

TEST_CASE("a fresh mbuf is one empty segment with headroom", "[mbuf]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 100, .cache_size = 32}};
  mbuf* m = p->alloc();
  REQUIRE(m != nullptr);
  CHECK(m->headroom() == 128);
  CHECK(m->tailroom() == 2048);
  CHECK(m->data_len == 0);
  CHECK(m->segment_count == 1);
  CHECK(m->next == nullptr);
  CHECK(m->reference_count() == 1);
  CHECK(m->pool == p->header());
  CHECK(static_cast<std::uint64_t>(m->data_iova()) ==
        0x100000000 + static_cast<std::uint64_t>(m->data() - p->header()->objects));
  free_mbuf(m);
  free_mbuf(nullptr);
  CHECK(p->stats().in_use == 0);
}

TEST_CASE("data grows and shrinks at both ends, within its room", "[mbuf]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 10, .cache_size = 0}};
  mbuf* m = p->alloc();
  fill(m, 100, 0);
  std::byte* front = m->prepend(14);
  CHECK(front == m->data());
  CHECK(m->packet_len == 114);
  CHECK(m->prepend(115) == nullptr);
  front = m->adjust(24);
  CHECK(front == m->data());
  CHECK(m->data()[0] == std::byte{10});
  CHECK(m->trim(80));
  CHECK(m->packet_len == 10);
  CHECK_FALSE(m->trim(11));
  CHECK(m->adjust(11) == nullptr);
  CHECK(m->append(2100) == nullptr);
  CHECK(m->bytes().size() == 10);
  free_mbuf(m);
}

TEST_CASE("chains are read, copied, made linear and freed as one packet", "[mbuf]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 20, .cache_size = 0, .private_bytes = 16, .data_room_bytes = 256}};
  mbuf* a = p->alloc();
  mbuf* b = p->alloc();
  mbuf* c = p->alloc();
  fill(a, 20, 0);
  fill(b, 20, 20);
  fill(c, 20, 40);
  REQUIRE(a->chain(b));
  REQUIRE(a->chain(c));
  CHECK(a->segment_count == 3);
  CHECK(a->packet_len == 60);
  std::byte buf[64];
  CHECK(a->read(5, 10, buf) == a->data(5));
  const std::byte* got = a->read(15, 40, buf);
  REQUIRE(got == buf);
  for (int i = 0; i < 40; ++i) CHECK(got[i] == static_cast<std::byte>(15 + i));
  CHECK(a->read(30, 31, buf) == nullptr);
  mbuf* copy = p->copy(a, 10, 45);
  REQUIRE(copy != nullptr);
  CHECK(copy->packet_len == 45);
  CHECK(*copy->read(44, 1, buf) == std::byte{54});
  CHECK(p->copy(a, 61) == nullptr);
  REQUIRE(a->linearise());
  CHECK(a->segment_count == 1);
  CHECK(a->data_len == 60);
  for (int i = 0; i < 60; ++i) CHECK(a->data()[i] == static_cast<std::byte>(i));
  CHECK(p->stats().in_use == 2);
  free_mbuf(a);
  free_mbuf(copy);
  CHECK(p->stats().in_use == 0);
}

TEST_CASE("a long packet is copied into as many segments as it takes", "[mbuf]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 20, .cache_size = 0}};
  plain_mbuf_pool small{{.mbuf_count = 40, .cache_size = 0, .data_room_bytes = 128 + 50}, 10};
  mbuf* m = p->alloc();
  fill(m, 1000, 0);
  mbuf* copy = small->copy(m);
  REQUIRE(copy != nullptr);
  CHECK(copy->segment_count == 20);
  std::vector<std::byte> buf(1000);
  CHECK(std::memcmp(copy->read(0, 1000, buf.data()), m->data(), 1000) == 0);
  CHECK(small->copy(m) != nullptr);
  CHECK(small->copy(m) == nullptr);  // used up: nothing is left behind
  CHECK(small->stats().in_use == 40);
}

TEST_CASE("a held mbuf goes back with its last hold", "[mbuf]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 10, .cache_size = 0}};
  mbuf* m = p->alloc();
  m->hold();
  CHECK(m->reference_count() == 2);
  free_mbuf(m);
  CHECK(p->stats().in_use == 1);
  free_mbuf(m);
  CHECK(p->stats().in_use == 0);
}

TEST_CASE("clones show the data and keep it alive, the last one gives it back", "[mbuf]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 10, .cache_size = 0}};
  plain_mbuf_pool q{{.mbuf_count = 10, .cache_size = 0, .data_room_bytes = 128}, 10};
  mbuf* m = p->alloc();
  fill(m, 64, 1);
  mbuf* more = p->alloc();
  fill(more, 32, 65);
  REQUIRE(m->chain(more));
  mbuf* one = q->clone(m);
  mbuf* two = q->clone(one);
  REQUIRE(one != nullptr);
  REQUIRE(two != nullptr);
  CHECK(two->packet_len == 96);
  CHECK(two->segment_count == 2);
  CHECK(two->data() == m->data());
  CHECK(two->is_indirect());
  CHECK(m->reference_count() == 3);
  free_mbuf(m);
  CHECK(p->stats().in_use == 2);
  free_mbuf(one);
  CHECK(p->stats().in_use == 2);
  l.become(1, 2);  // another process frees the last
  free_mbuf(two);
  CHECK(p->stats().in_use == 0);
  CHECK(q->stats().in_use == 0);
  CHECK(p->header()->tags[p->index_of(m)].load() == 2);
  mbuf* again = q->alloc();
  CHECK_FALSE(again->is_indirect());
  CHECK(again->tailroom() == 0);
  CHECK(again->buffer == again->private_area());
  free_mbuf(again);
}

TEST_CASE("detaching leaves an empty mbuf of its own", "[mbuf]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 10, .cache_size = 4}};
  mbuf* m = p->alloc();
  fill(m, 10, 0);
  mbuf* i = p->alloc();
  std::byte* own = i->buffer;
  const auto own_iova = i->buffer_iova;
  attach_mbuf(*i, *m);
  CHECK(i->buffer == m->buffer);
  CHECK(i->buffer_iova == m->buffer_iova);
  detach_mbuf(*i);
  CHECK(i->buffer == own);
  CHECK(i->buffer_iova == own_iova);
  CHECK(i->tailroom() == 2048);
  CHECK(m->reference_count() == 1);
  free_mbuf(i);
  free_mbuf(m);
  CHECK(p->stats().in_use == 0);
}

TEST_CASE("many packets of several pools are freed in one call", "[mbuf]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 200, .cache_size = 32}};
  plain_mbuf_pool q{{.mbuf_count = 200, .cache_size = 32}, 10};
  std::vector<mbuf*> v(150);
  REQUIRE(p->alloc_bulk(std::span{v}.first(100)) == 100);
  REQUIRE(q->alloc_bulk(std::span{v}.subspan(100)) == 50);
  REQUIRE(v[0]->chain(v[99]));
  v[99] = nullptr;
  std::swap(v[3], v[120]);
  free_mbufs(v);
  CHECK(p->stats().in_use == 0);
  CHECK(q->stats().in_use == 0);
  CHECK(p->alloc_bulk(v) == 150);
  for (mbuf* m : v) CHECK(m->next == nullptr);
  CHECK(p->alloc_burst(v) == 50);
}
