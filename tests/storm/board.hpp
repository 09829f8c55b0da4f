// SPDX-License-Identifier: BSD-3-Clause
// What the director of a storm and its members see of each other: plain memory that all of them share, outside of the
// group, so that nothing here depends on what is tested.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

namespace storm {

inline constexpr unsigned member_count = 12;
inline constexpr unsigned threads_of_a_member = 2;  // the main lcore and a worker

enum class chore : std::uint32_t {
  starting,
  nothing,
  pool,
  ring,
  lanes,
  neighbour,
  numbers,
  packets,
  heap,
  locks,
  zone,
  temporary,
  port,
  message,
  thread_death,
  leaving,
  count
};
inline constexpr const char* chore_names[] = {"starting", "nothing", "pool",         "ring",   "lanes", "neighbour",
                                              "numbers",  "packets", "heap",         "locks",  "zone",  "temporary",
                                              "port",     "message", "thread death", "leaving"};
static_assert(std::size(chore_names) == static_cast<std::size_t>(chore::count));

/// One of the twelve positions, filled by one process after the other.  All counters are relaxed: signs of life.
struct position {
  std::atomic<std::uint64_t> beats[threads_of_a_member];
  std::atomic<std::uint32_t> doing[threads_of_a_member];  // chore
  std::atomic<std::uint32_t> incarnation;                 // director: w
};

struct board {
  std::atomic<std::uint32_t> stop;     // director: w
  std::atomic<std::uint32_t> settled;  // the founder: all fixed objects are there
  std::atomic<std::uint32_t> audit;    // director: w; everybody but the auditor has left
  std::atomic<std::uint32_t> broken;   // somebody saw what must not be; `text` says what
  std::atomic<std::uint32_t> text_ready;
  char text[1024];
  std::uint64_t used_bytes, block_count, committed_bytes;  // of the fixed objects; founder: w
  std::atomic<std::uint64_t> chores_done[static_cast<std::size_t>(chore::count)];
  std::atomic<std::uint64_t> mutexes_inherited, spinlocks_inherited, parts_died, roles_taken_over, entries;
  // auditor: w
  std::uint64_t claims_undone_in_pools, claims_repaired_in_rings, control_locks_inherited, journals_undone;
  position positions[member_count];
};

/// Reports what must not be; the first report counts.  Any process.
inline void report(board& b, const std::string& text) noexcept {
  if (b.broken.exchange(1, std::memory_order_acq_rel) != 0) return;
  std::strncpy(b.text, text.c_str(), sizeof b.text - 1);
  b.text_ready.store(1, std::memory_order_release);  // pairs with the director's acquire
}

[[nodiscard]] inline board& make_board() {
  void* memory = ::mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error{"mmap"};
  return *::new (memory) board{};
}

/// A process of the storm: position `at`, working until it is told to stop or killed.  Returns its exit code.
int run_member(board& b, const std::string& prefix, unsigned at);
/// The last one: waits until the others have left, then accounts for every object.
int run_auditor(board& b, const std::string& prefix);

}  // namespace storm
