// SPDX-License-Identifier: BSD-3-Clause
// A client sends each packet that the server deals to it out of the partner of the port where it came in.  It may be
// killed and started again at any time.  Follows DPDK's sample mp_client.
#include <array>
#include <chrono>
#include <cstdio>
#include <vector>

#include "shared.hpp"

namespace {

struct options {
  unsigned id = 0;
  bool busy = false;
};

options parse(std::span<const std::string> arguments) {
  options o;
  mpnet::parse_args(arguments,
                    {{.short_name = 'n',
                      .value_name = "ID",
                      .help = "which client this is, from 0",
                      .required = true,
                      .set = [&](std::string_view text) { o.id = static_cast<unsigned>(mpnet::parse_number(text)); }},
                     {.long_name = "busy", .help = "spin when nothing arrives", .set = [&](auto) { o.busy = true; }}});
  return o;
}

settings& served(mpnet::group& g, unsigned id) {
  auto* shared = mpnet::find_settings<settings>(g, settings_name);
  if (shared == nullptr)
    throw mpnet::error{mpnet::errc::not_found, "there is no server in this group; start mp_server first"};
  if (id >= shared->client_count) {
    throw mpnet::error{mpnet::errc::usage, "-n " + std::to_string(id) + ": the server has clients 0 to " +
                                               std::to_string(shared->client_count - 1)};
  }
  return *shared;
}

/// Packets on their way out of one port.
class outlet {
 public:
  outlet(const mpnet::port& p, mpnet::queue_id queue, client_counts& counts)
      : port_{p}, claim_{p.take_queue(queue, mpnet::queue_side::tx)}, counts_{counts} {}

  void send(mpnet::mbuf* packet) noexcept {
    packets_[used_++] = packet;
    if (used_ == packets_.size()) flush();
  }
  void flush() noexcept {
    if (used_ == 0) return;
    mpnet::forward_counts now;
    mpnet::send_or_free(port_, claim_.queue(), {packets_.data(), used_}, now);
    counts_.sent[static_cast<unsigned>(port_.id())].add(now.sent);
    counts_.dropped[static_cast<unsigned>(port_.id())].add(now.dropped);
    used_ = 0;
  }

 private:
  mpnet::port port_;
  mpnet::queue_claim claim_;
  client_counts& counts_;
  std::array<mpnet::mbuf*, 32> packets_;
  std::size_t used_ = 0;
};

void forward(packet_ring in, std::span<outlet> outlets, std::span<outlet* const> out_of, client_counts& counts,
             bool busy) {
  std::array<mpnet::mbuf*, 32> burst;
  while (!mpnet::stop_requested()) {
    const std::size_t n = in.dequeue_burst(burst);
    counts.received.add(n);
    for (mpnet::mbuf* packet : std::span{burst.data(), n}) out_of[packet->port]->send(packet);
    if (n > 0) continue;
    for (outlet& o : outlets) o.flush();
    if (!busy) (void)in.wait(std::chrono::milliseconds{100});
  }
  for (outlet& o : outlets) o.flush();
}

}  // namespace

int main(int argc, char** argv) {
  return mpnet::run_main([&] {
    // Never the primary, also where --proc-type=auto says it may be: that is the server's part, when it comes back.
    mpnet::eal eal{mpnet::with_process_type(argc, argv, "secondary")};
    const options o = parse(eal.args());
    settings& shared = served(eal, o.id);
    const auto ports = mpnet::paired_ports_of_mask(eal, shared.port_mask);
    const auto in = packet_ring::attach(eal, ring_name(o.id));

    std::vector<outlet> outlets;
    outlets.reserve(ports.size());
    const auto queue = mpnet::queue_id{static_cast<std::uint16_t>(o.id)};
    for (const mpnet::port& p : ports) outlets.emplace_back(p, queue, shared.clients[o.id]);
    std::array<outlet*, mpnet::max_ports> out_of{};
    for (std::size_t i = 0; i < ports.size(); ++i) {
      out_of[static_cast<std::size_t>(ports[i].id())] = &outlets[mpnet::partner(i)];
    }

    const mpnet::stop_on_signals signals;
    std::printf("client %u forwards\n", o.id);
    std::fflush(stdout);
    forward(in, outlets, out_of, shared.clients[o.id], o.busy);
    std::printf("client %u: received %lu\n", o.id, shared.clients[o.id].received.get());
  });
}
