// SPDX-License-Identifier: BSD-3-Clause
// The plain types that a port is configured and asked with.  Included by <mpnet/port.hpp>; nothing here has state.
// Names and meanings follow rte_ethdev.h.
#pragma once

#include <mpnet/types.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mpnet {

struct mac_address {
  std::array<std::uint8_t, 6> bytes{};
  friend bool operator==(const mac_address&, const mac_address&) = default;
};
[[nodiscard]] std::string to_string(const mac_address& mac);         // "02:00:00:00:00:01"
[[nodiscard]] mac_address parse_mac_address(std::string_view text);  // throws invalid_argument

enum class queue_side : std::uint8_t { rx = 1, tx = 2, both = 3 };

/// Bits of port_config::rx_offloads and port_capabilities::rx_offloads.
namespace rx_offload {
inline constexpr std::uint64_t vlan_strip = 1 << 0, vlan_filter = 1 << 1, ipv4_checksum = 1 << 2, udp_checksum = 1 << 3,
                               tcp_checksum = 1 << 4, sctp_checksum = 1 << 5, rss_hash = 1 << 6, scatter = 1 << 7,
                               packet_type = 1 << 8, large_receive = 1 << 9;
}  // namespace rx_offload

/// Bits of port_config::tx_offloads and port_capabilities::tx_offloads.
namespace tx_offload {
inline constexpr std::uint64_t vlan_insert = 1 << 0, ipv4_checksum = 1 << 1, udp_checksum = 1 << 2,
                               tcp_checksum = 1 << 3, sctp_checksum = 1 << 4, tcp_segmentation = 1 << 5,
                               multi_segment = 1 << 6, udp_segmentation = 1 << 7;
}  // namespace tx_offload

/// Bits of rss_config::hash_types.
namespace rss_type {
inline constexpr std::uint64_t ipv4 = 1 << 0, ipv4_tcp = 1 << 1, ipv4_udp = 1 << 2, ipv6 = 1 << 3, ipv6_tcp = 1 << 4,
                               ipv6_udp = 1 << 5, ipv6_ex = 1 << 6, ipv6_tcp_ex = 1 << 7, ipv6_udp_ex = 1 << 8;
}  // namespace rss_type

/// Which packet may land on which queue.  An empty key or table means the driver's default.
struct rss_config {
  std::uint64_t hash_types = 0;            // of rss_type
  std::vector<std::uint8_t> key;           // capabilities().rss_key_bytes long
  std::vector<std::uint16_t> redirection;  // queue numbers, capabilities().rss_table_size long
};

/// What configure() asks for.  Queue and descriptor counts of 0 mean "the driver's default".
struct port_config {
  std::uint16_t rx_queues = 1;
  std::uint16_t tx_queues = 1;
  std::uint16_t rx_descriptors = 0;  // a queue
  std::uint16_t tx_descriptors = 0;  // a queue
  std::string pool;                  // name of the mbuf pool that received packets come from
  std::uint64_t rx_offloads = 0;     // of rx_offload
  std::uint64_t tx_offloads = 0;     // of tx_offload
  std::uint16_t mtu = 0;             // 0: as it is
  rss_config rss{};
};

/// What the driver can do; fixed for the life of the port.
struct port_capabilities {
  std::uint16_t max_rx_queues = 1;
  std::uint16_t max_tx_queues = 1;
  std::uint16_t min_descriptors = 0, max_descriptors = 0, descriptor_multiple = 1;
  std::uint16_t min_mtu = 68, max_mtu = 65535;
  std::uint64_t rx_offloads = 0, tx_offloads = 0;
  std::uint64_t rss_hash_types = 0;
  std::uint16_t rss_table_size = 0, rss_key_bytes = 0;
  std::uint16_t max_mac_addresses = 1;
  bool rx_interrupts = false;  // arm_rx_interrupt() and rx_fd() work
  bool kernel_backed = false;  // a burst may cost one system call
};

struct link_status {
  bool up = false;
  bool full_duplex = true;
  bool autonegotiated = false;
  std::uint32_t link_mbps = 0;  // 0: unknown
};

/// Counters of one queue, or of a whole port.  Follows rte_eth_stats.
struct port_stats {
  std::uint64_t rx_packets = 0, rx_bytes = 0;
  std::uint64_t rx_missed = 0;  // arrived, but the device had no room for them
  std::uint64_t rx_errors = 0;  // arrived damaged or too long
  std::uint64_t rx_nombuf = 0;  // attempts that found the pool empty
  std::uint64_t tx_packets = 0, tx_bytes = 0;
  std::uint64_t tx_errors = 0;  // taken for sending, but could not be sent (too long, refused by the kernel)
};

struct named_counter {
  std::string name;  // "rx_q0_packets", "tx_errors", …
  std::uint64_t value = 0;
};

struct flow_control {
  bool rx_pause = false, tx_pause = false, autonegotiate = true;
  std::uint32_t high_water_bytes = 0, low_water_bytes = 0;  // 0: the driver's default
  std::uint16_t pause_time = 0;
};

enum class descriptor_state : std::uint8_t { available, done, unavailable, full };

struct device_register {
  std::string name;
  std::uint32_t offset = 0;
  std::uint32_t value = 0;
};

enum class port_state : std::uint32_t { none, creating, stopped, started, removing };
[[nodiscard]] std::string_view to_string(port_state state) noexcept;

struct port_info {
  port_id id = no_port;
  std::string name;
  std::string driver;     // "net_af_packet", "net_igb", …
  std::string arguments;  // as given when it was created
  port_state state{};
  std::uint16_t rx_queues = 0, tx_queues = 0;
  socket_id socket = any_socket;
};

/// Who drives a queue: pid as its own PID namespace numbers it.
struct queue_driver {
  process_id slot = no_process;
  std::uint32_t pid = 0;
};

}  // namespace mpnet
