// SPDX-License-Identifier: BSD-3-Clause
// The statistics registers of 82576 datasheet §8.19, as a table: extended statistics are read by walking it.  Every one
// clears when it is read, so they are summed in shared memory under the port's lock.  Pairs (…L, …H) clear when the
// high word is read: the low word is read first.
#pragma once

#include "igb_regs.hpp"

namespace mpnet::nic::igb {

struct stat_reg {
  const char* name;  // as in the extended statistics
  reg<access::rc> low;
  reg<access::rc> high;  // offset 0: a 32-bit counter
};

inline constexpr stat_reg stat_regs[] = {
    {"rx_crc_errors", {0x4000}, {0}},
    {"rx_align_errors", {0x4004}, {0}},
    {"rx_symbol_errors", {0x4008}, {0}},
    {"rx_errors_phy", {0x400C}, {0}},
    {"rx_missed_packets", {0x4010}, {0}},
    {"tx_single_collision_packets", {0x4014}, {0}},
    {"tx_excessive_collision_packets", {0x4018}, {0}},
    {"tx_multiple_collision_packets", {0x401C}, {0}},
    {"tx_late_collisions", {0x4020}, {0}},
    {"tx_total_collisions", {0x4028}, {0}},
    {"tx_deferred_packets", {0x4030}, {0}},
    {"tx_no_carrier_sense_packets", {0x4034}, {0}},
    {"rx_carrier_ext_errors", {0x403C}, {0}},
    {"rx_length_errors", {0x4040}, {0}},
    {"rx_xon_packets", {0x4048}, {0}},
    {"tx_xon_packets", {0x404C}, {0}},
    {"rx_xoff_packets", {0x4050}, {0}},
    {"tx_xoff_packets", {0x4054}, {0}},
    {"rx_flow_control_unsupported_packets", {0x4058}, {0}},
    {"rx_size_64_packets", {0x405C}, {0}},
    {"rx_size_65_to_127_packets", {0x4060}, {0}},
    {"rx_size_128_to_255_packets", {0x4064}, {0}},
    {"rx_size_256_to_511_packets", {0x4068}, {0}},
    {"rx_size_512_to_1023_packets", {0x406C}, {0}},
    {"rx_size_1024_to_max_packets", {0x4070}, {0}},
    {"rx_good_packets_wire", {0x4074}, {0}},
    {"rx_broadcast_packets", {0x4078}, {0}},
    {"rx_multicast_packets", {0x407C}, {0}},
    {"tx_good_packets_wire", {0x4080}, {0}},
    {"rx_good_bytes_wire", {0x4088}, {0x408C}},
    {"tx_good_bytes_wire", {0x4090}, {0x4094}},
    {"rx_no_buffer_packets", {0x40A0}, {0}},
    {"rx_undersize_errors", {0x40A4}, {0}},
    {"rx_fragment_errors", {0x40A8}, {0}},
    {"rx_oversize_errors", {0x40AC}, {0}},
    {"rx_jabber_errors", {0x40B0}, {0}},
    {"rx_management_packets", {0x40B4}, {0}},
    {"rx_management_dropped", {0x40B8}, {0}},
    {"tx_management_packets", {0x40BC}, {0}},
    {"rx_total_bytes", {0x40C0}, {0x40C4}},
    {"tx_total_bytes", {0x40C8}, {0x40CC}},
    {"rx_total_packets", {0x40D0}, {0}},
    {"tx_total_packets", {0x40D4}, {0}},
    {"tx_size_64_packets", {0x40D8}, {0}},
    {"tx_size_65_to_127_packets", {0x40DC}, {0}},
    {"tx_size_128_to_255_packets", {0x40E0}, {0}},
    {"tx_size_256_to_511_packets", {0x40E4}, {0}},
    {"tx_size_512_to_1023_packets", {0x40E8}, {0}},
    {"tx_size_1024_to_max_packets", {0x40EC}, {0}},
    {"tx_multicast_packets", {0x40F0}, {0}},
    {"tx_broadcast_packets", {0x40F4}, {0}},
    {"tx_tso_packets", {0x40F8}, {0}},
    {"interrupt_assert_count", {0x4100}, {0}},
    {"rx_descriptor_lower_threshold", {0x4120}, {0}},
};
inline constexpr std::size_t stat_reg_count = sizeof(stat_regs) / sizeof(stat_regs[0]);

/// The entries that basic statistics use.
enum stat_index : std::size_t { stat_crc_errors = 0, stat_missed = 4, stat_length_errors = 13 };

}  // namespace mpnet::nic::igb
