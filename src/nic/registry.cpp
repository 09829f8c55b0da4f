// SPDX-License-Identifier: BSD-3-Clause
// The local halves of this process, and the making and removing of ports.
#include <fmt/format.h>
#include <pthread.h>
#include <mpnet/error.hpp>
#include <mpnet/memzone.hpp>

#include <algorithm>
#include <cstring>

#include "mem/local_state.hpp"
#include "nic/local_port.hpp"

namespace mpnet::nic {
namespace {

struct registry {
  std::mutex mutex;
  std::vector<std::shared_ptr<local_port>> halves;
};

registry& halves_of_process();

/// In the child of a fork the region is not mapped and nothing is driven.
void forget_in_child() {
  registry& r = halves_of_process();
  new (&r.mutex) std::mutex;  // another thread of the parent may have held it
  for (const auto& half : r.halves) half->abandon();
  r.halves.clear();
}

registry& halves_of_process() {
  static auto* const instance = [] {
    mem::at_leave(&leave_ports);
    ::pthread_atfork(nullptr, nullptr, &forget_in_child);
    return new registry;  // never destroyed: threads may outlive static destruction
  }();
  return *instance;
}

void copy_text(std::span<char> to, std::string_view from) noexcept {
  std::memset(to.data(), 0, to.size());
  std::memcpy(to.data(), from.data(), std::min(from.size(), to.size() - 1));
}

/// A place for a new port.  What dead creators left half made is erased first.  Under the table's lock.
port_shared& free_place(group& g, port_table& table, std::string_view name) {
  port_shared* place = nullptr;
  for (port_shared& p : table.ports) {
    const port_state s = state_of(p);
    if (s == port_state::creating || s == port_state::removing) erase_port(g, p);
    if (place == nullptr && state_of(p) == port_state::none) place = &p;
  }
  if (place == nullptr) {
    throw error{errc::limit, fmt::format("create port '{}': the group has {} ports already, the most there can be",
                                         name, max_ports)};
  }
  if (const auto leftover = find_zone(g, zone_kind::port, name)) free_zone(g, *leftover);
  return *place;
}

/// Zeroes what an earlier port left in the place, its claims included.
void clear_place(port_shared& p, std::uint16_t id, std::uint64_t generation) noexcept {
  const auto clear = [](std::atomic<std::uint64_t>& word) { word.store(0, std::memory_order_relaxed); };  // unpublished
  for (std::span<queue_shared> queues : {std::span{p.rx}, std::span{p.tx}}) {
    for (queue_shared& q : queues) {
      clear(q.driver);
      clear(q.taken_count);
      q.descriptors = 0;
      std::memset(q.pool, 0, sizeof q.pool);
      for (detail::queue_counters* c : {&q.counters, &q.baseline}) {
        for (auto* word : {&c->packets, &c->bytes, &c->errors, &c->nombuf, &c->missed}) clear(*word);
      }
      for (auto& word : q.words.word) clear(word);
    }
  }
  for (auto* word : {&p.control, &p.mac, &p.link}) clear(*word);
  p.mtu.store(1500, std::memory_order_relaxed);  // relaxed: unpublished
  p.flags.store(0, std::memory_order_relaxed);   // relaxed: unpublished
  p.rx_offloads = p.tx_offloads = 0;
  p.rx_queues = p.tx_queues = 0;
  p.configured = 0;
  p.area = p.area_bytes = 0;
  p.id = id;
  p.socket = 0;
  p.generation.store(generation, std::memory_order_relaxed);  // relaxed: published by the state
}

port_shared* port_of_name(port_table& table, std::string_view name) noexcept {
  const auto found = std::find_if(std::begin(table.ports), std::end(table.ports),
                                  [&](const port_shared& p) { return is_there(p) && name == p.name; });
  return found == std::end(table.ports) ? nullptr : found;
}

}  // namespace

void remember(std::shared_ptr<local_port> half) {
  registry& r = halves_of_process();
  const std::lock_guard lock{r.mutex};
  r.halves.push_back(std::move(half));
}

std::shared_ptr<local_port> local_half(group& g, port_shared& shared) {
  registry& r = halves_of_process();
  const std::lock_guard lock{r.mutex};
  std::erase_if(r.halves, [](const auto& half) {
    if (half->is_current()) return false;
    half->close();
    return true;
  });
  const auto known =
      std::find_if(r.halves.begin(), r.halves.end(), [&](const auto& h) { return &h->shared() == &shared; });
  if (known != r.halves.end()) return *known;
  if (!is_there(shared)) return nullptr;
  const driver* d = find_driver(shared.driver);
  if (d == nullptr) {
    throw error{errc::unsupported, fmt::format("port '{}': this build has no driver '{}'", shared.name, shared.driver)};
  }
  const std::string text{shared.arguments};
  const devargs arguments = devargs::parse(std::string{shared.name} + (text.empty() ? "" : ",") + text);
  auto half = std::make_shared<local_port>(g, shared, *d, d->attach(g, shared, arguments));
  r.halves.push_back(half);
  return half;
}

std::shared_ptr<local_port> create_port(group& g, const driver& d, std::string_view name, const devargs& arguments) {
  if (arguments.text().size() >= sizeof(port_shared::arguments)) {
    throw error{errc::limit, fmt::format("create port '{}': its arguments are longer than {} bytes", name,
                                         sizeof(port_shared::arguments) - 1)};
  }
  port_table& table = table_of(g);
  const word_lock lock{g, table.creation, fmt::format("create port '{}'", name), 20'000};
  if (port_shared* there = port_of_name(table, name)) {
    if (arguments.text() == there->arguments && std::string_view{d.name} == there->driver) return local_half(g, *there);
    throw error{errc::exists,
                fmt::format("create port '{}': it is there with other arguments ('{}'); give the same, or "
                            "another name",
                            name, there->arguments)};
  }
  port_shared& p = free_place(g, table, name);
  clear_place(p, static_cast<std::uint16_t>(&p - table.ports), table.nonce + ++table.next_generation);
  copy_text(p.name, name);
  copy_text(p.driver, d.name);
  copy_text(p.arguments, arguments.text());
  set_state(p, port_state::creating);
  try {
    auto dev = d.create(g, p, arguments);
    set_state(p, port_state::stopped);
    auto half = std::make_shared<local_port>(g, p, d, std::move(dev));
    remember(half);
    return half;
  } catch (...) {
    erase_port(g, p);
    throw;
  }
}

void* reserve_area(group& g, port_shared& shared, std::size_t bytes, std::size_t align_bytes) {
  const zone_info zone =
      reserve_zone(g, {.name = shared.name, .kind = zone_kind::port, .size_bytes = bytes, .align_bytes = align_bytes})
          .publish();
  shared.area = reinterpret_cast<std::uint64_t>(zone.address);
  shared.area_bytes = bytes;
  return zone.address;
}

void leave_ports() noexcept {
  registry& r = halves_of_process();
  const std::lock_guard lock{r.mutex};
  for (const auto& half : r.halves) half->close();
  r.halves.clear();
}

}  // namespace mpnet::nic
