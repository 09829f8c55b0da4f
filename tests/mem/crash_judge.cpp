// SPDX-License-Identifier: BSD-3-Clause
#include "crash_judge.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <map>
#include <set>

#include "mem/local_state.hpp"
#include "mem/zone.hpp"

namespace mpnet::test {
namespace {

using mem::block;
using mem::control;
using mem::segment;

bool published(const segment& s, std::uint64_t granule) {
  return ((s.published[granule / 64].load() >> (granule % 64)) & 1) != 0;
}

std::size_t list_of(std::uint64_t size) {
  return std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(size / 64)) - 1, mem::size_classes - 1);
}

/// Walks one segment after another and recounts what the control segment says about them.
class heap_walk {
 public:
  heap_walk(const group& g, const std::vector<std::uint32_t>& living) : g_(g), c_(g.control()), living_(living) {}

  void run() {
    for (std::size_t i = 0; i < c_.config.segment_count; ++i) {
      walk(i);
      check_pages(i);
      check_free_lists(i);
    }
    check_unused();
    require(taken_ == c_.blocks_allocated, "{} blocks taken, the statistics say {}", taken_, c_.blocks_allocated);
    require(used_ == c_.bytes_used, "{} bytes used, the statistics say {}", used_, c_.bytes_used);
  }

  /// Each block of a zone in one zone.
  void check_zones() {
    std::uint64_t taken = 0;
    for (std::uint32_t i = 0; i < max_zones; ++i) {
      const mem::zone_entry& z = c_.zones[i];
      if (z.state == mem::zone_free) continue;
      ++taken;
      const std::string name = mem::describe_zone(c_, i).name;
      require(i < c_.zones_used, "a zone beyond the used part of the directory");
      require(zone_blocks_.erase(z.block) == 1, "zone '{}' has no block of its own", name);
      const block& b = c_.blocks[z.block - 1];
      require(z.address == g_.base_address() + b.offset && z.size <= b.size, "zone '{}': wrong address", name);
      require(z.state == mem::zone_published || owner_lives(z.owner), "zone '{}' is half made", name);
    }
    require(taken == c_.zones_taken, "{} zones, the statistics say {}", taken, c_.zones_taken);
    require(zone_blocks_.empty(), "{} blocks belong to zones that are not there", zone_blocks_.size());
  }

 private:
  bool owner_lives(std::uint64_t owner) const {
    const auto slot = static_cast<std::uint32_t>(owner) - 1;
    return std::find(living_.begin(), living_.end(), slot) != living_.end() &&
           c_.slots[slot].incarnation == static_cast<std::uint32_t>(owner >> 32);
  }

  const block& at(std::uint64_t number) const {
    require(number != 0 && number <= c_.blocks_used, "a link to block {} of {}", number, c_.blocks_used);
    return c_.blocks[number - 1];
  }

  void walk(std::size_t index) {
    const segment& s = c_.segments[index];
    std::uint64_t offset = s.window_offset, previous = 0, state_before = mem::block_taken;
    covered_.clear();
    free_.clear();
    for (std::uint64_t n = s.first_block; n != 0; n = at(n).next) {
      const block& b = at(n);
      require(seen_.insert(n).second, "the list of blocks has a loop");
      require(b.offset == offset && b.previous == previous && b.segment == index && b.size != 0,
              "block {} does not follow the one in front", n);
      require(b.state == mem::block_taken || b.state != state_before, "block {} is not merged", n);
      account(n, b, s);
      offset += b.size;
      previous = n;
      state_before = b.state;
    }
    require(offset == s.window_offset + s.window_bytes, "the blocks do not cover the window");
  }

  void account(std::uint64_t n, const block& b, const segment& s) {
    if (b.state == mem::block_hole) return;
    for (std::uint64_t g = (b.offset - s.window_offset) / s.granule_bytes;
         g <= (b.offset + b.size - 1 - s.window_offset) / s.granule_bytes; ++g) {
      covered_.insert(g);
    }
    if (b.state == mem::block_free) free_.insert(n);
    if (b.state != mem::block_taken) return;
    ++taken_;
    used_ += b.used_bytes;
    if (b.owner == mem::zone_owner) zone_blocks_.insert(n);
    require(b.owner == 0 || b.owner == mem::zone_owner || owner_lives(b.owner), "block {} belongs to a dead process",
            n);
  }

  void check_pages(std::size_t index) const {
    const segment& s = c_.segments[index];
    std::uint64_t count = 0;
    for (std::uint64_t g = 0; g < s.window_bytes / s.granule_bytes; ++g) {
      if (g % 64 == 0 && s.published[g / 64].load() == 0) {
        g += 63;
        continue;
      }
      if (!published(s, g)) continue;
      ++count;
      require(covered_.contains(g), "granule {} is published, and a hole", g);
    }
    require(count == covered_.size(), "{} granules are in use, {} published", covered_.size(), count);
    require(count == s.committed, "{} granules are published, the statistics say {}", count, s.committed);
    struct stat st {};
    require(::fstat(g_.local().map->segment_fd(index), &st) == 0, "the segment's file cannot be examined");
    const std::uint64_t bytes = static_cast<std::uint64_t>(st.st_blocks) * 512;
    require(bytes == count * s.granule_bytes, "{} granules are published, the file has {} kB", count, bytes >> 10);
  }

