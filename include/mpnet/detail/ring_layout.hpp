// SPDX-License-Identifier: BSD-3-Clause
// A ring as it lies in shared memory, and what can be done to it without knowing its element type.
//
// Positions count objects since the ring was made, modulo 2^40 (three hours at 100 million objects a second, long
// enough that no stopped process meets its own position again).  A side (producer or consumer) owns two blocks: `own`,
// touched by that side alone, and `published`, one position, written by that side and read by the other when its cached
// copy has run out.  Blocks are 128 bytes apart because processors fetch lines in pairs.
#pragma once

#include <mpnet/detail/lease.hpp>
#include <mpnet/types.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace mpnet {

/// How many threads, of any process, work on one side of a ring at the same time.
enum class ring_sync : std::uint8_t {
  /// One.  Nothing is ever claimed, so nobody's death needs a repair: the next thread continues where the dead one
  /// published.  The application sees to it that there is one; handing the side to another thread is allowed at any
  /// time when the former has stopped using it.
  single,
  /// Any number; they take turns (the default).  An operation claims its side, copies, publishes.  While it does,
  /// others wait: for a few hundred cycles, or, if the owner was stopped in the middle, for a bounded time, then they
  /// return 0.  If it died, they repair at once and go on.  Fastest under little contention and with more threads than
  /// processors.
  many,
  /// Any number, side by side: the ring has eight lanes, each with the full capacity.  The first six producers hold
  /// one each until they end or die, and put without an atomic instruction; those who come when all are held share
  /// the other two in turn.  Consumers look first where they last found something, and see to it that no lane
  /// starves.  Threads do not wait for each other, and a stopped one holds up one side of one lane only.  Order: what
  /// one thread puts in is taken out in the order in which it was put in, whoever dies; between different threads
  /// there is no order.  The exception: a producer that shares a lane steps aside when somebody who is stopped has
  /// the turn, and what it puts into the other lane may be taken out before or after what it has in its own.  What it
  /// costs besides: dequeue_bulk() takes from one lane; the memory is that of all lanes; no zero-copy calls.
  many_concurrent,
};

/// What ring<T>::create() is asked for.
struct ring_options {
  std::size_t capacity = 0;  // objects; exactly as many fit; at least 1
  ring_sync producers = ring_sync::many;
  ring_sync consumers = ring_sync::many;
  /// false: used in the creating process alone, and pool objects keep their owner.  When that process ends, the ring is
  /// emptied, and belongs to whoever attaches next.
  bool shared_between_processes = true;
  bool doorbell = false;  // consumers may sleep in wait(); costs producers a fence a burst
  /// Producers and consumers run on different processors: the sides hand their lines over in the way that is fastest
  /// then (2 to 4 times), and costs a third more where they share a processor.
  bool apart = false;
  socket_id socket = any_socket;
};

namespace detail {

inline constexpr std::uint64_t ring_magic = 0x0004'676e'6972'706dULL;  // "mpring", layout 4
inline constexpr std::uint64_t position_mask = (1ULL << 40) - 1;
inline constexpr unsigned key_bits = 24;
inline constexpr std::uint64_t key_mask = (1ULL << key_bits) - 1;
/// The claim of a thread without a lease; only rings on plain memory accept it, and nobody can repair it.
inline constexpr std::uint64_t key_of_nobody = 0xfff;
inline constexpr std::size_t max_ring_capacity = 1ULL << 30;

enum ring_flags : std::uint32_t {
  ring_doorbell = 1,      // consumers may sleep
  ring_tags = 2,          // dequeue moves ownership
  ring_pool_objects = 4,  // the elements are pointers to pool objects
  ring_standalone = 8,    // on plain memory: threads need no lease
  ring_private = 16,      // not shared between processes
  ring_apart = 64,        // the sides hand lines over as is best between processors
  ring_laned = 32,        // one side or both many_concurrent: the slots are lanes, rings themselves
};

/// How a side's operations go, for one look at the start of each.
enum class ring_path : std::uint8_t {
  general,  // lanes, a bell to be rung, or apart: out of line
  single,
  many,
};

/// Touched by its own side alone.  Constants are repeated here so that an operation reads no further line.
struct alignas(2 * cache_line) ring_own {
  std::atomic<std::uint64_t> word;   // many: {position 40, key 24}, key 0 is idle; lanes are held by it
  std::atomic<std::uint64_t> next;   // single: its own position; at most one operation ahead of the tail
  std::atomic<std::uint64_t> limit;  // up to where the peer let this side go when last looked at
  std::uint64_t capacity;            // creator: w, all: r, from here on
  std::uint64_t mask;                // slots - 1
  std::uint32_t flags;
  ring_sync sync;
  ring_path path;
  std::uint8_t spare[2];
  std::atomic<std::uint32_t> found_full;  // a lane's producer: whether its last call was told so; holder: w, r
  std::atomic<std::uint32_t> lanes_used;  // consumer, with lanes: a bit for each that was ever put into
  std::uint64_t lane_bytes;               // with lanes: of each; creator: w, all: r
};
static_assert(sizeof(ring_own) == 128);

struct alignas(2 * cache_line) ring_published {
  std::atomic<std::uint64_t> tail;  // own side: w, both: r
};

/// Repairs by kind, for people and benches.  Whoever made one counts it; one that died in between did not.
struct ring_repairs {
  std::atomic<std::uint64_t> undone_by_waiters;  // on the spot, by somebody who wanted the side
  std::atomic<std::uint64_t> finished_by_waiters;
  std::atomic<std::uint64_t> undone_by_recovery;
  std::atomic<std::uint64_t> finished_by_recovery;
  std::atomic<std::uint64_t> published_late;  // by recovery, on a single side
};

struct ring_header {
  std::atomic<std::uint64_t> magic;  // creator: w, last
  std::uint64_t type_id;             // hash of the element type
  std::uint64_t capacity;
  std::uint64_t slot_count;  // a power of two, >= capacity
  std::uint32_t element_size;
  std::uint32_t flags;
  ring_sync producers;
  ring_sync consumers;
  std::uint16_t owner_slot;  // the process that a private ring belongs to; recovery: w no_process, the next owner: w
  std::uint32_t spare;
  std::uint64_t size_bytes;  // header and slots

