// SPDX-License-Identifier: BSD-3-Clause
// Layer-2 forwarding between pairs of ports by forked workers, one an lcore, which the main process keeps running: when
// one dies its partner is stopped, what both held is given back, and both are started again.  Follows DPDK's former
// sample of the same name.
#include <mpnet/mpnet.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr mpnet::queue_id queue{0};

struct options {
  std::uint64_t port_mask = 0;
  std::size_t ports_per_lcore = 1;
  std::chrono::seconds statistics{10};
  bool floating = false;
};

struct shared_counts {  // by index of the port; outlives workers.  Each number has one writer at a time
  std::array<mpnet::forward_counts, mpnet::max_ports> of;
};

options parse(std::span<const std::string> arguments) {
  options o;
  const auto number = [](auto& to, std::uint64_t least, std::uint64_t most) {
    return [&to, least, most](std::string_view text) {
      to = std::remove_reference_t<decltype(to)>(mpnet::parse_number(text, least, most));
    };
  };
  mpnet::parse_args(arguments, {{.short_name = 'p',
                                 .value_name = "PORTMASK",
                                 .help = "ports to forward between",
                                 .required = true,
                                 .set = [&](std::string_view text) { o.port_mask = mpnet::parse_mask(text); }},
                                {.short_name = 'q',
                                 .value_name = "NQ",
                                 .help = "ports an lcore receives from; default: 1",
                                 .set = number(o.ports_per_lcore, 1, mpnet::max_ports)},
                                {.short_name = 'T',
                                 .value_name = "SECONDS",
                                 .help = "between statistics, 0 for none; default: 10",
                                 .set = number(o.statistics, 0, 86400)},
                                {.short_name = 'f',
                                 .help = "workers float over all processors, under unused lcore ids",
                                 .set = [&](std::string_view) { o.floating = true; }}});
  return o;
}

void rewrite_macs(mpnet::mbuf& packet, std::uint8_t port, const mpnet::mac_address& source) noexcept {
  const std::array<std::uint8_t, 6> destination{0x02, 0, 0, 0, 0, port};
  if (packet.data_len < 12) return;
  std::memcpy(packet.bytes().data(), destination.data(), 6);
  std::memcpy(packet.bytes().data() + 6, source.bytes.data(), 6);
}

/// A worker's life: receives from its ports, sends out of their partners.
int forward(mpnet::group& g, mpnet::worker_context& me, std::uint64_t port_mask, std::span<const std::size_t> mine,
            shared_counts& counts) {
  const auto ports = mpnet::paired_ports_of_mask(g, port_mask);  // a process's own, unlike pools and rings
  std::vector<mpnet::queue_claim> claims;
  mpnet::idle_strategy idle;
  idle.watch(me.order_fd());
  for (const std::size_t from : mine) {
    claims.push_back(ports[from].take_queue(queue, mpnet::queue_side::rx));
    claims.push_back(ports[mpnet::partner(from)].take_queue(queue, mpnet::queue_side::tx));
    idle.watch(ports[from], queue);
  }
  std::array<mpnet::mbuf*, 32> burst;
  while (me.keep_running()) {
    std::size_t handled = 0;
    for (const std::size_t from : mine) {
      const mpnet::port& out = ports[mpnet::partner(from)];
      const std::size_t n = ports[from].rx_burst(queue, burst);
      counts.of[from].received += n;
      for (std::size_t i = 0; i < n; ++i) rewrite_macs(*burst[i], static_cast<std::uint8_t>(out.id()), out.mac());
      if (n > 0) mpnet::send_or_free(out, queue, {burst.data(), n}, counts.of[mpnet::partner(from)]);
      handled += n;
    }
    idle.after(handled);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return mpnet::run_main([&] {
    mpnet::eal eal{argc, argv};
    const options o = parse(eal.args());
    const auto ports = mpnet::paired_ports_of_mask(eal, o.port_mask);
    const std::size_t needed = (ports.size() + o.ports_per_lcore - 1) / o.ports_per_lcore;
    if (eal.lcore_count() < 3 || eal.workers().size() < needed) {
      throw mpnet::error{mpnet::errc::invalid_argument,
                         std::to_string(eal.lcore_count()) + " lcores are too few: a main lcore and at least " +
                             std::to_string(std::max<std::size_t>(needed, 2)) +
                             " workers are needed; give more (-l, --lcores), or more ports to each (-q)"};
    }
    (void)mpnet::mbuf_pool::create_or_attach(eal, "MBUF_POOL", {.mbuf_count = 4096 * ports.size() + 1024});
    const auto bring_up = [](const mpnet::port& p) {
      p.bring_up({.pool = "MBUF_POOL"});
      p.set_promiscuous(false);  // after a death: once more, which a device that is gone refuses
      p.set_promiscuous(true);
    };
    for (const mpnet::port& p : ports) bring_up(p);
    auto& counts = mpnet::shared_settings<shared_counts>(eal, "L2FWD_COUNTS", [](shared_counts&) {});
    const auto print = [&] { mpnet::print_counts(ports, std::span{counts.of}.first(ports.size())); };

    const mpnet::stop_on_signals signals;
    mpnet::supervisor watch{eal, {.tick = o.statistics, .on_tick = print}};
    const std::vector<mpnet::fork_options> places = o.floating ? eal.worker_places() : eal.give_up_workers();
    std::vector<mpnet::worker_id> worker_of;  // by port
    for (std::size_t w = 0; w < needed; ++w) {
      const auto id = static_cast<unsigned>(places[w].id);
      std::vector<std::size_t> mine;
      for (std::size_t i = w * o.ports_per_lcore; i < std::min(ports.size(), (w + 1) * o.ports_per_lcore); ++i)
        mine.push_back(i);
      const auto worker = watch.add({.name = "l2fwd-" + std::to_string(id),
                                     .id = o.floating ? mpnet::no_lcore : places[w].id,
                                     .processors = o.floating ? std::vector<unsigned>{} : places[w].processors,
                                     .run = [&, id, mine](mpnet::worker_context& me) {
                                       const auto now = static_cast<unsigned>(mpnet::lcore_id());
                                       if (o.floating) std::printf("Org lcore_id = %u, cur lcore_id = %u\n", id, now);
                                       std::fflush(stdout);
                                       return forward(eal, me, o.port_mask, mine, counts);
                                     }});
      for (const std::size_t i : mine) {
        worker_of.push_back(worker);
        watch.keep(worker, {.name = ports[i].name(), .recreate = [&, i] { bring_up(ports[i]); }});
      }
    }
    for (std::size_t i = 0; i < ports.size(); i += 2) {
      if (worker_of[i] == worker_of[i + 1]) continue;
      watch.depend(worker_of[i], worker_of[i + 1], mpnet::dependent_policy::restart);
      watch.depend(worker_of[i + 1], worker_of[i], mpnet::dependent_policy::restart);
      std::printf("lcore %u and %u paired\n", static_cast<unsigned>(places[static_cast<std::size_t>(worker_of[i])].id),
                  static_cast<unsigned>(places[static_cast<std::size_t>(worker_of[i + 1])].id));
    }
    const int code = watch.run();
    print();
    return code;
  });
}
