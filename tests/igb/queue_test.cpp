// SPDX-License-Identifier: BSD-3-Clause
// Receive and transmit queues against the software 82576, without a group.
#include <catch2/catch.hpp>

#include <algorithm>
#include <random>

#include "igb/toeplitz.hpp"
#include "igb/workbench.hpp"

using namespace mpnet;
using namespace mpnet::nic;
using namespace mpnet::test;

TEST_CASE("A packet that arrives is handed over byte for byte", "[nic][igb]") {
  workbench w;
  w.bring_up();
  const packet frame = make_frame({.payload_bytes = 200});
  REQUIRE(w.device->deliver(frame) == 0U);
  const auto got = w.receive(0);
  REQUIRE(got.size() == 1);
  CHECK(workbench::bytes_of(got[0]) == frame);
  CHECK(got[0]->packet_len == frame.size());
  CHECK(got[0]->segment_count == 1);
  CHECK(got[0]->port == 7);
  CHECK(got[0]->next == nullptr);
  CHECK(got[0]->packet_type == (packet_type::l2_ether | packet_type::l3_ipv4 | packet_type::l4_udp));
  CHECK((got[0]->flags & mbuf_flag::rx_ip_checksum_good) != 0);
  CHECK((got[0]->flags & mbuf_flag::rx_l4_checksum_good) != 0);
  free_mbuf(got[0]);
  CHECK(w.receive(0).empty());
}

TEST_CASE("A hundred thousand packets pass in order, and every buffer comes back", "[nic][igb]") {
  workbench w;
  const std::size_t before = w.free_mbufs();
  w.bring_up();
  std::uint32_t sent = 0, got = 0;
  std::mt19937 random{1};
  while (got < 100'000) {
    for (auto n = random() % 40; n > 0; --n) {
      packet frame = make_frame({.payload_bytes = 18 + random() % 64});
      std::memcpy(&frame[42], &sent, 4);
      if (w.device->deliver(frame)) ++sent;
    }
    for (mbuf* m : w.receive(0, false, 1 + random() % 64)) {
      std::uint32_t number = 0;
      std::memcpy(&number, m->data(42), 4);
      REQUIRE(number == got);
      ++got;
      mbuf* one[] = {m};
      if (w.send(0, one) == 0) free_mbuf(m);
    }
    static_cast<void>(w.device->discard_transmit());
  }
  w.stop_queues();
  CHECK(w.free_mbufs() == before);
  CHECK(w.device->dma_faults == 0);
}

TEST_CASE("What the device says about checksums and tags is told", "[nic][igb]") {
  workbench w;
  w.bring_up({.strip_vlan = true});
  REQUIRE(w.device->deliver(make_frame({.good_checksums = false})));
  REQUIRE(w.device->deliver(make_frame({.protocol = 6, .vlan = 0x2123})));
  REQUIRE(w.device->deliver(make_frame({.ipv6 = true})));
  const auto got = w.receive(0);
  REQUIRE(got.size() == 3);
  CHECK((got[0]->flags & mbuf_flag::rx_ip_checksum_bad) != 0);
  CHECK((got[0]->flags & mbuf_flag::rx_l4_checksum_bad) != 0);
  CHECK((got[1]->flags & mbuf_flag::rx_vlan_stripped) != 0);
  CHECK(got[1]->vlan_tci == 0x2123);
  CHECK((got[1]->packet_type & packet_type::l4_mask) == packet_type::l4_tcp);
  CHECK(got[1]->packet_len == 72);  // without the tag
  CHECK((got[2]->packet_type & packet_type::l3_mask) == packet_type::l3_ipv6);
  CHECK((got[2]->flags & mbuf_flag::rx_ip_checksum_good) == 0);
  for (mbuf* m : got) free_mbuf(m);
}

