// SPDX-License-Identifier: BSD-3-Clause
// DPDK's mempool of mbuf-sized objects, with its per-lcore caches and ring_mp_mc behind them.  Made before the workers
// are forked; they share its pages.
#include <rte_errno.h>
#include <rte_mempool.h>

#include "peers/dpdk_eal.hpp"
#include "peers/peers.hpp"
#include "pool_kernels.hpp"

#include <stdexcept>

namespace bench {
namespace {

struct dpdk_pool {
  rte_mempool* pool = nullptr;
  bool get(void** objects, unsigned n) const noexcept { return rte_mempool_get_bulk(pool, objects, n) == 0; }
  void put(void* const* objects, unsigned n) const noexcept { rte_mempool_put_bulk(pool, objects, n); }
};

class dpdk_mempool final : public pool_contestant<dpdk_pool> {
 public:
  explicit dpdk_mempool(unsigned cache_size)
      : pool_contestant("DPDK mempool", "cache " + std::to_string(cache_size)), cache_size_(cache_size) {}

  void prepare() override {
    start_dpdk_for_forks();
    pool_.pool = rte_mempool_create("bench", pool_objects, pool_object_bytes, cache_size_, 0, nullptr, nullptr, nullptr,
                                    nullptr, SOCKET_ID_ANY, 0);
    if (pool_.pool == nullptr) throw std::runtime_error{std::string{"rte_mempool_create: "} + rte_strerror(rte_errno)};
  }
  void enter(unsigned worker) override { become_dpdk_lcore(worker); }
  void format(void* memory) override { format_handover(memory); }
  void join(void* memory, unsigned, unsigned workers) override { join_handover(memory, workers); }

 private:
  unsigned cache_size_;
};

}  // namespace

void add_dpdk_pools(contestants& to) {
  to.push_back(std::make_unique<dpdk_mempool>(256));
  to.push_back(std::make_unique<dpdk_mempool>(512));
}

}  // namespace bench
