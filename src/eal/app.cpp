// SPDX-License-Identifier: BSD-3-Clause
// What the sample applications share; see <mpnet/app.hpp>.
#include <fmt/format.h>
#include <mpnet/app.hpp>
#include <mpnet/args.hpp>
#include <mpnet/mbuf.hpp>

#include <cstdio>
#include <cstring>
#include <string>

namespace mpnet {
namespace {

std::string existing_ports(group& g) {
  std::vector<unsigned> ids;
  for (const port_info& info : list_ports(g)) ids.push_back(static_cast<unsigned>(info.id));
  return ids.empty() ? "there is no port; make some with --vdev, in the primary"
                     : "there are ports " + format_list(ids);
}

/// Settings of different sizes are not the same settings.
std::uint64_t settings_layout(std::size_t size_bytes) noexcept {
  return 0x5345'5454'0000'0000ULL ^ size_bytes;
}

}  // namespace

std::vector<port> ports_of_mask(group& g, std::uint64_t mask) {
  if (mask == 0) throw error{errc::invalid_argument, "port mask 0: it names no port; " + existing_ports(g)};
  std::vector<port> ports;
  for (unsigned id = 0; id < 64; ++id) {
    if ((mask >> id & 1) == 0) continue;
    std::optional<port> found;
    if (id < max_ports) found = find_port(g, port_id{static_cast<std::uint16_t>(id)});
    if (!found) {
      throw error{errc::invalid_argument,
                  fmt::format("port mask {:#x}: port {} does not exist; {}", mask, id, existing_ports(g))};
    }
    ports.push_back(std::move(*found));
  }
  return ports;
}

std::vector<port> paired_ports_of_mask(group& g, std::uint64_t mask) {
  auto ports = ports_of_mask(g, mask);
  if (ports.size() % 2 != 0) {
    throw error{errc::invalid_argument,
                fmt::format("port mask {:#x}: {} ports cannot be paired: port {} has no partner; name an even number",
                            mask, ports.size(), static_cast<unsigned>(ports.back().id()))};
  }
  return ports;
}

void* detail::shared_settings(group& g, std::string_view name, std::size_t size_bytes,
                              const std::function<void(void*)>& initialise) {
  return find_or_reserve_zone(g, {.name = name, .layout = settings_layout(size_bytes), .size_bytes = size_bytes},
                              initialise)
      .address;
}

void* detail::find_settings(group& g, std::string_view name, std::size_t size_bytes) {
  const auto zone = find_zone(g, zone_kind::raw, name, settings_layout(size_bytes));
  return zone ? zone->address : nullptr;
}

void must_agree(std::string_view option, std::uint64_t theirs, std::uint64_t mine) {
  if (theirs == mine) return;
  const auto text = [&](std::uint64_t value) {
    return option == "-p" ? fmt::format("{:#x}", value) : fmt::format("{}", value);  // -p is a mask everywhere
  };
  throw error{errc::incompatible,
              fmt::format("{}: this process says {}, those that run say {}; start it with theirs, or stop them first",
                          option, text(mine), text(theirs))};
}

std::vector<std::string> with_process_type(int argc, char** argv, std::string_view type) {
  std::vector<std::string> arguments{"--proc-type=" + std::string{type}};
  int i = 1;
  for (; i < argc && std::string_view{argv[i]} != "--"; ++i) {
    const std::string_view argument{argv[i]};
    if (argument == "--proc-type") {
      ++i;  // its value
    } else if (!argument.starts_with("--proc-type=")) {
      arguments.emplace_back(argument);
    }
  }
  for (; i < argc; ++i) arguments.emplace_back(argv[i]);
  return arguments;
}

void send_or_free(const port& to, queue_id queue, std::span<mbuf*> packets, forward_counts& counts) noexcept {
  std::size_t sent = to.tx_burst(queue, packets);
  // A full queue has often room again as soon as it is told to look; more than a few tries would hold up reception.
  for (int tries = 0; sent < packets.size() && tries < 4; ++tries) sent += to.tx_burst(queue, packets.subspan(sent));
  counts.sent += sent;
  counts.dropped += packets.size() - sent;
  free_mbufs(packets.subspan(sent));
}

void print_counts(std::span<const port> ports, std::span<const forward_counts> counts) {
  forward_counts sum;
  for (std::size_t i = 0; i < ports.size() && i < counts.size(); ++i) {
    fmt::print("port {}: received {}, sent {}, dropped {}\n", static_cast<unsigned>(ports[i].id()), counts[i].received,
               counts[i].sent, counts[i].dropped);
    sum.received += counts[i].received;
    sum.sent += counts[i].sent;
    sum.dropped += counts[i].dropped;
  }
  fmt::print("total: received {}, sent {}, dropped {}\n", sum.received, sum.sent, sum.dropped);
  std::fflush(stdout);
}

}  // namespace mpnet