  void check_free_lists(std::size_t index) {
    for (std::size_t list = 0; list < mem::size_classes; ++list) {
      std::uint64_t previous = 0;
      for (std::uint64_t n = c_.segments[index].free_lists[list]; n != 0; n = at(n).next_free) {
        require(free_.erase(n) == 1, "block {} is on a free list and not free, or twice", n);
        require(list_of(at(n).size) == list && at(n).previous_free == previous, "block {} is on a wrong list", n);
        previous = n;
      }
    }
    require(free_.empty(), "{} free blocks are on no list", free_.size());
  }

  void check_unused() {
    for (std::uint64_t n = c_.unused_blocks; n != 0; n = at(n).next) {
      require(seen_.insert(n).second, "an unused block is in use, or twice on its list");
      require(at(n).state == mem::block_unused, "block {} is on the list of unused ones", n);
    }
    require(seen_.size() == c_.blocks_used, "{} block descriptors are lost", c_.blocks_used - seen_.size());
  }

  const group& g_;
  const control& c_;
  const std::vector<std::uint32_t>& living_;
  std::set<std::uint64_t> seen_, covered_, free_, zone_blocks_;
  std::uint64_t taken_ = 0, used_ = 0;
};

void check_members(const control& c, const std::vector<std::uint32_t>& living) {
  const auto lives = [&](std::uint32_t slot) { return std::find(living.begin(), living.end(), slot) != living.end(); };
  for (std::uint32_t i = 0; i < max_processes; ++i) {
    const std::uint32_t state = c.slots[i].state;
    require(lives(i) ? state == mem::slot_live : state == mem::slot_free, "slot {} is in state {}", i, state);
  }
  for (std::size_t i = 0; i < max_leases; ++i) {
    auto& l = const_cast<detail::lease&>(c.leases[i]);
    if (l.state == detail::lease_free) {
      require(detail::alive_word(l) == 0, "lease {} is free, its futex word is not", i);
      continue;
    }
    throw std::runtime_error{
        fmt::format("lease {} is left behind in state {} by slot {}", i, l.state.load(), l.slot.load())};
  }
  const std::uint32_t role = c.primary_slot;
  require(role == 0 || lives(role - 1), "slot {} has the primary role", role - 1);
}

}  // namespace

void check_group(const group& g, const std::vector<std::uint32_t>& living) {
  const control& c = g.control();
  require(c.control_lock == 0, "the control lock is held");
  require(c.undo.count == 0, "the journal is not empty");
  require(c.intent.segment == 0, "an announcement is left");
  check_members(c, living);
  heap_walk walk{g, living};
  walk.run();
  walk.check_zones();
}

std::string contents(const group& g) {
  const control& c = g.control();
  std::string text;
  for (std::uint32_t i = 0; i < c.zones_used; ++i) {
    if (c.zones[i].state != mem::zone_published) continue;
    const zone_info z = mem::describe_zone(c, i);
    text += fmt::format("zone {} kind {} size {} at {}; ", z.name, static_cast<int>(z.kind), z.size_bytes, z.address);
  }
  std::map<std::uint64_t, std::uint64_t> blocks;
  for (std::uint64_t n = 1; n <= c.blocks_used; ++n) {
    const block& b = c.blocks[n - 1];
    if (b.state == mem::block_taken && b.owner == 0) blocks[b.offset] = b.used_bytes;
  }
  for (const auto& [offset, used] : blocks) text += fmt::format("block at {:#x} of {}; ", offset, used);
  return text;
}

std::vector<std::string> kinds_of_repair() {
  return {"blocks of the dead", "changes undone",   "growths undone",   "leases held",
          "leases half taken",  "locks taken over", "shrinks finished", "slots half buried",
          "slots joining",      "slots leaving",    "slots live",       "zones half made"};
}

void count_repairs(const group& g, crash_run& run) {
  const control& c = g.control();
  const std::uint32_t self = g.local().slot;
  if (c.undo.count != 0) run.repaired("changes undone", 1);
  if (c.control_lock != 0) run.repaired("locks taken over", 1);
  if (c.intent.segment != 0) {
    const segment& s = c.segments[c.intent.segment - 1];
    std::uint64_t open = 0;
    for (std::uint64_t i = c.intent.first; i < c.intent.first + c.intent.count; ++i) open += published(s, i) ? 1 : 0;
    // What was withdrawn is final once the journal is empty; what was not published by then never came about.
    if (c.undo.count == 0 && open == 0) run.repaired("shrinks finished", 1);
    if (c.undo.count != 0) run.repaired("growths undone", 1);
  }
  for (std::uint32_t i = 0; i < c.zones_used; ++i)
    if (c.zones[i].state == mem::zone_building) run.repaired("zones half made", 1);
  for (std::uint64_t n = 1; n <= c.blocks_used; ++n) {
    const block& b = c.blocks[n - 1];
    const bool is_owned = b.state == mem::block_taken && b.owner != 0 && b.owner != mem::zone_owner;
    if (is_owned && static_cast<std::uint32_t>(b.owner) - 1 != self) run.repaired("blocks of the dead", 1);
  }
  for (const detail::lease& l : c.leases) {
    if (l.state == detail::lease_free) continue;
    run.repaired(detail::is_dead(l) ? "leases held" : "leases half taken", 1);
  }
  const char* const states[] = {"", "slots joining", "slots live", "slots leaving", "slots half buried"};
  for (std::uint32_t i = 0; i < max_processes; ++i)
    if (i != self && c.slots[i].state != mem::slot_free) run.repaired(states[c.slots[i].state], 1);
}

}  // namespace mpnet::test
