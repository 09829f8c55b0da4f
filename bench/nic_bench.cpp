// SPDX-License-Identifier: BSD-3-Clause
// mpnet-bench nic: what the igb driver costs a packet, on the software 82576 of the tests.  A section of packets is
// handed to the device, then the driver's bursts over it are timed, then the device finishes it: what the device costs
// is in no figure.  Its descriptors come from this processor's caches, and its doorbells are plain memory.
#include "matrix.hpp"

#include "machine.hpp"

#include "igb/workbench.hpp"

#include <fmt/format.h>

#include <array>
#include <functional>
#include <stdexcept>

namespace bench {
namespace {

using mpnet::mbuf;
namespace igb = mpnet::nic::igb;

constexpr unsigned section_packets = 256;
constexpr unsigned ring_descriptors = 512;
constexpr double forward_bound_cycles = 60;  // at 32 packets a burst

using receiver = std::size_t (*)(void*, mbuf**, std::size_t) noexcept;

class driver_under_test {
 public:
  driver_under_test() : bench_{4096, mpnet::mbuf_default_data_room, 1, ring_descriptors} { bench_.bring_up(); }
  ~driver_under_test() { bench_.stop_queues(); }
  driver_under_test(const driver_under_test&) = delete;
  driver_under_test& operator=(const driver_under_test&) = delete;

  double receive(receiver rx, unsigned burst) {
    deliver();
    std::array<mbuf*, section_packets> packets{};
    const auto start = cycles();
    for (unsigned done = 0; done < section_packets;) {
      done += take(rx(&bench_.rx[0], packets.data() + done, std::min(burst, section_packets - done)));
    }
    const auto end = cycles();
    mpnet::free_mbufs(packets);
    return per_packet(end - start);
  }

  double send(std::uint64_t flags, unsigned burst) {
    std::array<mbuf*, section_packets> packets{};
    if (!bench_.pool.alloc_bulk(packets)) throw std::runtime_error{"nic: the pool is empty"};
    for (mbuf* m : packets) {
      m->data_len = static_cast<std::uint16_t>(frame_.size());
      m->packet_len = static_cast<std::uint32_t>(frame_.size());
      m->flags = flags;
      m->tx = {.l2_len = 14, .l3_len = 20, .l4_len = 8};
    }
    const auto start = cycles();
    for (unsigned done = 0; done < section_packets;) {
      done += take(igb::tx_burst(&bench_.tx[0], packets.data() + done, std::min(burst, section_packets - done)));
    }
    const auto end = cycles();
    finish();
    return per_packet(end - start);
  }

  double forward(unsigned burst) {
    deliver();
    std::array<mbuf*, section_packets> packets{};
    const auto start = cycles();
    for (unsigned done = 0; done < section_packets;) {
      const auto got = take(igb::rx_burst(&bench_.rx[0], packets.data(), std::min(burst, section_packets - done)));
      for (unsigned sent = 0; sent < got;) {
        sent += take(igb::tx_burst(&bench_.tx[0], packets.data() + sent, got - sent));
      }
      done += got;
    }
    const auto end = cycles();
    finish();
    return per_packet(end - start);
  }

 private:
  static double per_packet(std::uint64_t elapsed) { return static_cast<double>(elapsed) / section_packets; }
  static unsigned take(std::size_t moved) {
    if (moved == 0) throw std::runtime_error{"nic: a burst moved nothing though the device had finished its work"};
    return static_cast<unsigned>(moved);
  }
  void deliver() {
    for (unsigned i = 0; i < section_packets; ++i) {
      if (!bench_.device->deliver(frame_)) throw std::runtime_error{"nic: the device refused a packet"};
    }
  }
  void finish() {
    if (bench_.device->discard_transmit() != section_packets) throw std::runtime_error{"nic: packets are missing"};
  }

  mpnet::test::workbench bench_;
  mpnet::test::packet frame_ = mpnet::test::make_frame({});
};

struct nic_mode {
  const char* name;
  double (*section)(driver_under_test&, unsigned burst);
};
constexpr nic_mode nic_modes[] = {
    {"rx", [](driver_under_test& d, unsigned burst) { return d.receive(igb::rx_burst, burst); }},
    {"rx scattered", [](driver_under_test& d, unsigned burst) { return d.receive(igb::rx_burst_scattered, burst); }},
    {"tx", [](driver_under_test& d, unsigned burst) { return d.send(0, burst); }},
    {"tx checksums",
     [](driver_under_test& d, unsigned burst) {
       using namespace mpnet::mbuf_flag;
       return d.send(tx_ipv4 | tx_ip_checksum | tx_udp_checksum, burst);
     }},
    {"forward", [](driver_under_test& d, unsigned burst) { return d.forward(burst); }}};

row measure(driver_under_test& driver, const nic_mode& mode, unsigned burst, unsigned rounds) {
  for (unsigned i = 0; i < 20; ++i)
    static_cast<void>(mode.section(driver, burst));  // caches, rings past their first turn
  std::vector<double> sections;
  for (unsigned i = 0; i < rounds; ++i) sections.push_back(mode.section(driver, burst));
  row r;
  r.structure = "nic";
  r.mode = mode.name;
  r.placement = "one-core";
  r.burst = burst;
  r.mpnet_cycles = median(sections);
  r.spread = quantile(sections, 0.75) - quantile(sections, 0.25);
  r.rounds = rounds;
  return r;
}

void print_table(const std::string& machine, const std::vector<row>& rows, const std::vector<unsigned>& bursts) {
  fmt::print("{}\n\n| cycles a packet, software 82576 |", machine);
  for (const unsigned b : bursts) fmt::print(" n = {} |", b);
  fmt::print("\n|---|");
  for (std::size_t i = 0; i < bursts.size(); ++i) fmt::print("---|");
  std::string mode;
  for (const row& r : rows) {
    if (r.mode != mode) fmt::print("\n| {} |", mode = r.mode);
    fmt::print(" {:.1f} ± {:.1f} |", r.mpnet_cycles, r.spread / 2);
  }
  fmt::print("\n");
  for (const row& r : rows) {
    if (r.mode != "forward" || r.burst != 32) continue;
    fmt::print("\nforward, 32 packets a burst: {:.1f} cycles of {:.0f} aimed at: {}\n", r.mpnet_cycles,
               forward_bound_cycles, r.mpnet_cycles <= forward_bound_cycles ? "reached" : "**missed**");
  }
}

}  // namespace

int run_nic(const options& o) {
  const std::string machine = describe_machine();  // before this thread has one processor left
  pin_to(o.processors.empty() ? usable_processors().back() : o.processors.front());
  const auto bursts = o.bursts.empty() ? std::vector<unsigned>{1, 8, 32, 128} : o.bursts;
  const unsigned rounds = o.rounds != 0 ? o.rounds : o.smoke ? 20 : 1000;
  driver_under_test driver;
  std::vector<row> rows;
  for (const nic_mode& mode : nic_modes) {
    if (!selected(o.modes, mode.name)) continue;
    for (const unsigned burst : bursts) rows.push_back(measure(driver, mode, burst, rounds));
  }
  save(o, rows);
  if (o.output == format::json) {
    for (const row& r : rows) fmt::print("{}\n", json_of(r));
  } else {
    print_table(machine, rows, bursts);
  }
  return 0;
}

}  // namespace bench
