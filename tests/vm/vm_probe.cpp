// SPDX-License-Identifier: BSD-3-Clause
// One igb port, shown from outside, for scenarios in the virtual machine.
//   vm_probe [EAL options] -- receive N      prints what the device said about each of N packets
//   vm_probe [EAL options] -- link N         waits for N changes of the link, told by its interrupt
//   vm_probe [EAL options] -- send           sends packets whose checksums, tags and segments the device shall fill in
#include <mpnet/mpnet.hpp>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace mpnet;

constexpr std::uint64_t all_rx = rx_offload::vlan_strip | rx_offload::ipv4_checksum | rx_offload::udp_checksum |
                                 rx_offload::tcp_checksum | rx_offload::rss_hash | rx_offload::scatter;

const char* verdict(const mbuf& m, std::uint64_t good, std::uint64_t bad) {
  return (m.flags & good) != 0 ? "good" : (m.flags & bad) != 0 ? "bad" : "unknown";
}

// Packets of the peer that are meant for us carry this type of destination: our own MAC address.
bool meant_for(const mbuf& m, const mac_address& own) {
  return std::memcmp(m.data(), own.bytes.data(), 6) == 0;
}

void receive(const port& p, int count) {
  std::vector<queue_claim> claims;
  for (std::uint16_t q = 0; q < 2; ++q) claims.push_back(p.take_queue(queue_id{q}));
  std::puts("ready");
  std::fflush(stdout);
  while (count > 0 && !stop_requested()) {
    for (std::uint16_t q = 0; q < 2; ++q) {
      std::array<mbuf*, 32> burst;
      const std::size_t n = p.rx_burst(queue_id{q}, burst);
      for (std::size_t i = 0; i < n; ++i) {
        mbuf& m = *burst[i];
        if (meant_for(m, p.mac())) {
          const int vlan = (m.flags & mbuf_flag::rx_vlan_stripped) != 0 ? m.vlan_tci : -1;
          std::printf("packet len=%u segments=%u vlan=%d ip=%s l4=%s type=%x hash=%08x queue=%u\n", m.packet_len,
                      m.segment_count, vlan, verdict(m, mbuf_flag::rx_ip_checksum_good, mbuf_flag::rx_ip_checksum_bad),
                      verdict(m, mbuf_flag::rx_l4_checksum_good, mbuf_flag::rx_l4_checksum_bad), m.packet_type,
                      (m.flags & mbuf_flag::rx_rss_hash) != 0 ? m.rss_hash : 0, q);
          std::fflush(stdout);
          --count;
        }
        free_mbuf(&m);
      }
    }
  }
}

void watch_link(const port& p, int changes) {
  std::atomic<int> left{changes};
  event_loop loop;
  const auto fd = p.link_fd();
  if (!fd) throw error{errc::unsupported, "the port has no link interrupt"};
  loop.register_fd(
      *fd,
      [&](std::uint32_t) {
        std::printf("link %s\n", p.link().up ? "back" : "down");
        std::fflush(stdout);
        if (--left <= 0) request_stop();
      },
      trigger::edge);
  static_cast<void>(p.link());  // clears old causes, so that the next change signals
  std::puts("ready");
  std::fflush(stdout);
  wait_for_stop();
  for (const device_register& r : p.registers()) {
    if (r.name.find("IM") != std::string::npos || r.name == "GPIE" || r.name == "IVAR_MISC") {
      std::printf("%s=%x ", r.name.c_str(), r.value);
    }
  }
  std::puts(p.link().up ? "up" : "down");
}

void put16(std::uint8_t* p, unsigned v) {
  p[0] = static_cast<std::uint8_t>(v >> 8);
  p[1] = static_cast<std::uint8_t>(v);
}

unsigned sum16(const std::uint8_t* p, std::size_t n) {
  unsigned sum = 0;
  for (std::size_t i = 0; i < n; i += 2) sum += static_cast<unsigned>(p[i] << 8 | p[i + 1]);
  return sum;
}

