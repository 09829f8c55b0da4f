// SPDX-License-Identifier: BSD-3-Clause
// net_ring: a port whose queues are rings of mbufs.  Follows DPDK's net_ring.
//   (nothing)                    what is sent on a queue is received on it
//   qpairs=N                     so many rings, one a queue pair (default 1)
//   size=N                       packets a ring (default 1024)
//   rx_ring=A,tx_ring=B          rings by name, made where they are not there: net_ring0,rx_ring=A,tx_ring=B and
//                                net_ring1,rx_ring=B,tx_ring=A are two ends of a cable
//   nodeaction=NAME:NODE:ACTION  CREATE makes the ring NAME, ATTACH takes one that is there; NODE is the socket
#include <fmt/format.h>
#include <mpnet/error.hpp>
#include <mpnet/ring.hpp>

#include <charconv>

#include "nic/vdev/vdev.hpp"

namespace mpnet::nic {
namespace {

struct ring_queue {
  ring<mbuf*> packets;
  detail::queue_counters* counters = nullptr;
  std::uint16_t port = 0;
};

std::size_t ring_rx(void* context, mbuf** packets, std::size_t count) noexcept {
  auto& q = *static_cast<ring_queue*>(context);
  const std::size_t got = q.packets.dequeue_burst({packets, count});
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < got; ++i) {
    packets[i]->port = q.port;
    bytes += packets[i]->packet_len;
  }
  add_relaxed(q.counters->packets, got);
  add_relaxed(q.counters->bytes, bytes);
  return got;
}

std::size_t ring_tx(void* context, mbuf** packets, std::size_t count) noexcept {
  auto& q = *static_cast<ring_queue*>(context);
  constexpr std::size_t step = 64;
  std::size_t sent = 0;
  while (sent < count) {
    const std::size_t part = count - sent < step ? count - sent : step;
    std::uint32_t lengths[step];  // once enqueued, a packet is no longer ours to read
    for (std::size_t i = 0; i < part; ++i) lengths[i] = packets[sent + i]->packet_len;
    const std::size_t put = q.packets.enqueue_burst({packets + sent, part});
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < put; ++i) bytes += lengths[i];
    add_relaxed(q.counters->packets, put);
    add_relaxed(q.counters->bytes, bytes);
    sent += put;
    if (put < part) break;
  }
  return sent;
}

/// What the arguments ask for.
struct ring_plan {
  std::uint16_t queues = 1;
  std::size_t capacity = 1024;
  socket_id socket = any_socket;
  std::string rx, tx;  // empty: loops named after the port
  bool must_exist = false;

  [[nodiscard]] bool is_loop() const noexcept { return rx.empty(); }
  [[nodiscard]] std::string name(const port_shared& p, queue_side side, std::uint16_t queue) const {
    if (is_loop()) return fmt::format("{}.{}", p.name, queue);
    const std::string& base = side == queue_side::rx ? rx : tx;
    return queue == 0 ? base : fmt::format("{}.{}", base, queue);
  }
};

void read_nodeaction(ring_plan& plan, const std::string& text, const std::string& device_name) {
  const std::size_t first = text.find(':');
  const std::size_t second = first == std::string::npos ? first : text.find(':', first + 1);
  const std::string action = second == std::string::npos ? "" : text.substr(second + 1);
  int node = -1;
  if (second != std::string::npos) std::from_chars(text.data() + first + 1, text.data() + second, node);
  if (first == 0 || node < 0 || (action != "CREATE" && action != "ATTACH")) {
    throw error{
        errc::invalid_argument,
        fmt::format("device '{}': nodeaction={}: write NAME:NODE:CREATE or NAME:NODE:ATTACH", device_name, text)};
  }
  plan.rx = plan.tx = text.substr(0, first);
  plan.must_exist = action == "ATTACH";
  if (!plan.must_exist) plan.socket = socket_id{static_cast<std::int16_t>(node)};
}

