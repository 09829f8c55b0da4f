// SPDX-License-Identifier: BSD-3-Clause
// Pools as named objects of the group: making, finding and destroying them.  Control.
#include <mpnet/error.hpp>
#include <mpnet/pool.hpp>

#include <algorithm>
#include <string>

#include "pool/local.hpp"

namespace mpnet {
namespace detail {
namespace {

pool_header* attach_zone(const zone_info& zone, std::uint64_t layout) {
  return &attach_pool(zone.address, zone.size_bytes, zone.index, layout);
}

}  // namespace

pool_header* open_pool(group& g, std::string_view name, const pool_options* options, const pool_format& format,
                       const pool_initialiser& initialise, pool_open how) {
  if (how == pool_open::attach || how == pool_open::lookup) {
    const auto zone = find_zone(g, zone_kind::pool, name, format.layout);
    if (zone) return attach_zone(*zone, format.layout);
    if (how == pool_open::lookup) return nullptr;
    throw error{errc::not_found, "attach pool '" + std::string{name} +
                                     "': there is none of that name; make it first, or "
                                     "use create_or_attach"};
  }
  const zone_spec spec{.name = name,
                       .kind = zone_kind::pool,
                       .layout = format.layout,
                       .size_bytes = pool_footprint(*options, format),
                       .align_bytes = std::max(format.object_align, cache_line),
                       .socket = options->socket};
  const auto make = [&](void* memory) {
    pool_header& pool = format_pool(memory, *options, format);
    if (initialise) initialise(pool);
  };
  if (how == pool_open::either) return attach_zone(find_or_reserve_zone(g, spec, make), format.layout);
  zone_builder builder = reserve_zone(g, spec);
  make(builder.address());
  return attach_zone(builder.publish(), format.layout);
}

void destroy_pool(group& g, std::string_view name, std::uint64_t layout) {
  const auto zone = find_zone(g, zone_kind::pool, name, layout);
  if (!zone) throw error{errc::not_found, "destroy pool '" + std::string{name} + "': there is none of that name"};
  forget_local(zone->index);
  free_zone(g, *zone);
}

}  // namespace detail

}  // namespace mpnet
