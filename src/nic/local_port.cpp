// SPDX-License-Identifier: BSD-3-Clause
// Claims on queues, and the states that a port goes through.
#include "nic/local_port.hpp"

#include <fmt/format.h>
#include <mpnet/detail/lease.hpp>
#include <mpnet/error.hpp>
#include <mpnet/memzone.hpp>

#include <algorithm>
#include <cstring>

namespace mpnet::nic {
namespace {

constexpr std::array both_sides{queue_side::rx, queue_side::tx};

const char* side_name(queue_side side) noexcept {
  return side == queue_side::rx ? "rx" : "tx";
}

bool includes(queue_side all, queue_side one) noexcept {
  return (static_cast<unsigned>(all) & static_cast<unsigned>(one)) != 0;
}

void copy_name(std::span<char> to, std::string_view from) noexcept {
  std::memset(to.data(), 0, to.size());
  std::memcpy(to.data(), from.data(), std::min(from.size(), to.size() - 1));
}

void require_pool(group& g, const std::string& what, std::string_view name) {
  if (!name.empty() && find_zone(g, zone_kind::pool, name)) return;
  throw error{errc::not_found, name.empty() ? fmt::format("{}: no mbuf pool was named; received packets need one", what)
                                            : fmt::format("{}: there is no pool '{}'; create it first", what, name)};
}

}  // namespace

local_port::local_port(group& g, port_shared& shared, const driver&, std::unique_ptr<device> dev)
    : group_(g),
      shared_(shared),
      generation_(shared.generation.load(std::memory_order_relaxed)),  // relaxed: the port cannot change meanwhile
      device_(std::move(dev)) {}

local_port::~local_port() {
  close();
}

bool local_port::is_current() const noexcept {
  if (device_ == nullptr) return false;  // closed: the region may be gone
  // relaxed: ordered by the acquire load of the state before it
  return is_there(shared_) && shared_.generation.load(std::memory_order_relaxed) == generation_;
}

device& local_port::dev() const {
  if (device_ == nullptr || !is_current()) {
    throw error{errc::not_found, "this port was removed, or its group left; find the port again"};
  }
  return *device_;
}

std::string local_port::what(std::string_view verb) const {
  return fmt::format("{} port '{}'", verb, device_ != nullptr ? static_cast<const char*>(shared_.name) : "?");
}

void local_port::require_undriven(std::string_view verb, bool others_only) {
  for (const queue_side side : both_sides) {
    for (std::uint16_t q = 0; q < max_queues; ++q) {
      // relaxed: the control lock orders claims
      const std::uint64_t word = queue_of(q, side).driver.load(std::memory_order_relaxed);
      if (word == 0 || (others_only && word == mine(q, side))) continue;
      if (is_claim_dead(group_, word)) {
        detail::recovery_counts counts;
        repair_port(group_, shared_,
                    {.slot = process_id{static_cast<std::uint16_t>(detail::claim_tag(word) - 1)},
                     .tag = detail::claim_tag(word)},
                    counts);
        continue;
      }
      throw error{errc::busy, fmt::format("{}: {} drives its {} queue {}; end it or let it give the queue back first",
                                          what(verb), describe_claim(word), side_name(side), q)};
    }
  }
}

void local_port::configure_locked(device& d, const port_config& config) {
  const std::string text = what("configure");
  if (state_of(shared_) == port_state::started) {
    throw error{errc::busy, fmt::format("{}: it is started; stop it first", text)};
  }
  require_undriven("configure", false);
  const port_capabilities can = d.capabilities();
  if (config.rx_queues > can.max_rx_queues || config.tx_queues > can.max_tx_queues ||
      config.rx_queues + config.tx_queues == 0) {
    throw error{errc::invalid_argument,
                fmt::format("{}: {} rx and {} tx queues asked for; it has {} and {}", text, config.rx_queues,
                            config.tx_queues, can.max_rx_queues, can.max_tx_queues)};
  }
  for (const std::uint16_t count : {config.rx_descriptors, config.tx_descriptors}) {
    if (count == 0 || can.max_descriptors == 0) continue;
    if (count < can.min_descriptors || count > can.max_descriptors || count % can.descriptor_multiple != 0) {
      throw error{errc::invalid_argument,
                  fmt::format("{}: {} descriptors a queue; it takes {} to {}, in multiples of {}", text, count,
                              can.min_descriptors, can.max_descriptors, can.descriptor_multiple)};
    }
  }
  if ((config.rx_offloads & ~can.rx_offloads) != 0 || (config.tx_offloads & ~can.tx_offloads) != 0) {
    throw error{errc::unsupported,
                fmt::format("{}: offloads rx {:#x}, tx {:#x} asked for; it has rx {:#x}, tx {:#x}", text,
                            config.rx_offloads, config.tx_offloads, can.rx_offloads, can.tx_offloads)};
  }
  if (config.rx_queues > 0) require_pool(group_, text, config.pool);
  if (config.mtu != 0 && config.mtu != shared_.mtu.load(std::memory_order_relaxed)) {  // relaxed: under the lock
    if (config.mtu < can.min_mtu || config.mtu > can.max_mtu) {
      throw error{errc::invalid_argument,
                  fmt::format("{}: MTU {}; it takes {} to {}", text, config.mtu, can.min_mtu, can.max_mtu)};
    }
    d.set_mtu(config.mtu);
    shared_.mtu.store(config.mtu, std::memory_order_relaxed);  // relaxed: a word of its own
  }
  shared_.configured = 0;  // a death from here on leaves an unconfigured port
  shared_.rx_queues = config.rx_queues;
  shared_.tx_queues = config.tx_queues;
  shared_.rx_offloads = config.rx_offloads;
  shared_.tx_offloads = config.tx_offloads;
  for (detail::queue_shared& q : shared_.rx) {
    q.descriptors = config.rx_descriptors;
    copy_name(q.pool, config.pool);
  }
  for (detail::queue_shared& q : shared_.tx) q.descriptors = config.tx_descriptors;
  d.configure(config);
  shared_.configured = 1;
}

void local_port::configure(const port_config& config) {
  locked("configure", [&](device& d) { configure_locked(d, config); });
}

void local_port::start_locked(device& d) {
  if (state_of(shared_) == port_state::started) return;
  if (shared_.configured == 0) {
    throw error{errc::invalid_argument, fmt::format("{}: configure it first", what("start"))};
  }
  d.start();
  set_state(shared_, port_state::started);
  for (const queue_side side : both_sides) {
    for (std::uint16_t q = 0; q < max_queues; ++q) {
      if (mine(q, side) != 0) bind(d, q, side);
    }
  }
}

void local_port::start() {
  locked("start", [&](device& d) { start_locked(d); });
}

void local_port::stop() {
  locked("stop", [&](device& d) {
    if (state_of(shared_) != port_state::started) return;
    require_undriven("stop", true);
    for (const queue_side side : both_sides) {
      for (std::uint16_t q = 0; q < max_queues; ++q) {
        if (mine(q, side) != 0) unbind(q, side);
      }
    }
    d.stop();  // a death here leaves it started: whoever comes next stops it again
    set_state(shared_, port_state::stopped);
  });
}

void local_port::bring_up(const port_config& config) {
  locked("bring up", [&](device& d) {
    if (state_of(shared_) == port_state::started) {
      if (shared_.rx_queues == config.rx_queues && shared_.tx_queues == config.tx_queues) return;
      throw error{
          errc::incompatible,
          fmt::format("{}: it runs with {} rx and {} tx queues, {} and {} asked for; give the same numbers as "
                      "the process that started it",
                      what("bring up"), shared_.rx_queues, shared_.tx_queues, config.rx_queues, config.tx_queues)};
    }
    configure_locked(d, config);
    start_locked(d);
  });
}

void local_port::set_rx_pool(std::uint16_t queue, std::string_view pool) {
  locked("set the pool of", [&](device&) {
    const std::string text = what("set the pool of");
    if (state_of(shared_) == port_state::started) throw error{errc::busy, text + ": it is started; stop it first"};
    if (shared_.configured == 0 || queue >= shared_.rx_queues) {
      throw error{errc::invalid_argument, fmt::format("{}: rx queue {} is not configured", text, queue)};
    }
    require_pool(group_, text, pool);
    copy_name(shared_.rx[queue].pool, pool);
  });
}

void local_port::bind(device& d, std::uint16_t queue, queue_side side) {
  if (side == queue_side::rx) {
    bursts_.rx[queue] = d.bind_rx(queue);
  } else {
    bursts_.tx[queue] = d.bind_tx(queue);
  }
}

void local_port::unbind(std::uint16_t queue, queue_side side) noexcept {
  detail::queue_entry& entry = side == queue_side::rx ? bursts_.rx[queue] : bursts_.tx[queue];
  if (entry.burst == &detail::burst_nothing) return;
  entry = {};
  if (device_ == nullptr) return;
  if (side == queue_side::rx) {
    device_->unbind_rx(queue);
  } else {
    device_->unbind_tx(queue);
  }
}

void local_port::claim(std::uint16_t queue, queue_side side) {
  const std::string text = fmt::format("{}, {} queue {}", what("take a queue of"), side_name(side), queue);
  const std::uint16_t count = side == queue_side::rx ? shared_.rx_queues : shared_.tx_queues;
  if (queue >= count) {
    throw error{errc::invalid_argument, fmt::format("{}: it is configured with {}", text, count)};
  }
  detail::queue_shared& q = queue_of(queue, side);
  const std::uint64_t word = own_claim(group_);
  for (;;) {
    std::uint64_t held = 0;
    // [A-queue] sees the indexes that the last driver stored; pairs with [R-queue].
    if (q.driver.compare_exchange_strong(held, word, std::memory_order_acquire, std::memory_order_relaxed)) break;
    if (!is_claim_dead(group_, held)) {
      throw error{errc::busy, fmt::format("{}: {} drives it{}", text, describe_claim(held),
                                          held == word ? " (this one)" : "; choose another, or end that process")};
    }
    detail::recovery_counts counts;
    repair_port(
        group_, shared_,
        {.slot = process_id{static_cast<std::uint16_t>(detail::claim_tag(held) - 1)}, .tag = detail::claim_tag(held)},
        counts);
  }
  mine(queue, side) = word;
}

void local_port::unclaim(std::uint16_t queue, queue_side side) noexcept {
  std::uint64_t word = std::exchange(mine(queue, side), 0);
  if (word == 0) return;
  // [R-queue] the indexes stored while it was ours are seen by the next taker; pairs with [A-queue].
  queue_of(queue, side).driver.compare_exchange_strong(word, 0, std::memory_order_release, std::memory_order_relaxed);
}

void local_port::take(std::uint16_t queue, queue_side side) {
  locked("take a queue of", [&](device& d) {
    if (state_of(shared_) != port_state::started) {
      throw error{errc::invalid_argument, fmt::format("{}: it is not started", what("take a queue of"))};
    }
    std::vector<queue_side> taken;
    try {
      for (const queue_side one : both_sides) {
        if (!includes(side, one)) continue;
        claim(queue, one);
        taken.push_back(one);
        bind(d, queue, one);
        // relaxed: a statistic under the lock
        queue_of(queue, one).taken_count.fetch_add(1, std::memory_order_relaxed);
      }
    } catch (...) {
      for (const queue_side one : taken) {
        unbind(queue, one);
        unclaim(queue, one);
      }
      throw;
    }
  });
}

void local_port::give_back(std::uint16_t queue, queue_side side) noexcept {
  const std::lock_guard threads{mutex_};
  for (const queue_side one : both_sides) {
    if (!includes(side, one) || mine(queue, one) == 0) continue;
    unbind(queue, one);
    if (device_ != nullptr) unclaim(queue, one);
  }
}

void local_port::abandon() noexcept {
  new (&mutex_) std::mutex;  // another thread of the parent may have held it
  for (std::uint16_t q = 0; q < max_queues; ++q) {
    bursts_.rx[q] = {};
    bursts_.tx[q] = {};
    rx_mine_[q] = tx_mine_[q] = 0;
  }
  device_.reset();
}

void local_port::close() noexcept {
  if (device_ == nullptr) return;
  for (std::uint16_t q = 0; q < max_queues; ++q) give_back(q, queue_side::both);
  const std::lock_guard threads{mutex_};
  device_.reset();
}

}  // namespace mpnet::nic
