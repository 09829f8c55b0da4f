// SPDX-License-Identifier: BSD-3-Clause
// Counters: the drivers of queues write theirs, readers subtract what was there at the last reset.
#include <fmt/format.h>
#include <mpnet/error.hpp>
#include <mpnet/port.hpp>

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

}  // namespace

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
