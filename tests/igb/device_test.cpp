// SPDX-License-Identifier: BSD-3-Clause
// A whole igb port in a group, on the software 82576: configuration, queues, recovery of a dead driver's queues, and
// what the port can be asked.
#include <fmt/format.h>
#include <unistd.h>
#include <mpnet/error.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <set>

#include "igb/soft_82576.hpp"
#include "nic/igb/igb_device.hpp"

using namespace mpnet;
using namespace mpnet::nic;
using namespace mpnet::test;

namespace {

class soft_backend final : public igb::backend {
 public:
  explicit soft_backend(soft_82576& device) : device_(device) {}
  [[nodiscard]] igb::bar registers() noexcept override { return device_.bar(); }
  [[nodiscard]] unsigned vectors() noexcept override { return 10; }
  [[nodiscard]] int event_fd(unsigned) noexcept override { return -1; }

 private:
  soft_82576& device_;
};

struct world {
  world() {
    void* memory = reserve_zone(g, {.name = "shared", .size_bytes = sizeof(port_shared)}).publish().address;
    shared = static_cast<port_shared*>(memory);
    shared->id = 3;
    std::strcpy(shared->name, "net_igb_soft");
    void* area_memory = reserve_zone(g, {.name = "area", .size_bytes = sizeof(igb::port_area)}).publish().address;
    area = static_cast<igb::port_area*>(area_memory);
    shared->area = reinterpret_cast<std::uint64_t>(area);
    pool = mbuf_pool::create(g, "MBUFS", {.mbuf_count = 4096});
    device = std::make_unique<soft_82576>(
        soft_82576::window{reinterpret_cast<void*>(g.base_address()), 4ULL << 30, group::iova_base});
    port = std::make_unique<igb::igb_device>(g, *shared, *igb::find_model(igb::intel_vendor_id, 0x10C9),
                                             std::make_unique<soft_backend>(*device));
    port->initialise();
  }
  void configure(std::uint16_t queues, std::uint64_t rx_offloads = 0) {
    shared->rx_queues = shared->tx_queues = queues;
    shared->rx_offloads = rx_offloads;
    for (unsigned q = 0; q < max_queues; ++q) {
      std::strcpy(shared->rx[q].pool, "MBUFS");
      shared->rx[q].descriptors = shared->tx[q].descriptors = 64;
    }
    port->configure({.rx_queues = queues, .tx_queues = queues, .pool = "MBUFS"});
    port->start();
  }
  [[nodiscard]] std::size_t queues_in_use() const {
    const rss_config c = port->rss();
    return std::set<std::uint16_t>(c.redirection.begin(), c.redirection.end()).size();
  }
  [[nodiscard]] std::size_t free_mbufs() const {
    const pool_stats s = pool.stats();
    return s.available + s.in_caches_here;
  }

  group g{{.file_prefix = fmt::format("igb-test-{}", getpid()), .type = process_type::primary, .no_huge = true}};
  port_shared* shared = nullptr;
  igb::port_area* area = nullptr;
  mbuf_pool pool;
  std::unique_ptr<soft_82576> device;
  std::unique_ptr<igb::igb_device> port;
};

std::vector<mbuf*> burst(const queue_entry& q) {
  std::vector<mbuf*> out(64);
  out.resize(q.burst(q.context, out.data(), out.size()));
  return out;
}

}  // namespace

TEST_CASE("A port in a group receives and sends through queues that are taken", "[nic][igb]") {
  world w;
  const std::size_t before = w.free_mbufs();
  w.configure(2);
  const queue_entry rx = w.port->bind_rx(0), tx = w.port->bind_tx(0);
  const packet frame = make_frame({.payload_bytes = 100});
  REQUIRE(w.device->deliver(frame) == 0U);
  auto got = burst(rx);
  REQUIRE(got.size() == 1);
  CHECK(got[0]->packet_len == frame.size());
  CHECK(got[0]->port == 3);
  REQUIRE(tx.burst(tx.context, got.data(), 1) == 1);
  const auto wire = w.device->transmit();
  REQUIRE(wire.size() == 1);
  CHECK(wire[0].data == frame);
  w.port->unbind_rx(0);
  w.port->unbind_tx(0);
  CHECK(w.free_mbufs() == before);
  CHECK(w.device->dma_faults == 0);
}

TEST_CASE("Flows go to the queues that somebody drives, and to no others", "[nic][igb]") {
  world w;
  w.configure(4);
  static_cast<void>(w.port->bind_rx(1));
  CHECK(w.queues_in_use() == 1);
  static_cast<void>(w.port->bind_rx(3));
  CHECK(w.queues_in_use() == 2);
  w.port->unbind_rx(1);
  CHECK(w.queues_in_use() == 1);
  CHECK(w.port->rss().redirection[5] == 3);
  std::vector<std::uint16_t> table(128, 2);
  w.port->set_rss({.hash_types = rss_type::ipv4, .key = {}, .redirection = table});
  static_cast<void>(w.port->bind_rx(0));
  CHECK(w.port->rss().redirection == table);  // whoever sets a table gets that table
  table[0] = 4;
  CHECK_THROWS_AS(w.port->set_rss({.hash_types = rss_type::ipv4, .key = {}, .redirection = table}), error);
}