namespace {
struct vector_of_microsoft {
  std::vector<std::uint8_t> destination, source;
  std::uint16_t destination_port, source_port;
  std::uint32_t address_hash, port_hash;
};
// "Verifying the RSS hash calculation", Microsoft's documentation of NDIS.
const vector_of_microsoft ipv4_vectors[] = {
    {{161, 142, 100, 80}, {66, 9, 149, 187}, 1766, 2794, 0x323e8fc2, 0x51ccc178},
    {{65, 69, 140, 83}, {199, 92, 111, 2}, 4739, 14230, 0xd718262a, 0xc626b0ea},
    {{12, 22, 207, 184}, {24, 19, 198, 95}, 38024, 12898, 0xd2d0a5de, 0x5c2b394a},
    {{209, 142, 163, 6}, {38, 27, 205, 30}, 2217, 48228, 0x82989176, 0xafc7327f},
    {{202, 188, 127, 2}, {153, 39, 163, 191}, 1303, 44251, 0x5d1809c5, 0x10e828a2}};
std::vector<std::uint8_t> ipv6_address(std::initializer_list<std::uint16_t> groups) {
  std::vector<std::uint8_t> out;
  for (const std::uint16_t g : groups) {
    out.push_back(static_cast<std::uint8_t>(g >> 8));
    out.push_back(static_cast<std::uint8_t>(g));
  }
  return out;
}
const vector_of_microsoft ipv6_vectors[] = {
    {ipv6_address({0x3ffe, 0x2501, 0x200, 3, 0, 0, 0, 1}), ipv6_address({0x3ffe, 0x2501, 0x200, 0x1fff, 0, 0, 0, 7}),
     1766, 2794, 0x2cc18cd5, 0x40207d3d},
    {ipv6_address({0xff02, 0, 0, 0, 0, 0, 0, 1}), ipv6_address({0x3ffe, 0x501, 8, 0, 0x260, 0x97ff, 0xfe40, 0xefab}),
     4739, 14230, 0x0f0c461c, 0xdde51bbf},
    {ipv6_address({0xfe80, 0, 0, 0, 0x200, 0xf8ff, 0xfe21, 0x67cf}),
     ipv6_address({0x3ffe, 0x1900, 0x4545, 3, 0x200, 0xf8ff, 0xfe21, 0x67cf}), 38024, 44251, 0x4b61e985, 0x02d1feef}};
constexpr std::uint8_t microsoft_key[igb::rss_key_bytes] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                                            0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                                            0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                                            0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
}  // namespace

TEST_CASE("RSS hashes equal Microsoft's published vectors, and choose the queue by the redirection table",
          "[nic][igb]") {
  workbench w;
  w.bring_up();
  std::array<std::uint8_t, igb::reta_entries> table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<std::uint8_t>(i & 1);
  igb::set_reta(w.hw, table);
  for (const bool v6 : {false, true}) {
    for (const std::uint8_t protocol : {std::uint8_t{6}, std::uint8_t{17}, std::uint8_t{89}}) {  // 89: addresses alone
      std::span<const vector_of_microsoft> vectors = ipv4_vectors;
      if (v6) vectors = ipv6_vectors;
      for (const auto& v : vectors) {
        igb::set_rss(w.hw, microsoft_key,
                     igb::mrqc::ipv4 | igb::mrqc::tcp_ipv4 | igb::mrqc::udp_ipv4 | igb::mrqc::ipv6 |
                         igb::mrqc::tcp_ipv6 | igb::mrqc::udp_ipv6);
        const packet frame = make_frame({.ipv6 = v6,
                                         .protocol = protocol,
                                         .source = v.source,
                                         .destination = v.destination,
                                         .source_port = v.source_port,
                                         .destination_port = v.destination_port});
        const auto queue = w.device->deliver(frame);
        REQUIRE(queue);
        const auto got = w.receive(*queue);
        REQUIRE(got.size() == 1);
        const std::uint32_t expected = protocol == 89 ? v.address_hash : v.port_hash;
        CHECK(got[0]->rss_hash == expected);
        CHECK((got[0]->flags & mbuf_flag::rx_rss_hash) != 0);
        CHECK(*queue == (expected & 1));
        free_mbuf(got[0]);
      }
    }
  }
}

