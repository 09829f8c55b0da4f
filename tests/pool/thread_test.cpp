// SPDX-License-Identifier: BSD-3-Clause
// Threads at one pool all at once, with and without caches, beside a recovery that looks on: for ThreadSanitizer, and
// as a check that nothing gets lost.
#include <algorithm>
#include <array>
#include <mutex>
#include <random>
#include <thread>

#include "pool/backend.hpp"
#include "pool/recovery.hpp"
#include "pool/support.hpp"

using namespace pool_test;

namespace {

/// Packets on their way from thread to thread.
class exchange {
 public:
  mbuf* swap(std::size_t at, mbuf* in) { return slots_[at % slots_.size()].exchange(in, std::memory_order_acq_rel); }
  void visit(const std::function<void(void*)>& seen) const {
    for (const auto& slot : slots_) {
      if (mbuf* m = slot.load(std::memory_order_acquire); m != nullptr) seen(m);
    }
  }
  std::size_t drain() {
    std::size_t n = 0;
    for (auto& slot : slots_) {
      mbuf* m = slot.exchange(nullptr, std::memory_order_acq_rel);
      n += m != nullptr ? 1 : 0;
      free_mbuf(m);
    }
    return n;
  }

 private:
  std::array<std::atomic<mbuf*>, 16> slots_{};
};

void work(mbuf_pool pool, exchange& others, unsigned seed, int rounds) {
  std::mt19937 random{seed};
  std::array<mbuf*, 40> held;
  for (int i = 0; i < rounds; ++i) {
    const std::size_t n = pool.alloc_burst(std::span{held}.first(1 + random() % 40));
    for (std::size_t k = 0; k < n; ++k) {
      held[k]->data_len = static_cast<std::uint16_t>(k);
      if (random() % 8 == 0) {
        mbuf* clone = pool.clone(held[k]);
        if (clone != nullptr) free_mbuf(others.swap(random(), clone));
      } else if (random() % 4 == 0) {
        held[k] = others.swap(random(), held[k]);
      }
    }
    free_mbufs(std::span{held}.first(n));
  }
  detail::flush_thread_caches();
}

}  // namespace

TEST_CASE("threads with and without caches share a pool while recovery looks on", "[pool][mbuf][threads]") {
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 600, .cache_size = 32, .data_room_bytes = 128}};
  exchange others;
  std::atomic<int> running{4};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      detail::this_lease = &detail::lease_table[i < 2 ? i + 1 : max_lcores + i];
      work(*p, others, i, 2000);
      detail::this_lease = nullptr;
      running.fetch_sub(1);
    });
  }
  detail::pool_header* const pools[] = {p->header()};
  const detail::surroundings around{.mbuf_pools = pools,
                                    .holdings = [&](const auto& visit) { others.visit([&](void* m) { visit(m); }); },
                                    .is_alive = [](std::uint16_t tag) { return tag == 1; }};
  detail::recovery_counts counts;
  while (running.load() != 0) {
    detail::backend_repair(*p->header());
    detail::reclaim_pool(*p->header(), 99, around, counts);
    CHECK(p->stats().available <= 600);
  }
  for (auto& t : threads) t.join();
  CHECK(counts.objects_returned == 0);
  others.drain();
  detail::flush_thread_caches();
  CHECK(p->stats().available == 600);
  CHECK(detail::audit_pool(*p->header(), around, {}).in_backend == 600);
  p->for_each([](mbuf& m) { CHECK(m.reference_count() == 1); });
}

TEST_CASE("threads undo the claims of dying threads, all at once, and nothing is lost", "[pool][mbuf][threads]") {
  constexpr std::uint16_t mortal = 100;
  leases l;
  plain_mbuf_pool p{{.mbuf_count = 300, .cache_size = 16, .data_room_bytes = 128}};
  detail::pool_header& header = *p->header();
  exchange others;
  std::atomic<int> running{3};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      detail::this_lease = &detail::lease_table[i < 2 ? i + 1 : max_lcores + i];
      // Until one of them has met a claim, which on a busy machine may take longer.
      int turns = 0;
      do work(*p, others, i, 1500);
      while (header.claims_undone.load() == 0 && ++turns < 1000);
      detail::this_lease = nullptr;
      running.fetch_sub(1);
    });
  }
  detail::lease& own = detail::lease_table[mortal];
  for (std::uint32_t k = 0; running.load() != 0; ++k) {
    std::thread{[&] {
      detail::alive_word(own).store(0, std::memory_order_relaxed);  // relaxed: the incarnation publishes it
      const std::uint32_t incarnation = own.incarnation.fetch_add(1, std::memory_order_release) + 1;
      auto& state = detail::chunk_at(header, k % header.chunk_count).state;
      std::uint64_t word = state.load(std::memory_order_acquire);
      const auto seen = detail::parse_chunk(word);
      if (!seen.owned) state.compare_exchange_strong(word, detail::owned_chunk(seen.count, mortal, incarnation));
      detail::alive_word(own).fetch_or(FUTEX_OWNER_DIED, std::memory_order_release);  // and does not give it back
    }}.join();
  }
  for (auto& t : threads) t.join();
  others.drain();
  detail::flush_thread_caches();
  detail::flush_process_caches();
  detail::backend_repair(header);
  CHECK(p->stats().available == 300);
  CHECK(header.claims_undone.load() != 0);
  p->for_each([](mbuf& m) { CHECK(m.reference_count() == 1); });
}