ring_plan read_plan(const devargs& arguments) {
  arguments.allow_only({"qpairs", "size", "rx_ring", "tx_ring", "nodeaction"});
  ring_plan plan;
  plan.queues = static_cast<std::uint16_t>(arguments.number("qpairs", 1, 1, max_queues));
  plan.capacity = arguments.number("size", 1024, 1, 1 << 20);
  const auto rx = arguments.get("rx_ring");
  const auto tx = arguments.get("tx_ring");
  if (rx.has_value() != tx.has_value() || (rx && (rx->empty() || tx->empty()))) {
    throw error{errc::invalid_argument,
                fmt::format("device '{}': rx_ring and tx_ring go together, each with a name", arguments.name())};
  }
  if (rx) {
    plan.rx = *rx;
    plan.tx = *tx;
  }
  if (const auto action = arguments.get("nodeaction")) read_nodeaction(plan, *action, arguments.name());
  return plan;
}

class ring_device final : public virtual_device {
 public:
  ring_device(group& g, port_shared& shared, const devargs& arguments, bool create)
      : virtual_device(g, shared), plan_(read_plan(arguments)) {
    for (std::uint16_t q = 0; q < plan_.queues; ++q) {
      rx_[q] = {open(queue_side::rx, q, create), &shared.rx[q].counters, shared.id};
      tx_[q] = {open(queue_side::tx, q, create), &shared.tx[q].counters, shared.id};
    }
    if (create) set_defaults();
  }

  [[nodiscard]] port_capabilities capabilities() const override {
    return {.max_rx_queues = plan_.queues, .max_tx_queues = plan_.queues, .tx_offloads = tx_offload::multi_segment};
  }
  [[nodiscard]] queue_entry bind_rx(std::uint16_t queue) override { return {&ring_rx, &rx_[queue]}; }
  [[nodiscard]] queue_entry bind_tx(std::uint16_t queue) override { return {&ring_tx, &tx_[queue]}; }

  static void destroy(group& g, port_shared& shared) noexcept {
    try {
      const std::string text{shared.arguments};
      const ring_plan plan = read_plan(devargs::parse(std::string{shared.name} + (text.empty() ? "" : ",") + text));
      if (!plan.is_loop()) return;  // others may use them
      for (std::uint16_t q = 0; q < plan.queues; ++q) {
        const auto r = ring<mbuf*>::lookup(g, plan.name(shared, queue_side::rx, q));
        if (!r) continue;
        mbuf* m = nullptr;
        while (r->dequeue(m)) free_mbuf(m);
        ring<mbuf*>::destroy(g, *r);
      }
    } catch (const std::exception&) {
      // The rings stay, under their names; a port of this name takes them over.
    }
  }

 private:
  ring<mbuf*> open(queue_side side, std::uint16_t queue, bool create) {
    const std::string name = plan_.name(shared_, side, queue);
    if (!create || plan_.must_exist) {
      const auto found = ring<mbuf*>::lookup(group_, name);
      if (!found) {
        throw error{errc::not_found,
                    fmt::format("port '{}': there is no ring '{}'; create it first", shared_.name, name)};
      }
      return *found;
    }
    return ring<mbuf*>::create_or_attach(group_, name, {.capacity = plan_.capacity, .socket = plan_.socket});
  }

  ring_plan plan_;
  std::array<ring_queue, max_queues> rx_{};
  std::array<ring_queue, max_queues> tx_{};
};

}  // namespace

extern const driver ring_driver;
const driver ring_driver{
    .name = "net_ring",
    .create = [](group& g, port_shared& shared, const devargs& arguments) -> std::unique_ptr<device> {
      return std::make_unique<ring_device>(g, shared, arguments, true);
    },
    .attach = [](group& g, port_shared& shared, const devargs& arguments) -> std::unique_ptr<device> {
      return std::make_unique<ring_device>(g, shared, arguments, false);
    },
    .destroy = &ring_device::destroy};

}  // namespace mpnet::nic
