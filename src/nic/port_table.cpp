// SPDX-License-Identifier: BSD-3-Clause
// The port table's zone, its locks, and its part in recovery.
#include "nic/port_table.hpp"

#include <fmt/format.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <mpnet/cycles.hpp>
#include <mpnet/detail/lease.hpp>
#include <mpnet/error.hpp>

#include <mutex>

#include "mem/layout_hash.hpp"
#include "mem/local_state.hpp"
#include "mem/membership.hpp"
#include "nic/device.hpp"

namespace mpnet::nic {
namespace {

constexpr std::uint64_t table_layout =
    mem::layout_hash(sizeof(port_table) ^ (max_ports << 32) ^ (max_queues << 40),
                     {MPNET_FIELD(detail::port_table, ports), MPNET_FIELD(detail::port_shared, control),
                      MPNET_FIELD(detail::port_shared, mac), MPNET_FIELD(detail::port_shared, link),
                      MPNET_FIELD(detail::port_shared, flags), MPNET_FIELD(detail::port_shared, rx_offloads),
                      MPNET_FIELD(detail::port_shared, area), MPNET_FIELD(detail::port_shared, name),
                      MPNET_FIELD(detail::port_shared, driver), MPNET_FIELD(detail::port_shared, arguments),
                      MPNET_FIELD(detail::port_shared, rx), MPNET_FIELD(detail::port_shared, tx),
                      MPNET_FIELD(detail::queue_shared, driver), MPNET_FIELD(detail::queue_shared, pool),
                      MPNET_FIELD(detail::queue_shared, counters), MPNET_FIELD(detail::queue_shared, words),
                      MPNET_FIELD(detail::queue_counters, nombuf)});

constexpr zone_spec table_spec{.name = "ports",
                               .kind = zone_kind::port_table,
                               .layout = table_layout,
                               .size_bytes = sizeof(port_table),
                               .align_bytes = cache_line};

void format_table(void* memory) {
  auto& table = *static_cast<port_table*>(memory);  // the zone is zeroed
  std::uint64_t nonce = 0;
  if (getrandom(&nonce, sizeof nonce, GRND_NONBLOCK) != sizeof nonce) nonce = detail::monotonic_ns();
  table.nonce = nonce | 1;
}

void release_claims(std::span<detail::queue_shared> queues, std::uint16_t tag, detail::recovery_counts& counts) {
  for (detail::queue_shared& queue : queues) {
    std::uint64_t word = queue.driver.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    if (detail::claim_tag(word) != tag) continue;
    // [R-queue] the dead driver's last stores, made visible by its death, are handed to the next taker; pairs with
    // [A-queue].
    if (queue.driver.compare_exchange_strong(word, 0, std::memory_order_release, std::memory_order_relaxed)) {
      ++counts.queues_released;
    }
  }
}

void release_word(std::atomic<std::uint64_t>& word, std::uint16_t tag) noexcept {
  std::uint64_t held = word.load(std::memory_order_relaxed);  // relaxed: the CAS decides
  // [R-control-word] pairs with [A-control-word].
  if (detail::claim_tag(held) == tag) {
    word.compare_exchange_strong(held, 0, std::memory_order_release, std::memory_order_relaxed);
  }
}

void repair_table(group& g, const zone_info& zone, const detail::dead_party& dead, detail::recovery_counts& counts) {
  if (dead.tag == 0 || !is_port_table(zone)) return;
  auto& table = *static_cast<port_table*>(zone.address);
  for (port_shared& p : table.ports) {
    if (!is_there(p)) continue;
    repair_port(g, p, dead, counts);
    release_word(p.control, dead.tag);
  }
  // Ports that it was making or removing are erased by the next who creates one: that needs the table's lock.
  release_word(table.creation, dead.tag);
}

void visit_table(group& g, const zone_info& zone, const std::function<void(void*)>& visit) {
  if (!is_port_table(zone)) return;
  for (port_shared& p : static_cast<port_table*>(zone.address)->ports) {
    if (!is_there(p)) continue;
    const driver* d = find_driver(p.driver);
    if (d != nullptr && d->holdings != nullptr) d->holdings(g, p, visit);
  }
}

}  // namespace

bool is_port_table(const zone_info& zone) noexcept {
  return zone.kind == table_spec.kind && zone.layout == table_layout && zone.size_bytes >= sizeof(port_table);
}

port_info info_of(const port_shared& p) {
  return {.id = port_id{p.id},
          .name = p.name,
          .driver = p.driver,
          .arguments = p.arguments,
          .state = state_of(p),
          .rx_queues = p.rx_queues,
          .tx_queues = p.tx_queues,
          .socket = socket_id{p.socket}};
}

std::optional<queue_driver> driver_in(std::uint64_t claim) noexcept {
  if (claim == 0) return {};
  return queue_driver{process_id{static_cast<std::uint16_t>(detail::claim_tag(claim) - 1)}, detail::claim_pid(claim)};
}

void register_port_kind() {
  static std::once_flag once;
  std::call_once(once, [] {
    detail::register_kind(
        {.kind = zone_kind::port_table, .name = "ports", .repair = &repair_table, .holdings = &visit_table});
  });
}

port_table& table_of(group& g) {
  register_port_kind();
  return *static_cast<port_table*>(find_or_reserve_zone(g, table_spec, &format_table).address);
}

port_table* find_table(group& g) {
  register_port_kind();
  const auto zone = find_zone(g, table_spec.kind, table_spec.name, table_layout);
  return zone ? static_cast<port_table*>(zone->address) : nullptr;
}

std::uint64_t own_claim(const group& g) noexcept {
  return (static_cast<std::uint64_t>(getpid()) << 32) |
         (static_cast<std::uint64_t>(g.local().incarnation & 0xffff) << 16) |
         (static_cast<std::uint64_t>(g.local().slot) + 1);
}

bool is_claim_dead(const group& g, std::uint64_t word) noexcept {
  if (word == 0 || detail::claim_tag(word) == 0) return false;
  if (word == own_claim(g)) return false;
  return mem::is_process_dead(g, detail::claim_tag(word) - 1U, detail::claim_incarnation(word));
}

std::string describe_claim(std::uint64_t word) {
  return fmt::format("process {}", detail::claim_pid(word));
}

word_lock::word_lock(const group& g, std::atomic<std::uint64_t>& word, const std::string& what, int timeout_ms)
    : word_(word), mine_(own_claim(g)) {
  const std::uint64_t end = detail::monotonic_ns() + static_cast<std::uint64_t>(timeout_ms) * 1'000'000;
  for (;;) {
    std::uint64_t held = 0;
    // [A-control-word] sees all that the last holder wrote; pairs with [R-control-word].
    if (word.compare_exchange_strong(held, mine_, std::memory_order_acquire, std::memory_order_relaxed)) return;
    // A dead holder's word may be taken over by any number of finders: the CAS picks one.
    if (is_claim_dead(g, held) &&
        word.compare_exchange_strong(held, mine_, std::memory_order_acquire, std::memory_order_relaxed)) {
      return;
    }
    if (detail::monotonic_ns() > end) {
      throw error{errc::busy,
                  fmt::format("{}: {} is changing it (for {} ms now); wait for it, or end it if it is stopped", what,
                              describe_claim(held), timeout_ms)};
    }
    const timespec pause{.tv_sec = 0, .tv_nsec = 500'000};
    nanosleep(&pause, nullptr);
  }
}

word_lock::~word_lock() {
  std::uint64_t held = mine_;
  // [R-control-word] pairs with [A-control-word].
  word_.compare_exchange_strong(held, 0, std::memory_order_release, std::memory_order_relaxed);
}

void repair_port(group& g, port_shared& p, const detail::dead_party& dead, detail::recovery_counts& counts) {
  const driver* d = find_driver(p.driver);
  if (d != nullptr && d->repair != nullptr) d->repair(g, p, dead, counts);
  release_claims(p.rx, dead.tag, counts);
  release_claims(p.tx, dead.tag, counts);
}

void erase_port(group& g, port_shared& p) noexcept {
  set_state(p, port_state::removing);
  try {
    const driver* d = find_driver(p.driver);
    if (d != nullptr && d->destroy != nullptr) d->destroy(g, p);
    if (const auto zone = find_zone(g, zone_kind::port, p.name)) free_zone(g, *zone);
  } catch (const std::exception&) {
    // The memory stays reserved under the port's name; the next port of that name frees it first.
  }
  p.area = 0;
  set_state(p, port_state::none);
}

}  // namespace mpnet::nic