/// 10.9.0.77 → 10.9.0.1, `payload` bytes that count up, checksums left to the device: IP's 0, L4's the pseudo header's.
mbuf* make(const mbuf_pool& pool, const mac_address& own, bool tcp, std::uint16_t port, std::size_t payload,
           std::size_t segment_bytes, bool tso) {
  const std::size_t l4 = tcp ? 20 : 8;
  std::vector<std::uint8_t> f(14 + 20 + l4 + payload);
  const std::uint8_t peer[6] = {0x52, 0x54, 0, 0, 0, 2};
  std::memcpy(f.data(), peer, 6);
  std::memcpy(f.data() + 6, own.bytes.data(), 6);
  put16(&f[12], 0x0800);
  std::uint8_t* ip = &f[14];
  ip[0] = 0x45;
  put16(ip + 2, static_cast<unsigned>(20 + l4 + payload));
  ip[8] = 64;
  ip[9] = tcp ? 6 : 17;
  const std::uint8_t addresses[8] = {10, 9, 0, 77, 10, 9, 0, 1};
  std::memcpy(ip + 12, addresses, 8);
  std::uint8_t* h = ip + 20;
  put16(h, 7000);
  put16(h + 2, port);
  if (tcp) {
    h[12] = 0x50;
    h[13] = 0x10;
  } else {
    put16(h + 4, static_cast<unsigned>(8 + payload));
  }
  for (std::size_t i = 0; i < payload; ++i) h[l4 + i] = static_cast<std::uint8_t>(i);
  // With segmentation the device adds each segment's length itself.
  unsigned pseudo = sum16(addresses, 8) + ip[9] + (tso ? 0 : static_cast<unsigned>(l4 + payload));
  while (pseudo >> 16 != 0) pseudo = (pseudo & 0xffff) + (pseudo >> 16);
  put16(h + (tcp ? 16 : 6), pseudo);

  mbuf* first = nullptr;
  for (std::size_t at = 0; at < f.size(); at += segment_bytes) {
    mbuf* m = pool.alloc();
    const std::size_t n = std::min(segment_bytes, f.size() - at);
    std::memcpy(m->append(static_cast<std::uint16_t>(n)), f.data() + at, n);
    if (first == nullptr) {
      first = m;
    } else if (!first->chain(m)) {
      return nullptr;
    }
  }
  first->flags |=
      mbuf_flag::tx_ipv4 | mbuf_flag::tx_ip_checksum | (tcp ? mbuf_flag::tx_tcp_checksum : mbuf_flag::tx_udp_checksum);
  first->tx = {.l2_len = 14, .l3_len = 20, .l4_len = static_cast<std::uint8_t>(l4)};
  if (tso) {
    first->flags |= mbuf_flag::tx_tcp_segmentation;
    first->tx.segment_bytes = 1448;
  }
  return first;
}

void send(const port& p, const mbuf_pool& pool) {
  const queue_claim claim = p.take_queue(queue_id{0});
  mbuf* tagged = make(pool, p.mac(), false, 8003, 100, 2000, false);
  tagged->flags |= mbuf_flag::tx_vlan;
  tagged->vlan_tci = 0x0123;
  std::array<mbuf*, 5> packets{make(pool, p.mac(), false, 8001, 100, 2000, false),    // UDP
                               make(pool, p.mac(), true, 8002, 100, 2000, false),     // TCP
                               tagged,                                                // a VLAN tag
                               make(pool, p.mac(), true, 8004, 4000, 1000, true),     // three segments on the wire
                               make(pool, p.mac(), false, 8005, 7000, 1500, false)};  // a jumbo of five pieces
  const std::size_t n = p.tx_burst(queue_id{0}, packets);
  std::printf("sent %zu\n", n);
  std::fflush(stdout);
  wait_for_stop(2000);  // the queue is emptied before it is given back
}

}  // namespace

int main(int argc, char** argv) {
  return run_main([&] {
    eal e{argc, argv};
    if (e.args().empty()) throw error{errc::usage, "receive N, send, or link N"};
    const auto ports = list_ports(e);
    if (ports.empty()) throw error{errc::not_found, "there is no port"};
    const port p = *find_port(e, ports.front().id);
    const stop_on_signals signals;
    const auto pool = mbuf_pool::create_or_attach(e, "PROBE", {.mbuf_count = 4096});
    p.bring_up({.rx_queues = 2,
                .tx_queues = 2,
                .pool = "PROBE",
                .rx_offloads = all_rx,
                .tx_offloads = p.capabilities().tx_offloads,
                .mtu = 9000});
    std::printf("link %s\n", p.wait_for_link(5000).up ? "up" : "down");
    if (e.args()[0] == "receive") receive(p, std::stoi(e.args()[1]));
    if (e.args()[0] == "link") {
      watch_link(p, std::stoi(e.args()[1]));
      return;
    }
    if (e.args()[0] == "send") send(p, pool);
    std::printf("mac %s\n", to_string(p.mac()).c_str());
    for (const device_register& r : p.registers()) {
      if (r.value != 0) std::printf("%s=%x ", r.name.c_str(), r.value);
    }
    std::puts("");
    for (const named_counter& c : p.extended_stats()) {
      if (c.value != 0) std::printf("%s %lu\n", c.name.c_str(), static_cast<unsigned long>(c.value));
    }
    p.stop();
  });
}
