// SPDX-License-Identifier: BSD-3-Clause
// The control segment: the shared half of a group, at the region's base address in every member.
//
// Everything below `control_lock` changes under that lock and through the undo journal (journal.hpp), as 64-bit words;
// slots and leases have protocols of their own (membership.cpp, lease.cpp).  The first fields of config_header sit at
// frozen offsets, so that any build can tell why it cannot share the group.
#pragma once

#include <mpnet/detail/lease.hpp>
#include <mpnet/types.hpp>

#include <array>
#include <atomic>
#include <cstdint>

namespace mpnet::mem {

inline constexpr std::uint64_t config_magic = 0x006e'6f63'7465'6e70ULL;  // "pnetcon"
inline constexpr std::uint32_t config_version = 1;
inline constexpr std::size_t control_window_bytes = 1ULL << 30;
inline constexpr std::size_t granule_bytes_min = 2ULL << 20;
inline constexpr std::size_t max_granules = 65536;  // of a segment
inline constexpr std::size_t max_blocks = 1ULL << 20;
inline constexpr std::size_t size_classes = 40;
inline constexpr std::size_t journal_entries = 1024;
inline constexpr std::size_t max_recovery_records = 256;
inline constexpr std::size_t path_bytes = 256;

/// Written once by the process that makes the group, before the config file gets its name; then only read.
struct config_header {
  std::uint64_t magic;         // frozen
  std::uint32_t version;       // frozen
  std::uint32_t header_bytes;  // frozen
  std::uint64_t layout;        // frozen
  char boot_id[40];            // frozen
  std::uint64_t base_address;
  std::uint64_t region_bytes;
  std::uint64_t memory_channels;
  std::uint64_t clock_hz;
  std::uint64_t clock_is_tsc;
  std::uint64_t no_huge;
  std::uint64_t legacy_mem;
  std::uint64_t cap_bytes;  // 0: none
  std::array<std::uint64_t, max_sockets> socket_cap_bytes;
  std::uint64_t sockets_capped;  // whether --socket-mem was given
  std::uint64_t segment_count;
  char file_prefix[max_name_len + 1];
  char devices[2048];  // canonical device options of the primary
};

/// One file of one page size on one NUMA node.  Fixed at creation but for `committed`.
struct segment {
  std::uint64_t page_bytes;
  std::uint64_t granule_bytes;  // what it grows and shrinks by: a multiple of page_bytes
  std::uint64_t window_offset;  // from the region's base
  std::uint64_t window_bytes;
  std::uint64_t socket;
  std::uint64_t committed;    // granules; journaled
  std::uint64_t first_block;  // of the list by address; block numbers are 1-based
  std::uint64_t spare;
  std::array<std::uint64_t, size_classes> free_lists;  // journaled
  char path[path_bytes];
  std::array<std::atomic<std::uint64_t>, max_granules / 64> published;  // a bit each committed granule; journaled
};

enum block_state : std::uint64_t { block_unused, block_hole, block_free, block_taken };

/// A piece of a segment's window: a hole, free memory, or somebody's.  Journaled.
struct block {
  std::uint64_t offset;  // from the region's base
  std::uint64_t size;
  std::uint64_t state;  // block_state
  std::uint64_t owner;  // 0: the group; else owner_word of the process
  std::uint64_t segment;
  std::uint64_t next;  // by address; while unused: the next unused one
  std::uint64_t previous;
  std::uint64_t next_free;
  std::uint64_t previous_free;
  std::uint64_t used_bytes;  // asked for
};

enum zone_state : std::uint64_t { zone_free, zone_building, zone_published };

/// An entry of the directory.  Journaled.
struct zone_entry {
  std::uint64_t name[8];  // max_name_len bytes and a zero
  std::uint64_t state;    // zone_state
  std::uint64_t kind;
  std::uint64_t layout;
  std::uint64_t block;
  std::uint64_t address;
  std::uint64_t size;
  std::uint64_t socket;
  std::uint64_t owner;  // owner_word of the builder; 0 once published
};
static_assert(sizeof(zone_entry) == 128);

enum slot_state : std::uint32_t { slot_free, slot_joining, slot_live, slot_leaving, slot_dead };

/// A member.  Written by the process that holds the slot's byte lock, and by recovery once nobody does.
struct alignas(cache_line) process_slot {
  std::atomic<std::uint32_t> state;
  std::atomic<std::uint32_t> incarnation;  // grows with each owner; never 0 while owned
  std::int32_t pid;                        // in the owner's own PID namespace
  std::uint32_t uid;
  std::uint64_t start_ticks;    // /proc/PID/stat, field 22
  std::uint64_t joined_ns;      // CLOCK_REALTIME
  std::uint64_t pid_namespace;  // inode
  char command[80];
};

/// A file change that cannot be undone by the journal: granules that are being added or given back.  Whoever takes the
/// lock after a death punches those of them that are not published.
struct extent_intent {
  std::uint64_t segment;  // 1-based; 0: none.  Written last, cleared last
  std::uint64_t first;
  std::uint64_t count;
};

struct journal {
  std::uint64_t count;
  struct entry {
    std::uint64_t address;
    std::uint64_t old_value;
  } entries[journal_entries];
};

/// What a recovery did, for people.
struct recovery_record {
  std::uint64_t sequence;     // 0: never written
  std::uint64_t finished_ns;  // CLOCK_REALTIME
  std::uint64_t duration_ns;
  std::uint64_t slot, incarnation, pid, conductor_pid;
  std::uint64_t rolled_back, rolled_forward, objects_returned, zones_freed, blocks_freed, queues_released;
  std::uint64_t leases;
  std::uint64_t whole_process;  // 0: threads of a living one
  char command[80];
};

struct control {
  config_header config;

