// SPDX-License-Identifier: BSD-3-Clause
// Any number of equal processes forward between pairs of ports, each on its own queue of all ports.  Any of them, the
// first one included, may be killed and started again with the same command.  Follows DPDK's sample of the same name.
#include <mpnet/mpnet.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace {

struct settings {  // the same in all processes
  std::uint64_t port_mask = 0;
  std::uint32_t process_count = 1;
  std::uint32_t spare = 0;
};

struct options {
  settings shared;
  std::uint32_t process = 0;
  mpnet::idle_mode idle = mpnet::idle_mode::adaptive;
};

options parse(std::span<const std::string> arguments) {
  options o;
  mpnet::parse_args(arguments,
                    {{.short_name = 'p',
                      .value_name = "PORTMASK",
                      .help = "ports to forward between",
                      .required = true,
                      .set = [&](std::string_view text) { o.shared.port_mask = mpnet::parse_mask(text); }},
                     {.long_name = "num-procs",
                      .value_name = "N",
                      .help = "processes in all",
                      .required = true,
                      .set =
                          [&](std::string_view text) {
                            o.shared.process_count =
                                static_cast<std::uint32_t>(mpnet::parse_number(text, 1, mpnet::max_queues));
                          }},
                     {.long_name = "proc-id",
                      .value_name = "n",
                      .help = "which of these this one is, from 0",
                      .required = true,
                      .set =
                          [&](std::string_view text) {
                            o.process = static_cast<std::uint32_t>(mpnet::parse_number(text, 0, mpnet::max_queues - 1));
                          }},
                     {.long_name = "idle",
                      .value_name = "spin|yield|adaptive",
                      .help = "what to do when nothing arrives",
                      .set = [&](std::string_view text) { o.idle = mpnet::parse_idle_mode(text); }}});
  if (o.process >= o.shared.process_count) {
    throw mpnet::error{mpnet::errc::usage, "--proc-id " + std::to_string(o.process) + ": with --num-procs " +
                                               std::to_string(o.shared.process_count) + " the last one is " +
                                               std::to_string(o.shared.process_count - 1)};
  }
  return o;
}

void agree(mpnet::group& g, const settings& mine) {
  const auto& theirs = mpnet::shared_settings<settings>(g, "SYMMETRIC_MP", [&](settings& fresh) { fresh = mine; });
  mpnet::must_agree("-p", theirs.port_mask, mine.port_mask);
  mpnet::must_agree("--num-procs", theirs.process_count, mine.process_count);
}

std::vector<mpnet::queue_claim> set_up(mpnet::group& g, const std::vector<mpnet::port>& ports, const options& o) {
  const auto queues = static_cast<std::uint16_t>(o.shared.process_count);
  for (const mpnet::port& p : ports) {
    const auto most = std::min(p.capabilities().max_rx_queues, p.capabilities().max_tx_queues);
    if (queues > most) {
      throw mpnet::error{mpnet::errc::invalid_argument, p.name() + " has " + std::to_string(most) +
                                                            " queues, too few for " + std::to_string(queues) +
                                                            " processes: each needs its own"};
    }
  }
  const std::size_t mbufs = 2048 * ports.size() * queues + 1024;
  (void)mpnet::mbuf_pool::create_or_attach(g, "MBUF_POOL", {.mbuf_count = mbufs});
  std::vector<mpnet::queue_claim> mine;
  for (const mpnet::port& p : ports) {
    p.bring_up({.rx_queues = queues, .tx_queues = queues, .pool = "MBUF_POOL"});
    p.set_promiscuous(true);
    try {
      mine.push_back(p.take_queue(mpnet::queue_id{static_cast<std::uint16_t>(o.process)}));
    } catch (const mpnet::error& e) {
      throw mpnet::error{e.kind(), "--proc-id " + std::to_string(o.process) + ": " + e.what()};
    }
  }
  return mine;
}

/// One round over the pairs `first`, `first` + `step`, …
std::size_t forward_once(std::span<const mpnet::port> ports, mpnet::queue_id queue, std::size_t first, std::size_t step,
                         std::span<mpnet::forward_counts> counts) {
  std::array<mpnet::mbuf*, 32> burst;
  std::size_t handled = 0;
  for (std::size_t pair = first; pair < ports.size() / 2; pair += step) {
    for (const std::size_t from : {2 * pair, 2 * pair + 1}) {
      const std::size_t to = mpnet::partner(from);
      const std::size_t n = ports[from].rx_burst(queue, burst);
      counts[from].received += n;
      if (n > 0) mpnet::send_or_free(ports[to], queue, {burst.data(), n}, counts[to]);
      handled += n;
    }
  }
  return handled;
}

}  // namespace

int main(int argc, char** argv) {
  return mpnet::run_main([&] {
    mpnet::eal eal{argc, argv};
    const options o = parse(eal.args());
    const auto ports = mpnet::paired_ports_of_mask(eal, o.shared.port_mask);
    agree(eal, o.shared);
    const auto claims = set_up(eal, ports, o);
    const auto queue = claims.front().queue();

    std::vector<mpnet::forward_counts> counts(ports.size());
    const mpnet::stop_on_signals signals;
    const auto lcores = eal.lcores();
    std::printf("forwarding on queue %u of %zu ports\n", o.process, ports.size());
    std::fflush(stdout);
    eal.launch_all(
        [&] {
          const auto self = static_cast<std::size_t>(std::ranges::find(lcores, mpnet::lcore_id()) - lcores.begin());
          mpnet::idle_strategy idle{o.idle};
          idle.watch(mpnet::stop_fd());
          for (std::size_t i = 0; i < ports.size(); ++i) {
            if (i / 2 % lcores.size() == self) idle.watch(ports[i], queue);
          }
          while (!mpnet::stop_requested()) idle.after(forward_once(ports, queue, self, lcores.size(), counts));
          return 0;
        },
        mpnet::main_call::call);
    eal.wait_all();
    mpnet::print_counts(ports, counts);
  });
}
