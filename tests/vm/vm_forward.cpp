// SPDX-License-Identifier: BSD-3-Clause
// The same as dpdk-testpmd's io mode with --tx-first, for a machine whose two ports are joined to each other: packets
// sent once go round for ever, because a port's packets come in at the other.
//   vm_forward [EAL options] -- SECONDS          forwards, and says how many packets a second it received
//   vm_forward [EAL options] -- mark begin|end   marks the time for insn_count; enters no group
#include <mpnet/mpnet.hpp>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>

#include "vm_mark.hpp"

namespace {

using namespace mpnet;
using clock_type = std::chrono::steady_clock;
constexpr queue_id queue_0{0};
constexpr std::size_t burst_size = 32;

/// A burst of 64-byte UDP packets out of a port, as testpmd sends first.
void send_first(const port& p, const mbuf_pool& pool) {
  static constexpr std::uint8_t headers[] = {2, 0, 0,  0,  0, 0, 2,   0,  0, 0, 0,   1,  8, 0, 0x45, 0, 0, 46, 0, 0,
                                             0, 0, 64, 17, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2, 0,    9, 0, 9,  0, 26};
  std::array<mbuf*, burst_size> packets{};
  if (pool.alloc_bulk(packets) == 0) throw error{errc::no_memory, "no packets to send first"};
  for (mbuf* m : packets) {
    std::memset(m->append(60), 0, 60);
    std::memcpy(m->data(), headers, sizeof(headers));
  }
  for (std::size_t sent = 0; sent < burst_size;) {
    sent += p.tx_burst(queue_0, {packets.data() + sent, burst_size - sent});
  }
}

/// One turn of the loop; how many packets were received.
std::size_t forward(const port& in, const port& out) noexcept {
  std::array<mbuf*, burst_size> packets;
  const std::size_t got = in.rx_burst(queue_0, packets);
  if (got == 0) return 0;
  const std::size_t sent = out.tx_burst(queue_0, {packets.data(), got});
  if (sent != got) free_mbufs({packets.data() + sent, got - sent});
  return got;
}

struct moved {
  std::uint64_t packets = 0, bursts = 0, polls = 0;
};

moved forward_for(const port& a, const port& b, std::chrono::milliseconds duration) {
  moved m;
  const auto end = clock_type::now() + duration;
  do {
    for (int i = 0; i < 256; ++i) {
      for (const std::size_t n : {forward(a, b), forward(b, a)}) {
        m.packets += n;
        m.bursts += n != 0 ? 1 : 0;
      }
    }
    m.polls += 512;
  } while (clock_type::now() < end);
  return m;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[2], "mark") == 0) {
    std::strcmp(argv[3], "begin") == 0 ? mark_begin() : mark_end();
    return 0;
  }
  return run_main([&] {
    eal e{argc, argv};
    const auto ports = list_ports(e);
    if (ports.size() != 2 || e.args().empty()) throw error{errc::usage, "vm_forward needs two ports, and SECONDS"};
    const auto pool = mbuf_pool::create_or_attach(e, "FORWARD", {.mbuf_count = 4095});
    const port a = *find_port(e, ports[0].id), b = *find_port(e, ports[1].id);
    std::array<queue_claim, 2> claims;
    for (const port* p : {&a, &b}) {
      p->bring_up({.pool = "FORWARD"});
      if (!p->wait_for_link(10'000).up) throw error{errc::timed_out, "no link on " + p->name()};
      claims[p == &a ? 0 : 1] = p->take_queue(queue_0);
    }
    for (const port* p : {&a, &b}) p->set_promiscuous(true);
    for (const port* p : {&a, &b}) send_first(*p, pool);
    static_cast<void>(forward_for(a, b, std::chrono::seconds{1}));
    const auto start = clock_type::now();
    mark_begin();
    const moved m = forward_for(a, b, std::chrono::seconds{std::stoi(e.args()[0])});
    mark_end();
    const std::chrono::duration<double> took = clock_type::now() - start;
    std::printf("packets %llu pps %.0f packets-a-burst %.1f empty-polls-a-burst %.1f\n",
                static_cast<unsigned long long>(m.packets), static_cast<double>(m.packets) / took.count(),
                static_cast<double>(m.packets) / static_cast<double>(m.bursts),
                static_cast<double>(m.polls - m.bursts) / static_cast<double>(m.bursts));
  });
}
