// SPDX-License-Identifier: BSD-3-Clause
// What server and clients share besides ports and packets: one memzone with the set-up and everybody's counts.
#pragma once

#include <mpnet/mpnet.hpp>

#include <atomic>
#include <cstdint>
#include <string>

inline constexpr unsigned max_clients = mpnet::max_queues;
inline constexpr const char* settings_name = "MP_SERVER";
inline constexpr const char* pool_name = "MBUF_POOL";

/// Counts of one writer, read by anybody: relaxed, since nothing hangs on their order.
struct count {
  std::atomic<std::uint64_t> value;
  void add(std::uint64_t n) noexcept { value.store(get() + n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get() const noexcept { return value.load(std::memory_order_relaxed); }
};

inline std::uint64_t total(const count (&ports)[mpnet::max_ports]) {
  std::uint64_t sum = 0;
  for (const count& c : ports) sum += c.get();
  return sum;
}

struct alignas(64) client_counts {
  count dealt;                 // server: w; put into the client's ring
  count refused;               // server: w; the ring was full: the packet was freed
  alignas(64) count received;  // client: w; so are those below
  count sent[mpnet::max_ports];
  count dropped[mpnet::max_ports];  // the port's queue was full: freed
};

struct settings {
  std::uint64_t port_mask;
  std::uint32_t client_count;
  std::uint32_t spare;
  alignas(64) count received[mpnet::max_ports];  // server: w
  client_counts clients[max_clients];
};

using packet_ring = mpnet::ring<mpnet::mbuf*>;
inline std::string ring_name(unsigned client) {
  return "MP_CLIENT_" + std::to_string(client);
}
