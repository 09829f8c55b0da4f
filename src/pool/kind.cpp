// SPDX-License-Identifier: BSD-3-Clause
// Pools as recovery sees them, and the audit of a pool that lies in a group.
#include <mpnet/error.hpp>

#include "mem/conductor.hpp"
#include "mem/control.hpp"
#include "mem/membership.hpp"
#include "pool/backend.hpp"
#include "pool/local.hpp"
#include "pool/recovery.hpp"

namespace mpnet {
namespace detail {
namespace {

/// A pool's header, in which recovery believes as much as it must.
pool_header* header_of(const zone_info& zone) {
  auto* pool = static_cast<pool_header*>(zone.address);
  if (pool == nullptr || pool->magic != pool_magic || pool->total_bytes > zone.size_bytes) return nullptr;
  return pool;
}

std::vector<pool_header*> all_mbuf_pools(group& g) {
  std::vector<pool_header*> pools;
  for (const zone_info& zone : list_zones(g, zone_kind::pool)) {
    pool_header* pool = header_of(zone);
    if (pool != nullptr && (pool->flags & pool_of_mbufs) != 0) pools.push_back(pool);
  }
  return pools;
}

surroundings surroundings_in(group& g, std::span<pool_header* const> mbuf_pools) {
  return {.mbuf_pools = mbuf_pools,
          .holdings =
              [&g](const std::function<void(void*)>& visit) {
                for (const zone_info& zone : list_zones(g)) {
                  const kind_ops* ops = find_kind(zone.kind);
                  if (ops != nullptr && ops->holdings != nullptr) ops->holdings(g, zone, visit);
                }
              },
          .is_alive =
              [&g](std::uint16_t tag) {
                if (tag == tag_nobody || tag > max_processes) return false;
                // [A-slot] acquire: pairs with [R-slot] of membership.
                const auto state = g.control().slots[tag - 1].state.load(std::memory_order_acquire);
                return state == mem::slot_live || state == mem::slot_joining;
              }};
}

void repair(group&, const zone_info& zone, const dead_party&, recovery_counts& counts) {
  if (pool_header* pool = header_of(zone); pool != nullptr) counts.rolled_back += backend_repair(*pool);
}

void reclaim(group& g, const zone_info& zone, const dead_party& dead, recovery_counts& counts) {
  pool_header* pool = header_of(zone);
  if (pool == nullptr || dead.tag == tag_nobody) return;
  const bool own = dead.tag == process_tag;  // leaving in good order
  if (own) forget_local(zone.index);         // the tags tell the same
  const bool had_lease = this_lease != nullptr;
  const std::vector<pool_header*> mbuf_pools = all_mbuf_pools(g);
  reclaim_pool(*pool, dead.tag, surroundings_in(g, mbuf_pools), counts);
  if (own) forget_local(zone.index);
  if (!had_lease) release_lease();
}

}  // namespace

void register_pool_kind() {
  register_kind({.kind = zone_kind::pool, .name = "pool", .repair = repair, .holdings = nullptr, .reclaim = reclaim});
  on_lcore_released = [](lcore) noexcept { flush_thread_caches(); };
}

}  // namespace detail

pool_audit pool_base::audit(group& g, std::span<void* const> in_hands) const {
  const mem::recovery_pause nothing_goes{g, "audit a pool"};
  const std::vector<detail::pool_header*> mbuf_pools = detail::all_mbuf_pools(g);
  return detail::audit_pool(*header_, detail::surroundings_in(g, mbuf_pools), in_hands);
}

}  // namespace mpnet