TEST_CASE("A packet longer than a buffer arrives as a chain", "[nic][igb]") {
  workbench w;
  const std::size_t before = w.free_mbufs();
  w.bring_up({.max_frame_bytes = 9022});
  const packet frame = make_frame({.protocol = 6, .payload_bytes = 8900});
  REQUIRE(w.device->deliver(frame));
  REQUIRE(w.device->deliver(make_frame({})));
  const auto got = w.receive(0, true);
  REQUIRE(got.size() == 2);
  CHECK(got[0]->segment_count == 5);
  CHECK(got[0]->packet_len == frame.size());
  CHECK(workbench::bytes_of(got[0]) == frame);
  CHECK((got[0]->flags & mbuf_flag::rx_l4_checksum_good) != 0);
  CHECK((got[0]->packet_type & packet_type::l4_mask) == packet_type::l4_tcp);
  CHECK(got[1]->segment_count == 1);
  for (mbuf* m : got) free_mbuf(m);
  w.stop_queues();
  CHECK(w.free_mbufs() == before);
}

TEST_CASE("A packet whose end has not come waits, and is whole later", "[nic][igb]") {
  workbench w;
  w.bring_up({.max_frame_bytes = 9022});
  const packet frame = make_frame({.payload_bytes = 3000});
  REQUIRE(w.device->deliver(frame));
  igb::rx_desc& second = w.rx_shared[0].ring[1];
  const igb::rx_desc saved = second;
  second.wb.status_error = 0;
  CHECK(w.receive(0, true).empty());
  second = saved;
  const auto got = w.receive(0, true);
  REQUIRE(got.size() == 1);
  CHECK(workbench::bytes_of(got[0]) == frame);
  free_mbuf(got[0]);
}

TEST_CASE("Lengths and flags that the device invents are counted and survived", "[nic][igb]") {
  const bool scattered = GENERATE(false, true);
  workbench w;
  const std::size_t before = w.free_mbufs();
  w.bring_up({.max_frame_bytes = 9022});
  SECTION("a length beyond the buffer") {
    w.device->corrupt_rx = [](igb::rx_desc& d) { d.wb.length = 0xffff; };
  }
  SECTION("no length") {
    w.device->corrupt_rx = [](igb::rx_desc& d) { d.wb.length = 0; };
  }
  SECTION("a receive error") {
    w.device->corrupt_rx = [](igb::rx_desc& d) { d.wb.status_error |= igb::rxd::rxe; };
  }
  SECTION("no end") {
    w.device->corrupt_rx = [](igb::rx_desc& d) { d.wb.status_error &= ~igb::rxd::eop; };
  }
  for (unsigned i = 0; i < 300; ++i) {
    static_cast<void>(w.device->deliver(make_frame({})));
    for (mbuf* m : w.receive(0, scattered)) free_mbuf(m);
  }
  CHECK(w.count(w.counters[0].errors) > 0);
  CHECK(w.count(w.counters[0].packets) == 0);
  w.device->corrupt_rx = nullptr;
  // One packet may still be swallowed as the rest of an endless one.
  std::size_t good = 0;
  for (unsigned i = 0; i < 200; ++i) {
    static_cast<void>(w.device->deliver(make_frame({})));
    for (mbuf* m : w.receive(0, scattered)) ++good, free_mbuf(m);
  }
  CHECK(good >= 150);
  w.stop_queues();
  CHECK(w.free_mbufs() == before);
}

TEST_CASE("An empty pool is counted, and reception goes on once there are buffers", "[nic][igb]") {
  workbench w{512};
  w.bring_up();  // two queues of 128 descriptors: 192 buffers posted
  std::vector<mbuf*> hoard;
  while (mbuf* m = w.pool.alloc()) hoard.push_back(m);
  std::vector<mbuf*> kept;
  for (unsigned i = 0; i < 400; ++i) {
    static_cast<void>(w.device->deliver(make_frame({})));
    for (mbuf* m : w.receive(0)) kept.push_back(m);
  }
  CHECK(w.count(w.counters[0].nombuf) > 0);
  CHECK(kept.size() == 96);
  free_mbufs(kept);
  free_mbufs(hoard);
  static_cast<void>(w.receive(0));  // posts new buffers
  std::size_t later = 0;
  for (unsigned i = 0; i < 100; ++i) {
    later += w.device->deliver(make_frame({})) ? 1U : 0U;
    for (mbuf* m : w.receive(0)) free_mbuf(m);
  }
  CHECK(later == 100);
}

