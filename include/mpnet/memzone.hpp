// SPDX-License-Identifier: BSD-3-Clause
// Memzones: named pieces of the region.  Rings, pools and port tables are zones of their own kinds, so this is also the
// group's directory of shared objects.  Follows rte_memzone.h.  All functions: control, any thread of any member.
#pragma once

#include <mpnet/group.hpp>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mpnet {

/// What a zone holds.  Names are unique within a kind.
enum class zone_kind : std::uint32_t { raw = 1, ring, pool, port_table, port, message_endpoint, supervisor, bench };

struct zone_spec {
  std::string_view name;  // 1 … max_name_len bytes, no '/' and no control characters
  zone_kind kind = zone_kind::raw;
  std::uint64_t layout = 0;  // hash of the type inside, compared by find_zone; 0: not compared
  std::size_t size_bytes = 0;
  std::size_t align_bytes = cache_line;  // a power of two
  socket_id socket = any_socket;
};

struct zone_info {
  std::string name;
  zone_kind kind{};
  std::uint64_t layout = 0;
  void* address = nullptr;  // the same in every member
  std::size_t size_bytes = 0;
  socket_id socket = any_socket;
  std::uint32_t index = 0;  // entry in the directory
};

/// A zone that is being made: invisible to lookups until publish().  Destroyed unpublished, or owned by a process that
/// dies, it goes back to the heap.
class zone_builder {
 public:
  zone_builder(group& g, zone_info info) noexcept : group_(&g), info_(std::move(info)) {}
  zone_builder(zone_builder&& other) noexcept
      : group_(std::exchange(other.group_, nullptr)), info_(std::move(other.info_)) {}
  zone_builder& operator=(zone_builder&&) = delete;
  ~zone_builder();
  [[nodiscard]] void* address() const noexcept { return info_.address; }
  [[nodiscard]] const zone_info& info() const noexcept { return info_; }
  /// Makes the zone visible.  What was written before is seen by whoever finds it.  Throws not_found if not ours.
  zone_info publish();

 private:
  group* group_;
  zone_info info_;
};

/// Reserves a zeroed zone.  Throws exists, no_memory, limit, invalid_argument; nothing is reserved after a throw.
[[nodiscard]] zone_builder reserve_zone(group& g, const zone_spec& spec);

/// Finds a published zone; empty where there is none.  Throws incompatible where `layout` is given and differs.
[[nodiscard]] std::optional<zone_info> find_zone(group& g, zone_kind kind, std::string_view name,
                                                 std::uint64_t layout = 0);

/// Finds the zone or makes it.  `format` runs in the one process that makes it, before anyone can see it.  A member
/// that is making it at the moment is waited for (bounded: throws timed_out naming it), its death makes this call take
/// over.
zone_info find_or_reserve_zone(group& g, const zone_spec& spec, const std::function<void(void*)>& format);

/// Gives a published zone back.  The caller makes sure that nobody uses it any more.  Throws not_found where it is
/// gone.
void free_zone(group& g, const zone_info& zone);

/// All published zones, of one kind or of all, by name.
[[nodiscard]] std::vector<zone_info> list_zones(group& g, std::optional<zone_kind> kind = {});

}  // namespace mpnet
