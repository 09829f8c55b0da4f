// SPDX-License-Identifier: BSD-3-Clause
// The directory of named zones.  Entries change under the control lock; a zone that is being made belongs to its maker
// until it is published, and goes back to the heap when the maker dies first.
#include <fmt/format.h>
#include <mpnet/cycles.hpp>
#include <mpnet/error.hpp>
#include <mpnet/group_view.hpp>
#include <mpnet/memzone.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <ctime>

#include "mem/conductor.hpp"
#include "mem/heap.hpp"
#include "mem/local_state.hpp"
#include "mem/membership.hpp"
#include "mem/runtime_dir.hpp"
#include "mem/zone.hpp"

namespace mpnet {
namespace {

using mem::transaction;
using mem::zone_entry;

constexpr std::uint64_t builder_patience_ns = 5'000'000'000;

struct packed_name {
  std::uint64_t words[8] = {};
  explicit packed_name(std::string_view name) { std::memcpy(words, name.data(), std::min(name.size(), max_name_len)); }
};

/// The entry of that kind and name in any state but free; under the lock.
std::optional<std::uint32_t> search(const mem::control& c, zone_kind kind, std::string_view name) {
  const packed_name wanted{name};
  for (std::uint32_t i = 0; i < c.zones_used; ++i) {
    const zone_entry& z = c.zones[i];
    if (z.state != mem::zone_free && z.kind == static_cast<std::uint64_t>(kind) &&
        std::memcmp(z.name, wanted.words, sizeof z.name) == 0) {
      return i;
    }
  }
  return std::nullopt;
}

void check_layout(const zone_info& zone, std::uint64_t layout) {
  if (layout != 0 && zone.layout != 0 && layout != zone.layout) {
    throw error{errc::incompatible,
                fmt::format("{} '{}': exists with another type or layout; use another name, or the type "
                            "that it was made with",
                            name_of(zone.kind), zone.name)};
  }
}

void clear_entry(transaction& tx, std::uint32_t index) {
  zone_entry& z = tx.shared().zones[index];
  mem::give_block(tx, z.block);
  tx.set(z.state, mem::zone_free);
  tx.set(z.owner, 0);
  tx.set(tx.shared().zones_taken, tx.shared().zones_taken - 1);
}

std::uint32_t maker_of(const zone_entry& z) {
  return static_cast<std::uint32_t>(z.owner & 0xffffffff) - 1;
}

/// Whether its maker died before it published it, and nobody has recovered that yet.
bool is_abandoned(const group& g, const zone_entry& z) {
  return z.state == mem::zone_building &&
         mem::is_process_dead(g, maker_of(z), static_cast<std::uint32_t>(z.owner >> 32));
}

/// Whether the zone is still this member's to publish or to drop.  A builder may be a copy that a forked member has of
/// its parent's, or the second one of a zone: the place may be the parent's, published, or another zone's by now.
bool is_being_made(const transaction& tx, const zone_info& zone) {
  const zone_entry& z = tx.shared().zones[zone.index];
  const mem::local_state& local = tx.owner().local();
  return z.state == mem::zone_building && z.owner == mem::owner_word(local.slot, local.incarnation) &&
         z.address == reinterpret_cast<std::uint64_t>(zone.address) &&
         search(tx.shared(), zone.kind, zone.name) == zone.index;
}

/// Fills a free entry; the caller holds the lock and commits.
std::uint32_t fill_entry(transaction& tx, const zone_spec& spec) {
  mem::control& c = tx.shared();
  std::uint32_t index = 0;
  while (index < c.zones_used && c.zones[index].state != mem::zone_free) ++index;
  if (index == max_zones) {
    throw error{errc::limit, fmt::format("reserve {} '{}': the directory holds {} objects, its limit",
                                         name_of(spec.kind), spec.name, max_zones)};
  }
  if (index == c.zones_used) tx.set(c.zones_used, c.zones_used + 1);
  const std::uint64_t number = mem::take_block(tx, {.size = spec.size_bytes,
                                                    .align = spec.align_bytes,
                                                    .socket = spec.socket,
                                                    .owner = mem::zone_owner,
                                                    .used_bytes = spec.size_bytes});
  const mem::block& b = mem::block_at(c, number);
  zone_entry& z = c.zones[index];
  const packed_name name{spec.name};
  for (std::size_t i = 0; i < 8; ++i) tx.set(z.name[i], name.words[i]);
  const mem::local_state& local = tx.owner().local();
  tx.set(z.kind, static_cast<std::uint64_t>(spec.kind));
  tx.set(z.layout, spec.layout);
  tx.set(z.block, number);
  tx.set(z.address, tx.owner().base_address() + b.offset);
  tx.set(z.size, spec.size_bytes);
  tx.set(z.socket, c.segments[b.segment].socket);
  tx.set(z.owner, mem::owner_word(local.slot, local.incarnation));
  tx.set(z.state, mem::zone_building);
  tx.set(c.zones_taken, c.zones_taken + 1);
  return index;
}

}  // namespace

const char* name_of(zone_kind kind) noexcept {
  switch (kind) {
    case zone_kind::raw:
      return "memzone";
    case zone_kind::ring:
      return "ring";
    case zone_kind::pool:
      return "pool";
    case zone_kind::port_table:
      return "port table";
    case zone_kind::port:
      return "port";
    case zone_kind::message_endpoint:
      return "endpoint";
    case zone_kind::supervisor:
      return "supervisor";
    case zone_kind::bench:
      return "bench area";
  }
  return "zone";
}

zone_info mem::describe_zone(const control& c, std::uint32_t index) {
  const zone_entry& z = c.zones[index];
  zone_info info;
  const auto* name = reinterpret_cast<const char*>(z.name);
  info.name.assign(name, ::strnlen(name, max_name_len));
  info.kind = static_cast<zone_kind>(z.kind);
  info.layout = z.layout;
  info.address = reinterpret_cast<void*>(z.address);
  info.size_bytes = z.size;
  info.socket = static_cast<socket_id>(z.socket);
  info.index = index;
  return info;
}

zone_builder::~zone_builder() {
  if (group_ == nullptr || group_->local().forked) return;
  try {
    transaction tx{*group_};
    if (!is_being_made(tx, info_)) return;
    clear_entry(tx, info_.index);
    tx.commit();
  } catch (const error&) {
    // The lock cannot be had; recovery frees the zone when this process is gone.
  }
}

zone_info zone_builder::publish() {
  transaction tx{*group_};
  if (!is_being_made(tx, info_)) {
    throw error{
        errc::not_found,
        fmt::format("publish {} '{}': it is not this process's to publish: another builder of it was there first, or "
                    "the process that reserved it is the one that this one was forked from; reserve it anew",
                    name_of(info_.kind), info_.name)};
  }
  zone_entry& z = tx.shared().zones[info_.index];
  tx.set(z.owner, 0);
  tx.set(z.state, mem::zone_published);
  tx.commit();
  group_ = nullptr;
  return info_;
}

zone_builder reserve_zone(group& g, const zone_spec& spec) {
  mem::check_name(name_of(spec.kind), spec.name);
  if (spec.size_bytes == 0 || !std::has_single_bit(spec.align_bytes) || spec.align_bytes > (1ULL << 30)) {
    throw error{
        errc::invalid_argument,
        fmt::format("reserve {} '{}': size {} and alignment {}: the size must not be 0, the alignment a power of two "
                    "up to 1 GiB",
                    name_of(spec.kind), spec.name, spec.size_bytes, spec.align_bytes)};
  }
  std::optional<zone_builder> builder;
  {
    transaction tx{g};
    if (const auto taken = search(tx.shared(), spec.kind, spec.name);
        taken && is_abandoned(g, tx.shared().zones[*taken])) {
      clear_entry(tx, *taken);
      tx.commit();
    } else if (taken) {
      throw error{errc::exists, fmt::format("reserve {} '{}': the name is taken; look it up instead, or use another",
                                            name_of(spec.kind), spec.name)};
    }
    const std::uint32_t index = fill_entry(tx, spec);
    zone_info info = mem::describe_zone(tx.shared(), index);
    tx.commit();
    builder.emplace(g, std::move(info));
  }
  g.local().map->sync_extents();
  std::memset(builder->address(), 0, spec.size_bytes);
  return std::move(*builder);
}

std::optional<zone_info> find_zone(group& g, zone_kind kind, std::string_view name, std::uint64_t layout) {
  if (name.empty() || name.size() > max_name_len) return std::nullopt;
  const transaction tx{g};
  const auto index = search(tx.shared(), kind, name);
  if (!index || tx.shared().zones[*index].state != mem::zone_published) return std::nullopt;
  zone_info zone = mem::describe_zone(tx.shared(), *index);
  check_layout(zone, layout);
  g.local().map->sync_extents();
  return zone;
}

zone_info find_or_reserve_zone(group& g, const zone_spec& spec, const std::function<void(void*)>& format) {
  const std::uint64_t deadline = detail::monotonic_ns() + builder_patience_ns;
  for (;;) {
    if (auto found = find_zone(g, spec.kind, spec.name, spec.layout)) return *found;
    try {
      zone_builder builder = reserve_zone(g, spec);
      format(builder.address());
      return builder.publish();
    } catch (const error& e) {
      if (e.kind() != errc::exists) throw;
    }
    // Somebody makes it at this moment, or died making it.
    std::uint32_t maker = max_processes;
    {
      transaction tx{g};
      const auto index = search(tx.shared(), spec.kind, spec.name);
      if (!index || tx.shared().zones[*index].state == mem::zone_published) continue;
      if (is_abandoned(g, tx.shared().zones[*index])) continue;  // reserving it again takes it over
      maker = maker_of(tx.shared().zones[*index]);
    }
    if (detail::monotonic_ns() > deadline) {
      throw error{errc::timed_out, fmt::format("{} '{}': {} has been making it for 5 s; is it stopped?",
                                               name_of(spec.kind), spec.name, mem::describe_slot(g.control(), maker))};
    }
    const timespec nap{0, 100'000};  // formatting is short, and control path on both sides
    ::nanosleep(&nap, nullptr);
  }
}

void free_zone(group& g, const zone_info& zone) {
  std::optional<mem::recovery_pause> quiet;  // of raw zones recovery knows the names at most
  if (zone.kind != zone_kind::raw) quiet.emplace(g, "free a shared object");
  transaction tx{g};
  const auto index = search(tx.shared(), zone.kind, zone.name);
  // A zone that is being made is its maker's, even where it took the name and the place of the one that is meant.
  if (!index || *index != zone.index || tx.shared().zones[*index].state != mem::zone_published ||
      tx.shared().zones[*index].address != reinterpret_cast<std::uint64_t>(zone.address)) {
    throw error{errc::not_found, fmt::format("free {} '{}': it is gone already", name_of(zone.kind), zone.name)};
  }
  clear_entry(tx, *index);
  tx.commit();
}

std::vector<zone_info> list_zones(group& g, std::optional<zone_kind> kind) {
  std::vector<zone_info> zones;
  {
    const transaction tx{g};
    for (std::uint32_t i = 0; i < tx.shared().zones_used; ++i) {
      const zone_entry& z = tx.shared().zones[i];
      if (z.state == mem::zone_published && (!kind || z.kind == static_cast<std::uint64_t>(*kind))) {
        zones.push_back(mem::describe_zone(tx.shared(), i));
      }
    }
  }
  g.local().map->sync_extents();
  std::sort(zones.begin(), zones.end(), [](const zone_info& a, const zone_info& b) { return a.name < b.name; });
  return zones;
}

std::uint64_t mem::free_half_made_zones(transaction& tx, std::uint64_t owner) {
  std::uint64_t freed = 0;
  for (std::uint32_t i = 0; i < tx.shared().zones_used; ++i) {
    const zone_entry& z = tx.shared().zones[i];
    if (z.state != zone_building || z.owner != owner) continue;
    clear_entry(tx, i);
    tx.commit();
    ++freed;
  }
  return freed;
}

}  // namespace mpnet
