// SPDX-License-Identifier: BSD-3-Clause
// mpnet's rings as contestants.  They lie in plain shared memory as the peers' do; each worker holds a lease, so that
// every claim is written down as it is in a group.
#include "mpnet_ring.hpp"

#include <sys/mman.h>
#include <mpnet/detail/lease.hpp>
#include <mpnet/fixed_ring.hpp>

#include "queue_kernels.hpp"

#include <new>

namespace bench {
namespace {

using value = std::uint64_t;

/// The peers' modes are fixed when they are compiled, so ours are too, where there is such a handle.
template <class Handle, mpnet::ring_sync Sync, bool Apart = false>
struct mpnet_queue {
  using item = void*;
  static constexpr bool is_handle = true;
  Handle ring;

  static void prepare() { share_leases(); }
  static void enter(unsigned worker) { take_lease(worker); }
  static void format(void* memory) {
    static_cast<void>(mpnet::ring<value>::format(
        memory, slot_bytes, {.capacity = queue_capacity, .producers = Sync, .consumers = Sync, .apart = Apart}));
  }
  static mpnet_queue attach(void* memory) { return {Handle{mpnet::ring<value>::attach(memory, slot_bytes)}}; }

  unsigned enqueue(void* const* items, unsigned n) const noexcept {
    return ring.enqueue_bulk({reinterpret_cast<const value*>(items), n}) ? n : 0;
  }
  unsigned dequeue(void** items, unsigned n) const noexcept {
    return ring.dequeue_bulk({reinterpret_cast<value*>(items), n}) ? n : 0;
  }
};

template <mpnet::ring_sync Sync, bool Apart>
using fixed_queue = mpnet_queue<mpnet::fixed_ring<value, Sync, Sync, Apart>, Sync, Apart>;

}  // namespace

void share_leases() {
  if (mpnet::detail::lease_table != nullptr) return;
  void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc{};
  mpnet::detail::lease_table = static_cast<mpnet::detail::lease*>(memory);
}

void take_lease(unsigned worker) {
  auto& lease = mpnet::detail::lease_table[worker];
  lease.incarnation.store(1, std::memory_order_relaxed);  // relaxed: the workers' gate orders it
  lease.state.store(mpnet::detail::lease_taken, std::memory_order_relaxed);
  mpnet::detail::this_lease = &lease;
  mpnet::detail::process_tag = static_cast<std::uint16_t>(worker + 1);
}

contestants mpnet_rings() {
  using enum mpnet::ring_sync;
  contestants all;
  all.push_back(make_queue<fixed_queue<single, false>>("mpnet", "single"));
  all.push_back(make_queue<fixed_queue<single, true>>("mpnet", "single apart"));
  all.push_back(make_queue<fixed_queue<many, false>>("mpnet", "many"));
  all.push_back(make_queue<fixed_queue<many, true>>("mpnet", "many apart"));
  all.push_back(make_queue<fixed_queue<many_concurrent, false>>("mpnet", "many concurrent"));
  all.push_back(make_queue<fixed_queue<many_concurrent, true>>("mpnet", "many concurrent apart"));
  return all;
}

}  // namespace bench
