// SPDX-License-Identifier: BSD-3-Clause
// The server receives from all ports and deals the packets out to its clients, one after the other.  It may be killed
// and started again: clients live on.  Follows DPDK's sample mp_server.
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "shared.hpp"

namespace {

struct options {
  std::uint64_t port_mask = 0;
  std::uint32_t client_count = 0;
};

options parse(std::span<const std::string> arguments) {
  options o;
  mpnet::parse_args(arguments, {{.short_name = 'p',
                                 .value_name = "PORTMASK",
                                 .help = "ports to serve",
                                 .required = true,
                                 .set = [&](std::string_view text) { o.port_mask = mpnet::parse_mask(text); }},
                                {.short_name = 'n',
                                 .value_name = "CLIENTS",
                                 .help = "number of clients",
                                 .required = true,
                                 .set = [&](std::string_view text) {
                                   o.client_count =
                                       static_cast<std::uint32_t>(mpnet::parse_number(text, 1, max_clients));
                                 }}});
  return o;
}

settings& share(mpnet::group& g, const options& mine) {
  settings& shared = mpnet::shared_settings<settings>(g, settings_name, [&](settings& fresh) {
    fresh.port_mask = mine.port_mask;
    fresh.client_count = mine.client_count;
  });
  mpnet::must_agree("-p", shared.port_mask, mine.port_mask);
  mpnet::must_agree("-n", shared.client_count, mine.client_count);
  return shared;
}

class dealer {
 public:
  dealer(mpnet::group& g, settings& shared) : shared_{shared} {
    for (unsigned i = 0; i < shared.client_count; ++i) {
      rings_.push_back(packet_ring::create_or_attach(g, ring_name(i), {.capacity = 256, .doorbell = true}));
    }
    buffers_.resize(rings_.size());
  }

  void deal(std::span<mpnet::mbuf* const> packets) noexcept {
    for (mpnet::mbuf* packet : packets) {
      buffers_[next_].push(packet);
      next_ = (next_ + 1) % rings_.size();
    }
    for (std::size_t i = 0; i < rings_.size(); ++i) flush(i);
  }

 private:
  struct buffer {
    std::array<mpnet::mbuf*, 32> packets;
    std::size_t used = 0;
    void push(mpnet::mbuf* packet) noexcept { packets[used++] = packet; }
  };

  void flush(std::size_t client) noexcept {
    buffer& b = buffers_[client];
    if (b.used == 0) return;
    const std::size_t taken = rings_[client].enqueue_burst({b.packets.data(), b.used});
    shared_.clients[client].dealt.add(taken);
    shared_.clients[client].refused.add(b.used - taken);
    mpnet::free_mbufs({b.packets.data() + taken, b.used - taken});
    b.used = 0;
  }

  settings& shared_;
  std::vector<packet_ring> rings_;
  std::vector<buffer> buffers_;  // a burst at most: emptied after each
  std::size_t next_ = 0;
};

void print_statistics(const settings& shared, std::span<const mpnet::port> ports) {
  if (isatty(STDOUT_FILENO) != 0) std::fputs("\033[H\033[J", stdout);
  std::span clients{shared.clients, shared.client_count};
  for (const mpnet::port& p : ports) {
    const auto id = static_cast<unsigned>(p.id());
    std::uint64_t sent = 0, dropped = 0;
    for (const client_counts& c : clients) sent += c.sent[id].get(), dropped += c.dropped[id].get();
    std::printf("port %u: received %lu, sent %lu, dropped %lu\n", id, shared.received[id].get(), sent, dropped);
  }
  for (const client_counts& c : clients) {
    std::printf("client %zu: received %lu, sent %lu, dropped %lu, refused %lu\n",
                static_cast<std::size_t>(&c - clients.data()), c.received.get(), total(c.sent), total(c.dropped),
                c.refused.get());
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  return mpnet::run_main([&] {
    mpnet::eal eal{argc, argv};
    const options o = parse(eal.args());
    if (!eal.is_primary())
      throw mpnet::error{mpnet::errc::usage, "the server must be the primary: --proc-type=primary"};
    const auto ports = mpnet::paired_ports_of_mask(eal, o.port_mask);
    settings& shared = share(eal, o);

    (void)mpnet::mbuf_pool::create_or_attach(eal, pool_name,
                                             {.mbuf_count = 4096 * ports.size() + 512 * o.client_count});
    dealer clients{eal, shared};
    std::vector<mpnet::queue_claim> claims;
    mpnet::idle_strategy idle;
    idle.watch(mpnet::stop_fd());
    for (const mpnet::port& p : ports) {
      p.bring_up({.rx_queues = 1, .tx_queues = static_cast<std::uint16_t>(o.client_count), .pool = pool_name});
      p.set_promiscuous(true);
      claims.push_back(p.take_queue(mpnet::queue_id{0}, mpnet::queue_side::rx));
      idle.watch(p, mpnet::queue_id{0});
    }

    const mpnet::stop_on_signals signals;
    std::printf("serving %zu ports to %u clients\n", ports.size(), o.client_count);
    if (eal.lcore_count() > 1) {
      eal.launch(eal.next_lcore(), [&] {
        while (!mpnet::wait_for_stop(1000)) print_statistics(shared, ports);
      });
    }
    while (!mpnet::stop_requested()) {
      std::size_t handled = 0;
      for (const mpnet::port& p : ports) {
        std::array<mpnet::mbuf*, 32> burst;
        const std::size_t n = p.rx_burst(mpnet::queue_id{0}, burst);
        shared.received[static_cast<unsigned>(p.id())].add(n);
        clients.deal({burst.data(), n});
        handled += n;
      }
      idle.after(handled);
    }
    eal.wait_all();
    print_statistics(shared, ports);
  });
}
