// SPDX-License-Identifier: BSD-3-Clause
// The loops in which pools are timed.  One template for all, so that each library's calls are inlined into the same
// code.
//
// A pool P is a handle: bool get(void**, unsigned n) and void put(void* const*, unsigned n).
//   one core           gets n and puts them back
//   split              one process gets, the other puts; objects travel in batches through an array outside the timing
//   both, oversubscribed  each gets bursts of n until it holds 1024, more than any cache, then puts them all back
#pragma once

#include "contestant.hpp"
#include "machine.hpp"
#include "queue_kernels.hpp"

#include <array>

namespace bench {

inline constexpr unsigned pool_objects = 16383;
inline constexpr unsigned pool_object_bytes = 2176;
inline constexpr unsigned pool_hold = 1024;

/// What the two sides of the split placement share; lies in the arena.
struct pool_handover {
  struct alignas(64) batch {
    std::atomic<std::uint64_t> filled;               // times that the getter filled it
    alignas(64) std::atomic<std::uint64_t> emptied;  // times that the putter emptied it
    alignas(64) std::array<void*, pool_hold> objects;
  };
  std::array<batch, 2> batches;
};

template <class P>
[[gnu::flatten]] outcome pool_alternate(P pool, const work& w, unsigned hold) noexcept {
  alignas(64) std::array<void*, pool_hold> held;
  const unsigned burst = w.burst;
  const unsigned batch = std::max(hold / burst, 1U) * burst;
  const std::uint64_t end = w.duration != 0 ? cycles() + w.duration : 0;
  std::uint64_t done = 0;
  for (;;) {
    for (unsigned i = 0; i < batch; i += burst) {
      unsigned tries = 0;
      while (!pool.get(held.data() + i, burst)) lose_patience(tries, w.patience);
    }
    for (unsigned i = 0; i < batch; i += burst) pool.put(held.data() + i, burst);
    done += batch;
    if (end != 0 ? cycles() >= end : done >= w.objects) break;
  }
  return {.objects = done, .busy = 0};
}

/// Counts its cycles itself: filling or emptying a batch, not waiting for it.
template <class P>
[[gnu::flatten]] outcome pool_split(P pool, pool_handover& handover, std::uint64_t& turn, bool getter,
                                    const work& w) noexcept {
  const unsigned burst = w.burst;
  const unsigned batch = std::min(pool_hold / 2 / burst, 64U * 32U / burst) * burst;
  outcome total;
  while (total.objects < w.objects) {
    auto& b = handover.batches[turn & 1];
    const std::uint64_t lap = turn / 2;
    wait_until([&] {
      return getter ? b.emptied.load(std::memory_order_acquire) == lap
                    : b.filled.load(std::memory_order_acquire) == lap + 1;
    });
    // The handover's own lines, for both sides.
    for (unsigned i = 0; i < batch; i += 8) {
      if (getter)
        b.objects[i] = nullptr;
      else
        asm volatile("" : : "r"(b.objects[i]));
    }
    if (getter) _mm_mfence();
    const auto begin = cycles();
    for (unsigned i = 0; i < batch; i += burst) {
      unsigned tries = 0;
      if (getter) {
        while (!pool.get(b.objects.data() + i, burst)) lose_patience(tries, w.patience);
      } else {
        pool.put(b.objects.data() + i, burst);
      }
    }
    total.busy += cycles() - begin;
    total.objects += batch;
    (getter ? b.filled : b.emptied).store(lap + 1, std::memory_order_release);
    ++turn;
  }
  return total;
}

/// Everything of a pool's contestant but how the pool is made: derived classes fill in pool_.
template <class P>
class pool_contestant : public contestant {
 public:
  using contestant::contestant;

  outcome run(role r, const work& w) override {
    if (r == role::alternate) {
      const bool alone = w.duration == 0 && !several_;
      return pool_alternate(pool_, w, alone ? w.burst : pool_hold);
    }
    return pool_split(pool_, *handover_, turn_, r == role::produce, w);
  }

 protected:
  void format_handover(void* memory) noexcept { ::new (memory) pool_handover{}; }
  void join_handover(void* memory, unsigned workers) noexcept {
    handover_ = static_cast<pool_handover*>(memory);
    several_ = workers > 1;
  }

  P pool_{};

 private:
  pool_handover* handover_ = nullptr;
  std::uint64_t turn_ = 0;
  bool several_ = false;
};

}  // namespace bench
