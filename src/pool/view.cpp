// SPDX-License-Identifier: BSD-3-Clause
// Pools from outside: header, chunks and tags are copied, checked, and counted in the copy.
#include <mpnet/detail/pool_header.hpp>
#include <mpnet/pool_view.hpp>

#include <algorithm>
#include <map>

#include "pool/backend.hpp"

namespace mpnet {
namespace {

using detail::pool_header;

/// A copy of what lies in [at, at + bytes) of the zone, aligned for atomics; empty where that is not all in the zone or
/// cannot be read.  Grows as it reads, so that a size that makes no sense costs no memory.
std::vector<std::uint64_t> copy_of(const group_view& view, const zone_info& zone, const void* at, std::uint64_t bytes) {
  constexpr std::uint64_t step_max = 1 << 20;
  const auto begin = reinterpret_cast<std::uintptr_t>(zone.address);
  const auto from = reinterpret_cast<std::uintptr_t>(at);
  std::vector<std::uint64_t> copy;
  if (from < begin || from - begin > zone.size_bytes || bytes > zone.size_bytes - (from - begin)) return copy;
  for (std::uint64_t done = 0; done < bytes;) {
    const std::uint64_t step = std::min(bytes - done, step_max);
    copy.resize((done + step + 7) / 8);
    if (!view.read(from + done, {reinterpret_cast<std::byte*>(copy.data()) + done, step})) return {};
    done += step;
  }
  return copy;
}

void count(const pool_header& pool, const std::atomic<std::uint16_t>* tags, pool_snapshot& snapshot) {
  std::vector<bool> free(pool.object_count);
  detail::backend_visit(pool, [&](std::uint32_t index, bool) { free[index] = true; });
  std::map<std::uint16_t, std::size_t> by_tag;
  for (std::uint32_t i = 0; i < pool.object_count; ++i) {
    // relaxed: a copy of our own
    if (!free[i]) ++by_tag[tags[i].load(std::memory_order_relaxed)];
  }
  snapshot.in_backend = static_cast<std::size_t>(std::count(free.begin(), free.end(), true));
  for (const auto& [tag, objects] : by_tag) {
    if (tag != detail::tag_nobody && tag <= max_processes) {
      snapshot.holders.push_back({process_id{static_cast<std::uint16_t>(tag - 1)}, objects});
    } else {
      snapshot.of_nobody += objects;
    }
  }
}

pool_snapshot look_at(const group_view& view, const zone_info& zone) {
  pool_snapshot snapshot;
  snapshot.name = zone.name;
  pool_header pool;
  if (zone.size_bytes < sizeof pool ||
      !view.read(reinterpret_cast<std::uintptr_t>(zone.address), {reinterpret_cast<std::byte*>(&pool), sizeof pool})) {
    return snapshot;
  }
  if (pool.magic != detail::pool_magic || pool.total_bytes > zone.size_bytes) return snapshot;
  snapshot.object_count = pool.object_count;
  snapshot.object_bytes = pool.object_bytes;
  snapshot.cache_size = pool.cache_size;
  snapshot.mbufs = (pool.flags & detail::pool_of_mbufs) != 0;
  if (pool.chunk_bytes % 8 != 0 || pool.chunk_bytes < 8 + std::uint64_t{pool.chunk_capacity} * 4) return snapshot;
  auto chunks = copy_of(view, zone, pool.chunks, std::uint64_t{pool.chunk_count} * pool.chunk_bytes);
  const auto tags = copy_of(view, zone, pool.tags, std::uint64_t{pool.object_count} * 2);
  if (chunks.empty() || tags.empty()) return snapshot;
  pool.chunks = reinterpret_cast<std::byte*>(chunks.data());
  snapshot.readable = true;
  count(pool, reinterpret_cast<const std::atomic<std::uint16_t>*>(tags.data()), snapshot);
  return snapshot;
}

}  // namespace

std::vector<pool_snapshot> list_pools(const group_view& view) {
  std::vector<pool_snapshot> pools;
  for (const zone_info& zone : view.zones()) {
    if (zone.kind == zone_kind::pool) pools.push_back(look_at(view, zone));
  }
  std::sort(pools.begin(), pools.end(), [](const pool_snapshot& a, const pool_snapshot& b) { return a.name < b.name; });
  return pools;
}

}  // namespace mpnet
