// SPDX-License-Identifier: BSD-3-Clause
// mpnet moving mbufs between processes: worker 0 is the group's primary and makes pool, ring and ports; the others
// attach.
#include "mpnet_packets.hpp"

#include <mpnet/mbuf.hpp>
#include <mpnet/port.hpp>
#include <mpnet/ring.hpp>

#include "mpnet_group.hpp"
#include "packet_kernels.hpp"

#include <array>
#include <optional>

namespace bench {
namespace {

using mpnet::mbuf;
constexpr mpnet::queue_id queue_0{0};

struct stage_base {
  using packet = mbuf;
  mpnet::mbuf_pool pool;
  mpnet::ring<mbuf*> ring;
  unsigned enqueue(mbuf* const* packets, unsigned n) const noexcept {
    return static_cast<unsigned>(ring.enqueue_burst({packets, n}));
  }
  unsigned dequeue(mbuf** packets, unsigned n) const noexcept {
    return static_cast<unsigned>(ring.dequeue_burst({packets, n}));
  }
};

struct pool_stage : stage_base {
  unsigned receive(mbuf** packets, unsigned n) const noexcept {
    return static_cast<unsigned>(pool.alloc_burst({packets, n}));
  }
  void finish(mbuf** packets, unsigned n) const noexcept { mpnet::free_mbufs({packets, n}); }
};

struct port_stage : stage_base {
  mpnet::port in, out;
  unsigned receive(mbuf** packets, unsigned n) const noexcept {
    return static_cast<unsigned>(in.rx_burst(queue_0, {packets, n}));
  }
  void finish(mbuf** packets, unsigned n) const noexcept {
    std::size_t sent = 0;
    while (sent != n) sent += out.tx_burst(queue_0, {packets + sent, n - sent});
  }
};

struct forward_stage {
  using packet = mbuf;
  std::array<mpnet::port, 2> ports;
  unsigned forward(unsigned n) const noexcept {
    std::array<mbuf*, max_burst> packets;
    unsigned moved = 0;
    for (unsigned from = 0; from < 2; ++from) {
      const auto got = ports[from].rx_burst(queue_0, {packets.data(), n});
      if (got == 0) continue;
      const auto sent = ports[1 - from].tx_burst(queue_0, {packets.data(), got});
      if (sent != got) [[unlikely]]
        mpnet::free_mbufs({packets.data() + sent, got - sent});
      moved += static_cast<unsigned>(got);
    }
    return moved;
  }
};

template <class S>
class mpnet_packets : public packet_contestant<S> {
 public:
  mpnet_packets(std::string mode_name, mpnet::ring_sync sync, bool tagged, bool apart = false)
      : packet_contestant<S>("mpnet", std::move(mode_name)), sync_(sync), tagged_(tagged), apart_(apart) {}

  void format(void* memory) override {
    member_.emplace(true, 0U);
    auto& g = member_->group();
    const mpnet::ring_options ring_options{
        .capacity = packet_ring_capacity, .producers = sync_, .consumers = sync_, .apart = apart_};
    const auto pool = mpnet::mbuf_pool::create(g, "packets", {.mbuf_count = packet_count, .cache_size = packet_cache});
    if constexpr (requires { this->stage_.pool; }) this->stage_.pool = pool;
    if constexpr (requires { this->stage_.ring; }) {
      using ring = mpnet::ring<mbuf*>;
      this->stage_.ring =
          tagged_ ? ring::create(g, "hop", ring_options) : ring::format(memory, slot_bytes, ring_options);
    }
    if constexpr (
        requires { this->stage_.in; } || requires { this->stage_.ports; }) {
      for (const char* device : {"net_null0", "net_null1"}) mpnet::create_vdev(g, device).bring_up({.pool = "packets"});
    }
    take_ports(0);
  }

  void join(void* memory, unsigned worker, unsigned) override {
    if (worker == 0) return;
    member_.emplace(false, worker);
    auto& g = member_->group();
    if constexpr (requires { this->stage_.pool; }) this->stage_.pool = mpnet::mbuf_pool::attach(g, "packets");
    if constexpr (requires { this->stage_.ring; }) {
      using ring = mpnet::ring<mbuf*>;
      this->stage_.ring = tagged_ ? ring::attach(g, "hop") : ring::attach(memory, slot_bytes);
    }
    take_ports(worker);
  }

  void leave(unsigned) override {
    claims_ = {};
    this->stage_ = {};
    member_.reset();
  }

 private:
  void take_ports(unsigned worker) {
    auto& g = member_->group();
    if constexpr (requires { this->stage_.ports; }) {
      for (unsigned i = 0; i < 2; ++i) {
        this->stage_.ports[i] = mpnet::find_port(g, i == 0 ? "net_null0" : "net_null1").value();
        claims_[i] = this->stage_.ports[i].take_queue(queue_0);
      }
    } else if constexpr (requires { this->stage_.in; }) {
      auto& port = worker == 0 ? this->stage_.in : this->stage_.out;
      port = mpnet::find_port(g, worker == 0 ? "net_null0" : "net_null1").value();
      claims_[0] = port.take_queue(queue_0, worker == 0 ? mpnet::queue_side::rx : mpnet::queue_side::tx);
    }
  }

  mpnet::ring_sync sync_;
  bool tagged_;
  bool apart_;
  std::optional<membership> member_;
  std::array<mpnet::queue_claim, 2> claims_;
};

}  // namespace

contestants mpnet_mbuf_rings() {
  contestants all;
  using rings = mpnet_packets<pool_stage>;
  all.push_back(std::make_unique<rings>("single", mpnet::ring_sync::single, true));
  all.push_back(std::make_unique<rings>("single apart", mpnet::ring_sync::single, true, true));
  all.push_back(std::make_unique<rings>("single untagged", mpnet::ring_sync::single, false));
  all.push_back(std::make_unique<rings>("many", mpnet::ring_sync::many, true));
  all.push_back(std::make_unique<rings>("many apart", mpnet::ring_sync::many, true, true));
  all.push_back(std::make_unique<rings>("many untagged", mpnet::ring_sync::many, false));
  return all;
}

contestants mpnet_forwarders() {
  contestants all;
  all.push_back(std::make_unique<mpnet_packets<port_stage>>("pipeline", mpnet::ring_sync::single, true));
  all.push_back(std::make_unique<mpnet_packets<forward_stage>>("null ports", mpnet::ring_sync::single, true));
  return all;
}

}  // namespace bench
