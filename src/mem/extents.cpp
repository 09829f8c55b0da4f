// SPDX-License-Identifier: BSD-3-Clause
#include "mem/extents.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "mem/hugetlb.hpp"
#include "mem/local_state.hpp"

namespace mpnet::mem {
namespace {

constexpr std::uint64_t block_step = 4096;  // descriptors backed at a time

std::uint64_t committed_bytes(const control& c, std::optional<std::uint64_t> socket) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < c.config.segment_count; ++i) {
    const segment& s = c.segments[i];
    if (!socket || s.socket == *socket) sum += s.committed * s.granule_bytes;
  }
  return sum;
}

/// Throws no_memory where the change would pass a cap.
void check_caps(const control& c, const segment& s, std::uint64_t bytes) {
  const std::uint64_t total = committed_bytes(c, {});
  if (c.config.cap_bytes != 0 && total + bytes > c.config.cap_bytes) {
    throw error{errc::no_memory,
                fmt::format("the group's cap of {} MiB is reached ({} MiB in use); start the group with a "
                            "larger -m",
                            c.config.cap_bytes >> 20, total >> 20)};
  }
  if (c.config.sockets_capped == 0) return;
  const std::uint64_t cap = c.config.socket_cap_bytes[s.socket];
  const std::uint64_t on_socket = committed_bytes(c, s.socket);
  if (on_socket + bytes > cap) {
    throw error{errc::no_memory, fmt::format("the cap of {} MiB on socket {} is reached; start the group with a larger "
                                             "--socket-mem",
                                             cap >> 20, s.socket)};
  }
}

void set_published(transaction& tx, segment& s, std::uint64_t first, std::uint64_t count, bool on) {
  for (std::uint64_t g = first; g < first + count;) {
    const std::uint64_t word = g / 64;
    const std::uint64_t bits = std::min(64 - g % 64, first + count - g);
    const std::uint64_t mask = (bits == 64 ? ~0ULL : (1ULL << bits) - 1) << (g % 64);
    // relaxed: under the lock
    const std::uint64_t old = s.published[word].load(std::memory_order_relaxed);
    tx.set(s.published[word], on ? old | mask : old & ~mask);
    g += bits;
  }
}

}  // namespace

void commit_granules(transaction& tx, std::size_t index, std::uint64_t first, std::uint64_t count) {
  group& g = tx.owner();
  segment& s = tx.shared().segments[index];
  const std::uint64_t bytes = count * s.granule_bytes;
  check_caps(tx.shared(), s, bytes);
  tx.announce(index, first, count);
  int failed = 0;
  on_node(static_cast<int>(s.socket), [&] {
    failed = allocate_file(g.local().map->segment_fd(index), first * s.granule_bytes, bytes, s.page_bytes);
  });
  if (failed != 0) {
    tx.settle();  // the caller may try elsewhere, and announce that
    const bool huge = s.page_bytes > 4096;
    throw error{errc::no_memory,
                fmt::format("{} more pages of {} kB on socket {}: {}; {}", bytes / s.page_bytes, s.page_bytes >> 10,
                            s.socket, failed == ENOSPC ? "none are free" : std::strerror(failed),
                            huge ? "reserve more: " + reserve_command(s.page_bytes)
                                 : "free space on the tmpfs that holds " + std::string{s.path})};
  }
  void* const address = reinterpret_cast<void*>(g.base_address() + s.window_offset + first * s.granule_bytes);
  g.local().map->open_extent(index, first, count);
  notify_observers(g, address, bytes, s.page_bytes, true);
  set_published(tx, s, first, count, true);
  tx.set(s.committed, s.committed + count);
  // [R-extent] pairs with [A-extent] in region.cpp.
  tx.shared().extent_epoch.fetch_add(1, std::memory_order_release);
}

void withdraw_granules(transaction& tx, std::size_t index, std::uint64_t first, std::uint64_t count) {
  segment& s = tx.shared().segments[index];
  tx.announce(index, first, count);
  set_published(tx, s, first, count, false);
  tx.set(s.committed, s.committed - count);
  tx.shared().extent_epoch.fetch_add(1, std::memory_order_release);  // [R-extent]
}

std::uint64_t committable_bytes(group& g, std::size_t index) {
  const control& c = g.control();
  const segment& s = c.segments[index];
  std::uint64_t room = ~0ULL;
  if (c.config.cap_bytes != 0)
    room = std::min(room, c.config.cap_bytes - std::min(c.config.cap_bytes, committed_bytes(c, {})));
  if (c.config.sockets_capped != 0) {
    const std::uint64_t cap = c.config.socket_cap_bytes[s.socket];
    room = std::min(room, cap - std::min(cap, committed_bytes(c, s.socket)));
  }
  if (s.page_bytes > 4096) {
    room = std::min(room, free_hugepages(s.page_bytes, static_cast<int>(s.socket)) * s.page_bytes);
  } else if (room == ~0ULL) {
    room = 0;  // all of a tmpfs is nobody's wish
  }
  return room & ~(s.granule_bytes - 1);
}

void back_blocks(group& g, std::uint64_t count) {
  if (count % block_step != 1 && count != 1) return;
  const std::uint64_t offset = offsetof(control, blocks) + (count - 1) / block_step * block_step * sizeof(block);
  const int failed = allocate_file(g.local().config_fd.get(), offset, block_step * sizeof(block), 4096);
  if (failed != 0) {
    throw error{errc::no_memory,
                fmt::format("{}/config: {}; free space there", g.local().shared_dir, std::strerror(failed))};
  }
}

void notify_observers(group& g, void* address, std::size_t bytes, std::uint64_t page_bytes, bool added) {
  const std::lock_guard guard{g.local().observers_mutex};
  for (const auto& [number, observer] : g.local().observers) observer(address, bytes, page_bytes, added);
}

int add_extent_observer(group& g, extent_observer observer) {
  const std::lock_guard guard{g.local().observers_mutex};
  const int number = g.local().next_observer++;
  g.local().observers.emplace_back(number, std::move(observer));
  return number;
}

void remove_extent_observer(group& g, int number) noexcept {
  const std::lock_guard guard{g.local().observers_mutex};
  std::erase_if(g.local().observers, [number](const auto& o) { return o.first == number; });
}

void for_each_extent(group& g, const std::function<void(void*, std::size_t, std::uint64_t)>& visit) {
  const transaction tx{g};
  g.local().map->sync_extents();
  const control& c = tx.shared();
  for (std::size_t i = 0; i < c.config.segment_count; ++i) {
    const segment& s = c.segments[i];
    const std::uint64_t granules = s.window_bytes / s.granule_bytes;
    const auto published = [&s](std::uint64_t granule) {
      // relaxed: under the lock
      return ((s.published[granule / 64].load(std::memory_order_relaxed) >> (granule % 64)) & 1) != 0;
    };
    for (std::uint64_t first = 0; first < granules;) {
      std::uint64_t last = first;
      while (last < granules && published(last)) ++last;
      if (last > first) {
        visit(reinterpret_cast<void*>(g.base_address() + s.window_offset + first * s.granule_bytes),
              (last - first) * s.granule_bytes, s.page_bytes);
      }
      first = last + 1;
    }
  }
}

}  // namespace mpnet::mem
