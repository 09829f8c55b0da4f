// SPDX-License-Identifier: BSD-3-Clause
// How an endpoint sees a group: membership read from the slots, and the group's memory on offer for members that
// cannot open its files.
#include <dirent.h>
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "ipc/endpoint.hpp"
#include "mem/conductor.hpp"
#include "mem/fault.hpp"
#include "mem/local_state.hpp"
#include "mem/membership.hpp"

namespace mpnet::ipc {
namespace {

std::optional<member> find_member(const group& g, process_id id) {
  const auto slot = static_cast<std::uint32_t>(id);
  if (slot >= max_processes) return std::nullopt;
  const mem::control& c = g.control();
  const mem::process_slot& s = c.slots[slot];
  // [A-slot] pairs with [R-slot] in entry.cpp: the incarnation belongs to the process that is live here
  if (s.state.load(std::memory_order_acquire) != mem::slot_live) return std::nullopt;
  // relaxed, both: ordered by the load above; a change in between is a death or a new role, seen next time
  const std::uint32_t incarnation = s.incarnation.load(std::memory_order_relaxed);
  const bool primary = c.primary_slot.load(std::memory_order_relaxed) == slot + 1;
  if (mem::is_process_dead(g, slot, incarnation)) return std::nullopt;
  return member{id, incarnation, primary};
}

process_id holder_of(const group& g, lcore id) {
  const auto index = static_cast<std::size_t>(id);
  if (index >= max_lcores) return no_process;
  const detail::lease& l = g.control().leases[index];
  // relaxed, both: a snapshot; whoever holds it now may be gone when the message arrives
  if (l.state.load(std::memory_order_relaxed) != detail::lease_taken || detail::is_dead(l)) return no_process;
  return process_id{l.slot.load(std::memory_order_relaxed)};
}

membership membership_of(group& g) {
  membership m;
  m.find = [&g](process_id id) { return find_member(g, id); };
  m.find_primary = [&g]() -> std::optional<member> {
    // relaxed: a snapshot
    const std::uint32_t holder = g.control().primary_slot.load(std::memory_order_relaxed);
    return holder == 0 ? std::nullopt : find_member(g, process_id{static_cast<std::uint16_t>(holder - 1)});
  };
  m.list = [&g] {
    std::vector<member> all;
    for (std::uint16_t i = 0; i < max_processes; ++i) {
      if (auto one = find_member(g, process_id{i})) all.push_back(*one);
    }
    return all;
  };
  m.alive = [&g](process_id id, std::uint64_t incarnation) {
    return !mem::is_process_dead(g, static_cast<std::uint32_t>(id), static_cast<std::uint32_t>(incarnation));
  };
  m.holder = [&g](lcore id) { return holder_of(g, id); };
  return m;
}

constexpr std::string_view socket_stem = "ipc";

/// A slot's owner is gone and its successor not there yet: whatever carries the slot's number is a leftover.
void remove_sockets_of(const std::string& runtime_dir, std::uint32_t slot) noexcept {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir{::opendir(runtime_dir.c_str()), ::closedir};
  while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
    const std::string_view name{entry->d_name};
    char start[32];
    const auto size = static_cast<std::size_t>(fmt::format_to_n(start, sizeof start, "{}.{}.", socket_stem, slot).size);
    if (name.starts_with(std::string_view{start, size})) ::unlinkat(::dirfd(dir.get()), entry->d_name, 0);
  }
}

/// What a death is told to this layer for.
void take_part_in_deaths() {
  mem::at_crash(&hang_up_all);
  mem::at_burial(&remove_sockets_of);
}

endpoint_options options_of(group& g, std::function<void()> on_thread_start,
                            std::function<void(process_id, std::uint64_t)> on_peer_lost) {
  take_part_in_deaths();
  endpoint_options o;
  o.place = {g.runtime_dir(), std::string{socket_stem}};
  o.self = {g.self(), g.local().incarnation, g.is_primary()};
  o.on_thread_start = std::move(on_thread_start);
  o.on_peer_lost = std::move(on_peer_lost);
  // What a process that has no hugetlbfs, or another one, fetches while it attaches.
  for (std::size_t i = 0; i < g.control().config.segment_count; ++i) {
    if (const int fd = g.local().map->segment_fd(i); fd >= 0) publish_fds(fmt::format("segment:{}", i), {&fd, 1});
  }
  return o;
}

}  // namespace

endpoint::endpoint(group& g, std::function<void()> on_thread_start,
                   std::function<void(process_id, std::uint64_t)> on_peer_lost)
    : endpoint(options_of(g, std::move(on_thread_start), std::move(on_peer_lost)), membership_of(g)) {}

void fetch_memory_from_members() {
  mem::foreign_fd_source = [](const std::string& runtime_dir, const std::string& key) {
    constexpr auto patience = std::chrono::seconds{10};
    auto bundle = fetch_fds({runtime_dir, std::string{socket_stem}}, key, patience);
    return bundle && !bundle->fds.empty() ? std::move(bundle->fds.front()) : unique_fd{};
  };
}

}  // namespace mpnet::ipc