TEST_CASE("A large receive ring takes one doorbell for two batches of buffers and a small one takes one for each",
          "[nic][igb]") {
  const std::uint32_t descriptors = GENERATE(128U, 256U);
  workbench w{2048, mbuf_default_data_room, 1, descriptors};
  w.bring_up();
  unsigned doorbells = 0;
  std::uint32_t tail = w.device->at(igb::RDT[0].offset);
  for (unsigned round = 0; round < 20; ++round) {
    for (unsigned i = 0; i < 32; ++i) REQUIRE(w.device->deliver(make_frame({})));
    const auto got = w.receive(0, false, 32);
    REQUIRE(got.size() == 32);
    for (mbuf* m : got) free_mbuf(m);
    const std::uint32_t now = w.device->at(igb::RDT[0].offset);
    doorbells += now != tail ? 1U : 0U;
    tail = now;
  }
  CHECK(doorbells == (descriptors == 256 ? 10U : 20U));
}

TEST_CASE("What is sent reaches the wire byte for byte, chains too", "[nic][igb]") {
  workbench w;
  w.bring_up();
  const packet small = make_frame({}), big = make_frame({.payload_bytes = 5000});
  mbuf* packets[] = {w.packet_of(small), w.packet_of(big, 700), w.packet_of(small)};
  REQUIRE(w.send(0, packets) == 3);
  const auto wire = w.device->transmit();
  REQUIRE(wire.size() == 3);
  CHECK(wire[0].data == small);
  CHECK(wire[1].data == big);
  CHECK(wire[1].olinfo_status >> igb::txd::paylen_shift == big.size());
  CHECK(w.count(w.counters[2].packets) == 3);
  CHECK(w.count(w.counters[2].bytes) == 2 * small.size() + big.size());
}

TEST_CASE("Offloads become the context that the datasheet asks for", "[nic][igb]") {
  workbench w;
  w.bring_up();
  const packet frame = make_frame({.protocol = 6, .payload_bytes = 4000});
  mbuf* m = w.packet_of(frame, 1500);
  m->flags = mbuf_flag::tx_ipv4 | mbuf_flag::tx_ip_checksum | mbuf_flag::tx_tcp_segmentation | mbuf_flag::tx_vlan;
  m->tx = {.l2_len = 14, .l3_len = 20, .l4_len = 20, .segment_bytes = 1448};
  m->vlan_tci = 0x0777;
  mbuf* again = w.pool.clone(m);
  REQUIRE(again != nullptr);
  again->flags |= m->flags;
  again->tx = m->tx;
  again->vlan_tci = m->vlan_tci;
  mbuf* packets[] = {m, again};
  REQUIRE(w.send(0, packets) == 2);
  const auto wire = w.device->transmit();
  REQUIRE(wire.size() == 2);
  for (const auto& s : wire) {
    CHECK((s.cmd_type_len & igb::txd::tse) != 0);
    CHECK((s.olinfo_status & (igb::txd::ixsm | igb::txd::txsm)) == (igb::txd::ixsm | igb::txd::txsm));
    CHECK(s.olinfo_status >> igb::txd::paylen_shift == frame.size() - 54);
    CHECK(s.context.mss_l4len_idx == (1448U << 16 | 20U << 8));
    CHECK(s.context.vlan_macip_lens == (0x0777U << 16 | 14U << 9 | 20U));
    CHECK((s.context.type_tucmd & (igb::txd::tucmd_ipv4 | igb::txd::tucmd_tcp)) ==
          (igb::txd::tucmd_ipv4 | igb::txd::tucmd_tcp));
    CHECK(s.data[12] == 0x81);
    CHECK(s.data.size() == frame.size() + 4);
  }
  // The second packet needed no context of its own: 1 + 3 + 3 descriptors.
  CHECK(w.count(reinterpret_cast<std::atomic<std::uint64_t>&>(w.counters[2].packets)) == 2);
  CHECK(w.tx_shared[0].tail.load(std::memory_order_relaxed) == 7);  // relaxed: one thread
}

