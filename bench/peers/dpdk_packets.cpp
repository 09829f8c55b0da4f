// SPDX-License-Identifier: BSD-3-Clause
// DPDK moving mbufs between processes: through its rings from pool to pool, through null ports as its client_server
// example does, and between two null ports as testpmd's io mode does.  Made before the workers are forked.
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "packet_kernels.hpp"
#include "peers/dpdk_eal.hpp"
#include "peers/peers.hpp"

#include <stdexcept>

namespace bench {
namespace {

struct stage_base {
  using packet = rte_mbuf;
  rte_mempool* pool = nullptr;
  rte_ring* ring = nullptr;
  unsigned enqueue(rte_mbuf* const* packets, unsigned n) const noexcept {
    return rte_ring_enqueue_burst(ring, reinterpret_cast<void* const*>(packets), n, nullptr);
  }
  unsigned dequeue(rte_mbuf** packets, unsigned n) const noexcept {
    return rte_ring_dequeue_burst(ring, reinterpret_cast<void**>(packets), n, nullptr);
  }
};

struct pool_stage : stage_base {
  unsigned receive(rte_mbuf** packets, unsigned n) const noexcept {
    return rte_pktmbuf_alloc_bulk(pool, packets, n) == 0 ? n : 0;
  }
  void finish(rte_mbuf** packets, unsigned n) const noexcept { rte_pktmbuf_free_bulk(packets, n); }
};

unsigned send_all(std::uint16_t port, rte_mbuf** packets, unsigned n) noexcept {
  unsigned sent = 0;
  while (sent != n) sent += rte_eth_tx_burst(port, 0, packets + sent, static_cast<std::uint16_t>(n - sent));
  return sent;
}

struct port_stage : stage_base {
  unsigned receive(rte_mbuf** packets, unsigned n) const noexcept {
    return rte_eth_rx_burst(0, 0, packets, static_cast<std::uint16_t>(n));
  }
  void finish(rte_mbuf** packets, unsigned n) const noexcept { send_all(1, packets, n); }
};

struct forward_stage {
  using packet = rte_mbuf;
  rte_mempool* pool = nullptr;
  rte_ring* ring = nullptr;
  unsigned forward(unsigned n) const noexcept {
    std::array<rte_mbuf*, max_burst> packets;
    unsigned moved = 0;
    for (std::uint16_t from = 0; from < 2; ++from) {
      const auto got = rte_eth_rx_burst(from, 0, packets.data(), static_cast<std::uint16_t>(n));
      if (got == 0) continue;
      const auto sent = rte_eth_tx_burst(static_cast<std::uint16_t>(1 - from), 0, packets.data(), got);
      if (sent != got) [[unlikely]]
        rte_pktmbuf_free_bulk(packets.data() + sent, got - sent);
      moved += got;
    }
    return moved;
  }
};

void check(int result, const char* what) {
  if (result < 0) throw std::runtime_error{std::string{what} + ": " + rte_strerror(-result)};
}

void start_port(std::uint16_t port, rte_mempool* pool) {
  const rte_eth_conf conf{};
  check(rte_eth_dev_configure(port, 1, 1, &conf), "rte_eth_dev_configure");
  check(rte_eth_rx_queue_setup(port, 0, 512, 0, nullptr, pool), "rte_eth_rx_queue_setup");
  check(rte_eth_tx_queue_setup(port, 0, 512, 0, nullptr), "rte_eth_tx_queue_setup");
  check(rte_eth_dev_start(port), "rte_eth_dev_start");
}

template <class S>
class dpdk_packets final : public packet_contestant<S> {
 public:
  dpdk_packets(std::string peer_name, std::string mode_name, unsigned ring_flags, bool ports)
      : packet_contestant<S>(std::move(peer_name), std::move(mode_name)), ring_flags_(ring_flags), ports_(ports) {}

  void prepare() override {
    if (ports_) {
      start_dpdk_for_forks({"--vdev=net_null0", "--vdev=net_null1"});
    } else {
      start_dpdk_for_forks();
    }
    auto& stage = this->stage_;
    stage.pool =
        rte_pktmbuf_pool_create("packets", packet_count, packet_cache, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    stage.ring = rte_ring_create("hop", packet_ring_capacity + 1, SOCKET_ID_ANY, ring_flags_);
    if (stage.pool == nullptr || stage.ring == nullptr) throw std::runtime_error{rte_strerror(rte_errno)};
    for (std::uint16_t port = 0; ports_ && port < 2; ++port) start_port(port, stage.pool);
  }
  void enter(unsigned worker) override { become_dpdk_lcore(worker); }
  void format(void*) override {}

 private:
  unsigned ring_flags_;
  bool ports_;
};

constexpr unsigned single_flags = RING_F_SP_ENQ | RING_F_SC_DEQ;

}  // namespace

void add_dpdk_mbuf_rings(contestants& to) {
  to.push_back(std::make_unique<dpdk_packets<pool_stage>>("DPDK SP/SC", "single", single_flags, false));
  to.push_back(std::make_unique<dpdk_packets<pool_stage>>("DPDK MP/MC", "many", 0, false));
}

void add_dpdk_forwarders(contestants& to) {
  to.push_back(std::make_unique<dpdk_packets<port_stage>>("DPDK rings", "pipeline", single_flags, true));
  to.push_back(std::make_unique<dpdk_packets<forward_stage>>("DPDK io loop", "null ports", single_flags, true));
}

}  // namespace bench