TEST_CASE("A dead process's queues are stopped, a living one's run on", "[nic][igb]") {
  world w;
  w.configure(2);
  const queue_entry mine = w.port->bind_rx(0);
  static_cast<void>(w.port->bind_rx(1));
  static_cast<void>(w.port->bind_tx(1));
  const std::uint16_t dead = 77;
  w.shared->rx[0].driver.store(1 | 4711ULL << 32);
  w.shared->rx[1].driver.store(dead | 4712ULL << 32);
  w.shared->tx[1].driver.store(dead | 4712ULL << 32);
  detail::recovery_counts counts;
  w.port->release_queues_of(dead, counts);
  CHECK(counts.queues_released == 2);
  CHECK(igb::rx_queue_running(w.port->hardware(), 0));
  CHECK_FALSE(igb::rx_queue_running(w.port->hardware(), 1));
  CHECK_FALSE(igb::tx_queue_running(w.port->hardware(), 1));
  w.port->release_queues_of(dead, counts);  // whoever conducts may die and be followed by another
  CHECK(counts.queues_released == 2);
  REQUIRE(w.device->deliver(make_frame({})) == 0U);  // flows of the dead one's queue come to the survivor
  for (mbuf* m : burst(mine)) free_mbuf(m);
  static_cast<void>(w.port->bind_rx(1));  // taken over
  CHECK(igb::rx_queue_running(w.port->hardware(), 1));
  CHECK(w.device->resets == 2);  // power-on and initialise(): a takeover resets nothing
}

TEST_CASE("Counters of the device add up over readings", "[nic][igb]") {
  world w;
  w.configure(1);
  static_cast<void>(w.port->bind_rx(0));
  for (int i = 0; i < 3; ++i) static_cast<void>(w.device->deliver(make_frame({})));
  const auto value = [&](const char* name) {
    std::vector<named_counter> all;
    w.port->add_extended_stats(all);
    const auto it = std::find_if(all.begin(), all.end(), [&](const auto& c) { return c.name == name; });
    REQUIRE(it != all.end());
    return it->value;
  };
  CHECK(value("rx_good_packets_wire") == 3);
  static_cast<void>(w.device->deliver(make_frame({})));
  CHECK(value("rx_good_packets_wire") == 4);
  for (int i = 0; i < 70; ++i) static_cast<void>(w.device->deliver(make_frame({})));
  port_stats s;
  w.port->add_stats(s);
  CHECK(s.rx_missed == 42);  // 32 of 64 descriptors were posted
  w.port->reset_stats();
  CHECK(value("rx_good_packets_wire") == 0);
}

TEST_CASE("Descriptor states and registers can be read", "[nic][igb]") {
  world w;
  w.configure(1);
  const queue_entry rx = w.port->bind_rx(0), tx = w.port->bind_tx(0);
  static_cast<void>(w.device->deliver(make_frame({})));
  CHECK(w.port->rx_descriptor(0, 0) == descriptor_state::done);
  CHECK(w.port->rx_descriptor(0, 1) == descriptor_state::available);
  CHECK(w.port->rx_descriptor(0, 63) == descriptor_state::unavailable);
  auto got = burst(rx);
  REQUIRE(got.size() == 1);
  REQUIRE(tx.burst(tx.context, got.data(), 1) == 1);
  CHECK(w.port->tx_descriptor(0, 63) == descriptor_state::full);
  static_cast<void>(w.device->transmit());
  CHECK(w.port->tx_descriptor(0, 63) == descriptor_state::done);
  const auto registers = w.port->registers();
  const auto it = std::find_if(registers.begin(), registers.end(), [](const auto& r) { return r.name == "RDT0"; });
  REQUIRE(it != registers.end());
  CHECK(it->value == 32);
}

TEST_CASE("Settings are checked, kept and told", "[nic][igb]") {
  world w;
  w.configure(1);
  for (unsigned i = 1; i < 24; ++i) w.port->add_mac({{2, 0, 0, 0, 0, static_cast<std::uint8_t>(i)}});
  CHECK_NOTHROW(w.port->add_mac({{2, 0, 0, 0, 0, 1}}));
  CHECK_THROWS_AS(w.port->add_mac({{2, 0, 0, 0, 1, 1}}), error);
  w.port->remove_mac({{2, 0, 0, 0, 0, 1}});
  CHECK_NOTHROW(w.port->add_mac({{2, 0, 0, 0, 1, 1}}));
  CHECK_THROWS_AS(w.port->remove_mac({{2, 0, 0, 0, 9, 9}}), error);

  flow_control pause;
  pause.rx_pause = true;
  pause.tx_pause = true;
  w.port->set_flow_control(pause);
  CHECK(w.port->get_flow_control().rx_pause);
  CHECK(w.port->get_flow_control().tx_pause);
  CHECK(w.port->get_flow_control().high_water_bytes == 24U << 10);

  CHECK(w.port->link().up);
  w.device->set_link(false);
  CHECK_FALSE(w.port->link().up);
  CHECK(w.port->capabilities().max_rx_queues == 16);
}
