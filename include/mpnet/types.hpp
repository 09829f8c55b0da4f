// SPDX-License-Identifier: BSD-3-Clause
// The strong ids and the limits that every other header uses.  Nothing here has state.
// Limits are part of the shared layout: members of a group must agree on them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mpnet {

enum class lcore : std::uint16_t {};       // a logical core: an id that one thread of the group holds
enum class process_id : std::uint16_t {};  // a member's slot in the group
enum class socket_id : std::int16_t {};    // a NUMA node
enum class port_id : std::uint16_t {};
enum class queue_id : std::uint16_t {};
enum class iova : std::uint64_t {};  // an address as a device sees it; never a pointer

inline constexpr lcore no_lcore{0xffff};
inline constexpr process_id no_process{0xffff};
inline constexpr socket_id any_socket{-1};
inline constexpr port_id no_port{0xffff};

inline constexpr std::size_t max_processes = 512;  // members of a group at one time
inline constexpr std::size_t max_lcores = 512;     // lcore ids, 0 … 511
inline constexpr std::size_t max_leases = 1024;    // lcores, then threads that use rings without an lcore id
inline constexpr std::size_t max_zones = 4096;     // memzones, rings, pools and port tables together
inline constexpr std::size_t max_segments = 16;    // {NUMA node, page size} pairs
inline constexpr std::size_t max_sockets = 8;      // NUMA nodes
inline constexpr std::size_t max_ports = 32;
inline constexpr std::size_t max_queues = 16;    // rx queues, and tx queues, of a port
inline constexpr std::size_t max_name_len = 63;  // bytes of a name, without its end
inline constexpr std::size_t cache_line = 64;

}  // namespace mpnet