  alignas(cache_line) std::atomic<std::uint32_t> bell;  // futex; counts rings of the bell; ringers: w, sleepers: r
  std::atomic<std::uint32_t> sleeping;                  // sleepers: count up, ringers: clear; 0: nobody sleeps
  ring_repairs repairs;                                 // with lanes: each lane's are its own

  ring_own producer;
  ring_published produced;
  ring_own consumer;
  ring_published consumed;
};
static_assert(sizeof(ring_header) == 640 && alignof(ring_header) == 128);
static_assert(offsetof(ring_header, bell) == 64 && offsetof(ring_header, producer) == 128);
static_assert(offsetof(ring_header, produced) == 256 && offsetof(ring_header, consumed) == 512);

[[nodiscard]] inline std::byte* ring_slots(ring_header& h) noexcept {
  return reinterpret_cast<std::byte*>(&h) + sizeof(ring_header);
}

/// The first lanes can be held, each by one producer; the others are shared by those who come when all are held.
inline constexpr std::size_t ring_lane_count = 8;
inline constexpr std::size_t ring_held_lane_count = 6;

/// Between the header and the lanes: which lane each lease has chosen to put into.
struct alignas(2 * cache_line) ring_choices {
  std::atomic<std::uint32_t> of[max_leases];  // by key: {lane 8, key 24}; its lease: w and r
};
inline constexpr std::uint32_t ring_no_choice = ~0U;  // no lease's key is like that

[[nodiscard]] inline std::size_t ring_lane_bytes(std::uint64_t slot_count, std::size_t element_size) noexcept {
  return (sizeof(ring_header) + slot_count * element_size + 127) & ~std::size_t{127};
}
[[nodiscard]] inline ring_choices& choices_of(ring_header& h) noexcept {
  return *reinterpret_cast<ring_choices*>(ring_slots(h));
}
/// Where lane `lane` lies in the slots.
[[nodiscard]] inline std::size_t ring_lane_offset(const ring_header& h, std::size_t lane) noexcept {
  return sizeof(ring_choices) + lane * h.consumer.lane_bytes;
}
[[nodiscard]] inline ring_header& ring_lane(ring_header& h, std::size_t lane) noexcept {
  return *reinterpret_cast<ring_header*>(ring_slots(h) + ring_lane_offset(h, lane));
}

/// Objects from `from` to `to`.
[[nodiscard]] inline std::uint64_t distance(std::uint64_t from, std::uint64_t to) noexcept {
  return (to - from) & position_mask;
}

/// True once the owner named by `key` is dead, or its lease has gone to another since.
[[nodiscard]] bool key_is_dead(std::uint64_t key) noexcept;

/// The type-less half of ring<T>: control path, see ring.hpp for the contracts.
struct ring_type {
  std::uint64_t id;
  std::uint32_t element_size;
  bool pool_objects;
};
[[nodiscard]] std::size_t ring_footprint(const ring_options& options, std::size_t element_size);
ring_header* ring_format(void* memory, std::size_t size_bytes, const ring_options& options, const ring_type& type,
                         std::uint32_t extra_flags);
[[nodiscard]] ring_header* ring_attach(void* memory, std::size_t size_bytes, const ring_type& type,
                                       const char* name = "(plain memory)");

enum class ring_side : std::uint8_t { producer, consumer };

/// Waits for a turn on one side: the idle word, or a busy one when the bound was reached.  Repairs a dead owner's
/// claim.
[[nodiscard]] std::uint64_t ring_wait_idle(ring_header& h, ring_side side, std::uint64_t word) noexcept;
/// Undoes or finishes the claim `word` of a dead owner.  Any thread, any number at once; true for the one that did it.
bool ring_repair_claim(ring_header& h, ring_side side, std::uint64_t word, bool& finished) noexcept;
/// The key of a thread that holds no lease yet; 0: it gets none.
[[nodiscard]] std::uint64_t ring_key_slow(const ring_own& own) noexcept;

/// Objects in the ring at some instant during the call, at most its capacity.
[[nodiscard]] std::size_t ring_approx_count(const ring_header& h) noexcept;

void ring_wake_consumers(ring_header& h) noexcept;
[[nodiscard]] bool ring_wait_for_objects(ring_header& h, std::int64_t timeout_ms) noexcept;

}  // namespace detail
}  // namespace mpnet
