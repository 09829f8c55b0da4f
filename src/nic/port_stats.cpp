// SPDX-License-Identifier: BSD-3-Clause
// Counters: the drivers of queues write theirs, readers subtract what was there at the last reset.
#include <fmt/format.h>
#include <mpnet/error.hpp>
#include <mpnet/port.hpp>
#include <mpnet/port_view.hpp>

#include <algorithm>
#include <memory>
#include <span>

#include "nic/local_port.hpp"

namespace mpnet {
namespace {

// relaxed throughout: statistics; each word has one writer and is right by itself
std::uint64_t since_reset(const std::atomic<std::uint64_t>& now, const std::atomic<std::uint64_t>& base) noexcept {
  return now.load(std::memory_order_relaxed) - base.load(std::memory_order_relaxed);
}

void add_rx(port_stats& sum, const detail::queue_shared& q) noexcept {
  sum.rx_packets += since_reset(q.counters.packets, q.baseline.packets);
  sum.rx_bytes += since_reset(q.counters.bytes, q.baseline.bytes);
  sum.rx_errors += since_reset(q.counters.errors, q.baseline.errors);
  sum.rx_nombuf += since_reset(q.counters.nombuf, q.baseline.nombuf);
  sum.rx_missed += since_reset(q.counters.missed, q.baseline.missed);
}

void add_tx(port_stats& sum, const detail::queue_shared& q) noexcept {
  sum.tx_packets += since_reset(q.counters.packets, q.baseline.packets);
  sum.tx_bytes += since_reset(q.counters.bytes, q.baseline.bytes);
  sum.tx_errors += since_reset(q.counters.errors, q.baseline.errors);
}

void reset_queue(detail::queue_shared& q) noexcept {
  using counters = detail::queue_counters;
  for (auto member : {&counters::packets, &counters::bytes, &counters::errors, &counters::nombuf, &counters::missed}) {
    (q.baseline.*member).store((q.counters.*member).load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
}

/// A queue of a copy of the table.
queue_snapshot snapshot_of(const detail::queue_shared& q) {
  return {.driver = nic::driver_in(q.driver.load(std::memory_order_relaxed)).value_or(queue_driver{}),
          .taken_count = q.taken_count.load(std::memory_order_relaxed),
          .packets = since_reset(q.counters.packets, q.baseline.packets),
          .bytes = since_reset(q.counters.bytes, q.baseline.bytes),
          .errors = since_reset(q.counters.errors, q.baseline.errors),
          .nombuf = since_reset(q.counters.nombuf, q.baseline.nombuf),
          .missed = since_reset(q.counters.missed, q.baseline.missed)};
}

port_snapshot snapshot_of(detail::port_shared& p) {
  for (std::span<char> text : {std::span<char>{p.name}, std::span<char>{p.driver}, std::span<char>{p.arguments}}) {
    text.back() = '\0';
  }
  port_snapshot s{.info = nic::info_of(p),
                  .mac = nic::unpack_mac(p.mac.load(std::memory_order_relaxed)),
                  .mtu = static_cast<std::uint16_t>(p.mtu.load(std::memory_order_relaxed)),
                  .link = nic::unpack_link(p.link.load(std::memory_order_relaxed))};
  for (std::size_t i = 0; i < std::min<std::size_t>(p.rx_queues, max_queues); ++i) s.rx.push_back(snapshot_of(p.rx[i]));
  for (std::size_t i = 0; i < std::min<std::size_t>(p.tx_queues, max_queues); ++i) s.tx.push_back(snapshot_of(p.tx[i]));
  return s;
}

}  // namespace

std::vector<port_snapshot> list_ports(const group_view& view) {
  std::vector<port_snapshot> ports;
  for (const zone_info& zone : view.zones()) {
    if (!nic::is_port_table(zone)) continue;
    const auto copy = std::make_unique<detail::port_table>();
    const auto address = reinterpret_cast<std::uintptr_t>(zone.address);
    if (!view.read(address, {reinterpret_cast<std::byte*>(copy.get()), sizeof *copy})) continue;
    for (detail::port_shared& p : copy->ports) {
      if (nic::is_there(p)) ports.push_back(snapshot_of(p));
    }
  }
  return ports;
}

port_stats port::stats() const {
  port_stats sum;
  nic::device& d = local().dev();
  d.add_stats(sum);  // first: it may fetch what the kernel counted into the queues' counters
  for (const auto& q : d.shared().rx) add_rx(sum, q);
  for (const auto& q : d.shared().tx) add_tx(sum, q);
  return sum;
}

port_stats port::stats(queue_id queue) const {
  const auto n = static_cast<std::uint16_t>(queue);
  port_stats sum;
  if (n >= max_queues) return sum;
  const detail::port_shared& shared = local().dev().shared();
  add_rx(sum, shared.rx[n]);
  add_tx(sum, shared.tx[n]);
  return sum;
}

std::vector<named_counter> port::extended_stats() const {
  const port_stats all = stats();
  std::vector<named_counter> list{{"rx_packets", all.rx_packets}, {"rx_bytes", all.rx_bytes},
                                  {"rx_missed", all.rx_missed},   {"rx_errors", all.rx_errors},
                                  {"rx_nombuf", all.rx_nombuf},   {"tx_packets", all.tx_packets},
                                  {"tx_bytes", all.tx_bytes},     {"tx_errors", all.tx_errors}};
  nic::device& d = local().dev();
  for (std::uint16_t q = 0; q < d.shared().rx_queues; ++q) {
    const port_stats one = stats(queue_id{q});
    list.push_back({fmt::format("rx_q{}_packets", q), one.rx_packets});
    list.push_back({fmt::format("rx_q{}_bytes", q), one.rx_bytes});
    list.push_back({fmt::format("rx_q{}_missed", q), one.rx_missed});
    list.push_back({fmt::format("rx_q{}_errors", q), one.rx_errors});
    list.push_back({fmt::format("rx_q{}_nombuf", q), one.rx_nombuf});
  }
  for (std::uint16_t q = 0; q < d.shared().tx_queues; ++q) {
    const port_stats one = stats(queue_id{q});
    list.push_back({fmt::format("tx_q{}_packets", q), one.tx_packets});
    list.push_back({fmt::format("tx_q{}_bytes", q), one.tx_bytes});
    list.push_back({fmt::format("tx_q{}_errors", q), one.tx_errors});
  }
  d.add_extended_stats(list);
  return list;
}

void port::reset_stats() const {
  local().locked("reset the statistics of", [](nic::device& d) {
    port_stats ignored;
    d.add_stats(ignored);
    d.reset_stats();
    for (auto& q : d.shared().rx) reset_queue(q);
    for (auto& q : d.shared().tx) reset_queue(q);
  });
}

}  // namespace mpnet
