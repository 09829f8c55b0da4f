// SPDX-License-Identifier: BSD-3-Clause
// mpnet's rings as contestants.  They lie in plain shared memory as the peers' do; each worker holds a lease, so that
// every claim is written down as it is in a group.
#include "mpnet_ring.hpp"

#include <sys/mman.h>
#include <mpnet/detail/lease.hpp>
#include <mpnet/ring.hpp>

#include "queue_kernels.hpp"

#include <new>

namespace bench {
namespace {

template <mpnet::ring_sync Sync>
struct mpnet_queue {
  using item = void*;
  using value = std::uint64_t;
  static constexpr bool is_handle = true;
  mpnet::ring<value> ring;

  static void prepare() { share_leases(); }
  static void enter(unsigned worker) { take_lease(worker); }
  static void format(void* memory) {
    static_cast<void>(mpnet::ring<value>::format(memory, slot_bytes,
                                                 {.capacity = queue_capacity, .producers = Sync, .consumers = Sync}));
  }
  static mpnet_queue attach(void* memory) { return {mpnet::ring<value>::attach(memory, slot_bytes)}; }

  unsigned enqueue(void* const* items, unsigned n) const noexcept {
    return ring.enqueue_bulk({reinterpret_cast<const value*>(items), n}) ? n : 0;
  }
  unsigned dequeue(void** items, unsigned n) const noexcept {
    return ring.dequeue_bulk({reinterpret_cast<value*>(items), n}) ? n : 0;
  }
};

bool knows(mpnet::ring_sync sync) {
  alignas(128) static std::byte memory[4096];
  try {
    static_cast<void>(mpnet::ring<std::uint64_t>::format(memory, sizeof memory,
                                                         {.capacity = 7, .producers = sync, .consumers = sync}));
    return true;
  } catch (const mpnet::error&) {
    return false;
  }
}

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
  contestants all;

  all.push_back(make_queue<mpnet_queue<mpnet::ring_sync::single>>("mpnet", "single"));
  all.push_back(make_queue<mpnet_queue<mpnet::ring_sync::many>>("mpnet", "many"));
  if (knows(mpnet::ring_sync::many_concurrent)) {
    all.push_back(make_queue<mpnet_queue<mpnet::ring_sync::many_concurrent>>("mpnet", "many concurrent"));
  }
  return all;
}

}  // namespace bench