  alignas(cache_line) std::atomic<std::uint32_t> control_lock;  // futex: slot + 1, incarnation << 16; 0: free
  std::atomic<std::uint32_t> control_waiters;
  alignas(cache_line) std::atomic<std::uint32_t> primary_slot;  // slot + 1 of the role's holder, for naming; 0: vacant
  std::atomic<std::uint32_t> recovery_requests;
  std::atomic<std::uint64_t> group_epoch;      // counts joins, leaves, deaths and role changes
  std::atomic<std::uint64_t> extent_epoch;     // counts published and withdrawn extents
  std::atomic<std::uint64_t> locks_inherited;  // control locks taken from the dead; for people
  std::atomic<std::uint64_t> journals_undone;  // of these, in the middle of a change; for people
  std::uint64_t recovery_sequence;
  std::array<recovery_record, max_recovery_records> recoveries;

  alignas(cache_line) std::array<process_slot, max_processes> slots;
  alignas(cache_line) std::array<detail::lease, max_leases> leases;

  alignas(cache_line) journal undo;
  extent_intent intent;
  std::uint64_t zones_used;   // entries beyond this were never taken; journaled
  std::uint64_t zones_taken;  // journaled
  std::array<zone_entry, max_zones> zones;
  std::uint64_t blocks_used;       // journaled
  std::uint64_t unused_blocks;     // head of the list; journaled
  std::uint64_t blocks_allocated;  // block_taken ones; journaled
  std::uint64_t bytes_used;        // asked for, in taken blocks; journaled
  std::array<segment, max_segments> segments;
  alignas(4096) std::array<block, max_blocks> blocks;  // backed by the file as far as it is used
};

/// Who holds something: slot and incarnation in one word, never 0.
[[nodiscard]] constexpr std::uint64_t owner_word(std::uint32_t slot, std::uint32_t incarnation) noexcept {
  return (std::uint64_t{incarnation} << 32) | (slot + 1);
}

static_assert(offsetof(config_header, layout) == 16 && offsetof(config_header, boot_id) == 24, "frozen");
static_assert(sizeof(control) < control_window_bytes);

}  // namespace mpnet::mem