TEST_CASE("A packet that cannot be sent is freed and counted, and the others go out", "[nic][igb]") {
  workbench w{2048};
  const std::size_t before = w.free_mbufs();
  w.bring_up();
  mbuf* tiny = w.pool.alloc();
  tiny->data_len = 5;
  tiny->packet_len = 5;
  mbuf* lying = w.packet_of(make_frame({}));
  lying->packet_len += 3;
  mbuf* huge = w.packet_of(packet(9800, 1));
  mbuf* bad_tso = w.packet_of(make_frame({.protocol = 6}));
  bad_tso->flags = mbuf_flag::tx_tcp_segmentation;
  bad_tso->tx = {.l2_len = 14, .l3_len = 20, .l4_len = 20, .segment_bytes = 0};
  mbuf* good = w.packet_of(make_frame({}));
  mbuf* packets[] = {tiny, huge, bad_tso, good};
  REQUIRE(w.send(0, packets) == 4);
  mbuf* chained[] = {lying->chain(w.packet_of(make_frame({}))) ? lying : nullptr};
  lying->packet_len += 1;
  REQUIRE(w.send(0, chained) == 1);
  CHECK(w.count(w.counters[2].errors) == 4);
  CHECK(w.device->transmit().size() == 1);
  w.stop_queues();
  CHECK(w.free_mbufs() == before);
}

TEST_CASE("A full transmit ring leaves the rest with the caller", "[nic][igb]") {
  workbench w;
  w.bring_up();
  std::size_t taken = 0;
  const packet frame = make_frame({});
  for (unsigned i = 0; i < 200; ++i) {
    mbuf* one[] = {w.packet_of(frame)};
    const std::size_t n = w.send(0, one);
    taken += n;
    if (n == 0) free_mbuf(one[0]);
  }
  CHECK(taken == 127);
  CHECK(w.device->transmit().size() == 127);
  mbuf* one[] = {w.packet_of(frame)};
  CHECK(w.send(0, one) == 1);
}

TEST_CASE("Stopping gives every buffer back, and starting again works", "[nic][igb]") {
  workbench w;
  const std::size_t before = w.free_mbufs();
  for (unsigned round = 0; round < 3; ++round) {
    w.bring_up();
    const packet frame = make_frame({.seed = static_cast<std::uint8_t>(round)});
    REQUIRE(w.device->deliver(frame));
    mbuf* one[] = {w.packet_of(frame)};
    REQUIRE(w.send(1, one) == 1);
    const auto got = w.receive(0);
    REQUIRE(got.size() == 1);
    CHECK(workbench::bytes_of(got[0]) == frame);
    free_mbuf(got[0]);
    w.stop_queues();
    CHECK(w.free_mbufs() == before);
  }
}

TEST_CASE("A queue that the device does not stop keeps its buffers", "[nic][igb]") {
  workbench w;
  w.bring_up();
  w.device->hang_queue_stop = true;
  const std::size_t before = w.free_mbufs();
  CHECK_FALSE(igb::stop_for_dead(w.hw, 0, w.rx_shared[0]));
  std::size_t held = 0;
  igb::visit_buffers(w.rx_shared[0], [&](void*) { ++held; });
  CHECK(held == 96);
  CHECK(w.free_mbufs() == before);
  w.device->hang_queue_stop = false;
  CHECK(igb::stop_for_dead(w.hw, 0, w.rx_shared[0]));
  held = 0;
  igb::visit_buffers(w.rx_shared[0], [&](void*) { ++held; });
  CHECK(held == 0);
}
