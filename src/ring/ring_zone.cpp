// SPDX-License-Identifier: BSD-3-Clause
// Rings as named objects of a group: a ring is a zone of kind ring.  Control path.
#include <fmt/format.h>
#include <mpnet/memzone.hpp>
#include <mpnet/ring.hpp>
#include <mpnet/ring_view.hpp>
#include <ring/ring_repair.hpp>

#include <algorithm>
#include <memory>

#include "mem/conductor.hpp"

namespace mpnet {
namespace detail {
namespace {

zone_spec spec_of(std::string_view name, const ring_options& options, const ring_type& type) {
  return {.name = name,
          .kind = zone_kind::ring,
          .size_bytes = ring_footprint(options, type.element_size),
          .align_bytes = alignof(ring_header),
          .socket = options.socket};
}

ring_header* attach_zone(const zone_info& zone, const ring_type& type) {
  return ring_attach(zone.address, zone.size_bytes, type, zone.name.c_str());
}

std::optional<zone_info> zone_of(group& g, const ring_header* h) {
  for (zone_info& zone : list_zones(g, zone_kind::ring))
    if (zone.address == h) return std::move(zone);
  return std::nullopt;
}

}  // namespace

ring_header* ring_create(group& g, std::string_view name, const ring_options& options, const ring_type& type) {
  zone_builder zone = reserve_zone(g, spec_of(name, options, type));
  ring_format(zone.address(), zone.info().size_bytes, options, type, 0);
  return attach_zone(zone.publish(), type);
}

ring_header* ring_create_or_attach(group& g, std::string_view name, const ring_options& options,
                                   const ring_type& type) {
  const zone_spec spec = spec_of(name, options, type);
  const zone_info zone =
      find_or_reserve_zone(g, spec, [&](void* memory) { ring_format(memory, spec.size_bytes, options, type, 0); });
  return attach_zone(zone, type);
}

ring_header* ring_lookup(group& g, std::string_view name, const ring_type& type) {
  const auto zone = find_zone(g, zone_kind::ring, name);
  return zone ? attach_zone(*zone, type) : nullptr;
}

void ring_destroy(group& g, ring_header* h) {
  const auto zone = h == nullptr ? std::nullopt : zone_of(g, h);
  if (!zone)
    throw error{errc::not_found,
                fmt::format("destroy ring: {} is no ring of this group; rings on plain memory are given "
                            "back with their memory",
                            static_cast<const void*>(h))};
  free_zone(g, *zone);
}

std::string ring_name(group& g, const ring_header* h) {
  const auto zone = zone_of(g, h);
  return zone ? zone->name : std::string{};
}

void throw_no_ring(std::string_view name) {
  throw error{errc::not_found,
              fmt::format("attach ring '{}': no member has made it; create it first, or use create_or_attach()", name)};
}

void register_ring_kind() {
  register_kind(
      {.kind = zone_kind::ring,
       .name = "ring",
       .repair = [](group&, const zone_info& zone, const dead_party& dead,
                    recovery_counts& counts) { ring_repair(*static_cast<ring_header*>(zone.address), dead, counts); },
       .holdings =
           [](group&, const zone_info& zone, const std::function<void(void*)>& visit) {
             ring_holdings(*static_cast<ring_header*>(zone.address), visit);
           },
       .reclaim = nullptr});
}

}  // namespace detail

namespace {

ring_info describe(const std::string& name, const detail::ring_header& h, std::size_t count) {
  return {.name = name,
          .capacity = h.capacity,
          .approx_count = count,
          .element_size_bytes = h.element_size,
          .producers = h.producers,
          .consumers = h.consumers,
          .shared_between_processes = (h.flags & detail::ring_private) == 0,
          .pool_objects = (h.flags & detail::ring_pool_objects) != 0,
          .apart = (h.flags & detail::ring_apart) != 0};
}

/// A copy of a header, or null.
std::unique_ptr<detail::ring_header> copy_of(const group_view& view, std::uintptr_t address) {
  auto h = std::make_unique<detail::ring_header>();
  if (!view.read(address, {reinterpret_cast<std::byte*>(h.get()), sizeof *h})) return nullptr;
  return h->magic.load(std::memory_order_relaxed) == detail::ring_magic ? std::move(h) : nullptr;  // relaxed: our copy
}

}  // namespace

std::vector<ring_info> list_rings(group& g) {
  std::vector<ring_info> rings;
  const mem::recovery_pause nothing_goes{g, "list rings"};
  for (const zone_info& zone : list_zones(g, zone_kind::ring)) {
    const auto& h = *static_cast<const detail::ring_header*>(zone.address);
    rings.push_back(describe(zone.name, h, detail::ring_approx_count(h)));
  }
  return rings;
}

std::vector<ring_info> list_rings(const group_view& view) {
  std::vector<ring_info> rings;
  for (const zone_info& zone : view.zones()) {
    if (zone.kind != zone_kind::ring) continue;
    const auto address = reinterpret_cast<std::uintptr_t>(zone.address);
    const auto h = copy_of(view, address);
    if (!h) continue;
    std::size_t count = 0;
    if ((h->flags & detail::ring_laned) == 0) {
      count = detail::ring_approx_count(*h);
    } else {
      for (std::size_t i = 0; i < detail::ring_lane_count; ++i) {
        const auto lane = copy_of(view, address + sizeof(detail::ring_header) + detail::ring_lane_offset(*h, i));
        if (lane && (lane->flags & detail::ring_laned) == 0) count += detail::ring_approx_count(*lane);
      }
    }
    rings.push_back(describe(zone.name, *h, count));
  }
  std::sort(rings.begin(), rings.end(), [](const ring_info& a, const ring_info& b) { return a.name < b.name; });
  return rings;
}

}  // namespace mpnet
