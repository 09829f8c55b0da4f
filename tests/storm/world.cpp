// SPDX-License-Identifier: BSD-3-Clause
#include "storm/world.hpp"

#include <fmt/format.h>

namespace storm {

using namespace mpnet;

port_config port_queues_config() {
  return {.rx_queues = port_queues, .tx_queues = port_queues, .pool = "packets"};
}
std::string neighbour_ring(unsigned left) {
  return fmt::format("from-{}", left);
}
std::string temporary_name(unsigned at) {
  return fmt::format("temporary-{}", at);
}
std::string named_zone(unsigned k) {
  return fmt::format("named-{}", k);
}
std::string common_zone(unsigned k) {
  return fmt::format("common-{}", k);
}

namespace {
ring<item*> open_neighbour(group& g, unsigned left) {
  return ring<item*>::create_or_attach(
      g, neighbour_ring(left), {.capacity = 64, .producers = ring_sync::single, .consumers = ring_sync::single});
}
}  // namespace

world::world(group& g, unsigned at)
    : items(pool<item>::create_or_attach(g, "items", {.object_count = item_count, .cache_size = 32})),
      packets(mbuf_pool::create_or_attach(g, "packets",
                                          {.mbuf_count = packet_count, .cache_size = 32, .data_room_bytes = 256})),
      many(ring<item*>::create_or_attach(g, "many", {.capacity = 250})),
      lanes(ring<item*>::create_or_attach(
          g, "lanes",
          {.capacity = 128, .producers = ring_sync::many_concurrent, .consumers = ring_sync::many_concurrent})),
      from_left(open_neighbour(g, (at + member_count - 1) % member_count)),
      to_right(open_neighbour(g, at % member_count)),
      wire(ring<mbuf*>::create_or_attach(g, "wire", {.capacity = 200, .doorbell = true})),
      numbers(ring<std::uint64_t>::create_or_attach(g, "numbers", {.capacity = 100, .doorbell = true})),
      table(&shared_settings<desk>(g, "desk", [](desk&) {})) {}

std::vector<std::string> eal_arguments(const std::string& prefix, unsigned at) {
  // Two lcores, floating over all processors: the auditor's come after the members'.
  const unsigned first = 2 * at;
  return {"--lcores",
          fmt::format("({}-{})@({})", first, first + 1, format_list(thread_processors())),
          "--file-prefix",
          prefix,
          "--proc-type",
          "auto",
          "--no-pci",
          "-m",
          "256",
          "--vdev",
          fmt::format("net_ring0,qpairs={},size=64", port_queues),
          "--log-level",
          "error"};
}

}  // namespace storm
