// SPDX-License-Identifier: BSD-3-Clause
// net_null: receives packets of zeros as fast as it is asked, and frees what it is given.  Follows DPDK's net_null.
//   size=64     bytes of each received packet
//   copy=0|1    copy bytes to received packets and from sent ones, as a device would
//   no-rx=0|1   receive nothing
//   tx-bytes=0|1  count the bytes of sent packets, for which each packet has to be looked at; DPDK's counts none
#include <fmt/format.h>
#include <mpnet/error.hpp>

#include <cstring>

#include "nic/vdev/vdev.hpp"

namespace mpnet::nic {
namespace {

constexpr std::size_t max_size = 16'384;

struct null_queue {
  mbuf_pool pool;
  detail::queue_counters* counters = nullptr;
  std::uint16_t port = 0;
  std::uint16_t size = 0;
  std::array<std::byte, max_size> bytes{};
};

template <bool Copy>
std::size_t null_rx(void* context, mbuf** packets, std::size_t count) noexcept {
  auto& q = *static_cast<null_queue*>(context);
  const std::size_t got = q.pool.alloc_burst({packets, count});
  if (got < count) add_relaxed(q.counters->nombuf, 1);
  for (std::size_t i = 0; i < got; ++i) {
    mbuf* m = packets[i];
    if constexpr (Copy) std::memcpy(m->data(), q.bytes.data(), q.size);
    m->data_len = q.size;
    m->packet_len = q.size;
    m->port = q.port;
  }
  add_relaxed(q.counters->packets, got);
  add_relaxed(q.counters->bytes, got * q.size);
  return got;
}

std::size_t no_rx(void*, mbuf**, std::size_t) noexcept {
  return 0;
}

std::size_t null_tx(void* context, mbuf** packets, std::size_t count) noexcept {
  free_mbufs({packets, count});
  add_relaxed(static_cast<null_queue*>(context)->counters->packets, count);
  return count;
}

/// Looks at each packet: at a line that whoever received it has just written, perhaps on another processor.
template <bool Copy>
std::size_t null_tx_looking(void* context, mbuf** packets, std::size_t count) noexcept {
  auto& q = *static_cast<null_queue*>(context);
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < count; ++i) {
    bytes += packets[i]->packet_len;
    if constexpr (Copy) {
      if (packets[i]->packet_len <= max_size) gather_packet(packets[i], q.bytes.data());
    }
  }
  add_relaxed(q.counters->bytes, bytes);
  return null_tx(context, packets, count);
}

class null_device final : public virtual_device {
 public:
  null_device(group& g, port_shared& shared, const devargs& arguments, bool create) : virtual_device(g, shared) {
    arguments.allow_only({"size", "copy", "no-rx", "tx-bytes"});
    size_ = static_cast<std::uint16_t>(arguments.number("size", 64, 14, max_size));
    copy_ = arguments.number("copy", 0, 0, 1) == 1;
    no_rx_ = arguments.number("no-rx", 0, 0, 1) == 1;
    tx_bytes_ = arguments.number("tx-bytes", 0, 0, 1) == 1;
    if (create) set_defaults();
  }

  [[nodiscard]] port_capabilities capabilities() const override {
    return {.max_rx_queues = max_queues,
            .max_tx_queues = max_queues,
            .tx_offloads = ~std::uint64_t{0}};  // what nobody sees needs no work
  }

  [[nodiscard]] queue_entry bind_rx(std::uint16_t queue) override {
    if (no_rx_) return {&no_rx, nullptr};
    auto& q = make(rx_[queue]);
    q.pool = rx_pool(queue);
    q.counters = &shared_.rx[queue].counters;
    if (size_ + std::size_t{mbuf_headroom} > q.pool.data_room_bytes()) {
      throw error{errc::invalid_argument,
                  fmt::format("port '{}': size={} does not fit the data room of pool '{}', {} bytes of {} headroom",
                              shared_.name, size_, shared_.rx[queue].pool, q.pool.data_room_bytes(), mbuf_headroom)};
    }
    return {copy_ ? &null_rx<true> : &null_rx<false>, &q};
  }
  [[nodiscard]] queue_entry bind_tx(std::uint16_t queue) override {
    auto& q = make(tx_[queue]);
    q.counters = &shared_.tx[queue].counters;
    if (copy_) return {&null_tx_looking<true>, &q};
    return {tx_bytes_ ? &null_tx_looking<false> : &null_tx, &q};
  }
  void unbind_rx(std::uint16_t queue) noexcept override { rx_[queue].reset(); }
  void unbind_tx(std::uint16_t queue) noexcept override { tx_[queue].reset(); }

 private:
  null_queue& make(std::unique_ptr<null_queue>& q) const {
    q = std::make_unique<null_queue>();
    q->port = shared_.id;
    q->size = size_;
    return *q;
  }

  std::uint16_t size_ = 64;
  bool copy_ = false;
  bool no_rx_ = false;
  bool tx_bytes_ = false;
  std::array<std::unique_ptr<null_queue>, max_queues> rx_;
  std::array<std::unique_ptr<null_queue>, max_queues> tx_;
};

}  // namespace

extern const driver null_driver;
const driver null_driver{
    .name = "net_null",
    .create = [](group& g, port_shared& shared, const devargs& arguments) -> std::unique_ptr<device> {
      return std::make_unique<null_device>(g, shared, arguments, true);
    },
    .attach = [](group& g, port_shared& shared, const devargs& arguments) -> std::unique_ptr<device> {
      return std::make_unique<null_device>(g, shared, arguments, false);
    }};

}  // namespace mpnet::nic
