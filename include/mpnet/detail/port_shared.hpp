// SPDX-License-Identifier: BSD-3-Clause
// The shared half of a port: an entry of the port table, a zone of kind port_table.  No code addresses, no descriptors:
// the driver is named, and each process builds its own local half (nic/device.hpp) from that name on first use.
// Lines are laid so that each process writes only lines of the queues that it drives.
#pragma once

#include <mpnet/detail/port_types.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace mpnet::detail {

/// Who drives a side of a queue: bits 0-15 the ownership tag (slot + 1), 16-31 the slot's incarnation, 32-63 the pid
/// (in its own PID namespace, for people).  0: nobody. Taken with a CAS from 0, given back by the owner, or by recovery
/// when the owner is dead.
using queue_claim_word = std::atomic<std::uint64_t>;
[[nodiscard]] constexpr std::uint16_t claim_tag(std::uint64_t word) noexcept {
  return static_cast<std::uint16_t>(word);
}
[[nodiscard]] constexpr std::uint32_t claim_incarnation(std::uint64_t word) noexcept {
  return static_cast<std::uint16_t>(word >> 16);
}
[[nodiscard]] constexpr std::uint32_t claim_pid(std::uint64_t word) noexcept {
  return static_cast<std::uint32_t>(word >> 32);
}

/// Written by the process that drives the queue, read by all.  `errors`: rx_errors or tx_errors.
struct alignas(cache_line) queue_counters {
  std::atomic<std::uint64_t> packets;
  std::atomic<std::uint64_t> bytes;
  std::atomic<std::uint64_t> errors;
  std::atomic<std::uint64_t> nombuf;  // rx only
  std::atomic<std::uint64_t> missed;  // rx only
  std::uint64_t spare[3];
};
static_assert(sizeof(queue_counters) == 64);

/// A driver's own words of a queue (ring indexes, file offsets): they outlive the process that drives it.
struct alignas(cache_line) queue_words {
  std::atomic<std::uint64_t> word[8];
};
static_assert(sizeof(queue_words) == 64);

struct alignas(cache_line) queue_shared {
  queue_claim_word driver;                 // CAS by takers
  std::atomic<std::uint64_t> taken_count;  // how often it was taken: a takeover is every one after the first
  std::uint16_t descriptors;               // configure: w, all: r
  std::uint16_t spare16[3];
  std::uint64_t spare[5];
  char pool[max_name_len + 1];  // rx: where its mbufs come from; configure, set_rx_pool: w
  queue_counters counters;
  queue_counters baseline;  // what reset_stats() subtracts; written by whoever resets
  queue_words words;        // meaning is the driver's
};
static_assert(sizeof(queue_shared) == 320);

struct alignas(cache_line) port_shared {
  std::atomic<std::uint32_t> state;  // port_state; the creator, then whoever holds `control`
  std::uint16_t id;                  // its place in the table
  std::int16_t socket;
  std::atomic<std::uint64_t> control;     // claim word of the process that changes the port (creates, configures, …)
  std::atomic<std::uint64_t> generation;  // differs for each port that ever had this place
  std::atomic<std::uint64_t> mac;         // low 48 bits, first byte lowest
  std::atomic<std::uint64_t> link;        // bit 0 up, 1 full duplex, 2 autonegotiated, 32-63 Mbit/s
  std::atomic<std::uint32_t> mtu;
  std::atomic<std::uint32_t> flags;        // port_flag
  std::uint64_t rx_offloads, tx_offloads;  // configure: w
  std::uint16_t rx_queues, tx_queues;      // configure: w
  std::uint32_t configured;                // 1 once configure() succeeded
  std::uint64_t area;                      // address of the driver's shared area, 0: none (create: w)
  std::uint64_t area_bytes;
  char name[max_name_len + 1];
  char driver[32];
  char arguments[512];
  queue_shared rx[max_queues];
  queue_shared tx[max_queues];
};

enum port_flag : std::uint32_t { flag_promiscuous = 1, flag_allmulticast = 2 };

struct port_table {
  std::uint64_t nonce;                  // format: w
  std::atomic<std::uint64_t> creation;  // claim word of the process that creates or removes a port
  std::uint64_t next_generation;        // under `creation`
  port_shared ports[max_ports];
};

}  // namespace mpnet::detail
