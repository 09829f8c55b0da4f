// SPDX-License-Identifier: BSD-3-Clause
// Which devices the driver knows, and in what they differ.  One table; everything else asks it.
#pragma once

#include <cstdint>
#include <span>

namespace mpnet::nic::igb {

enum class family : std::uint8_t { i82575, i82576, i82580, i350, i354, i210, i211 };

struct model {
  std::uint16_t device_id;  // vendor 0x8086
  family mac;
  const char* name;
  std::uint8_t rx_queues;
  std::uint8_t tx_queues;
  std::uint8_t mac_filters;   // receive address registers
  std::uint8_t msix_vectors;  // that the physical function has
};

inline constexpr std::uint16_t intel_vendor_id = 0x8086;

/// Null for a device that is not of the family.
[[nodiscard]] const model* find_model(std::uint16_t vendor_id, std::uint16_t device_id) noexcept;
[[nodiscard]] std::span<const model> all_models() noexcept;

[[nodiscard]] constexpr bool has_ivar(family f) noexcept {
  return f != family::i82575;
}
/// 82576: entry n & 7, queues 8-15 in the upper half; from the 82580 on: entry n / 2, odd queues in the upper half.
[[nodiscard]] constexpr bool ivar_by_pairs(family f) noexcept {
  return f != family::i82575 && f != family::i82576;
}
/// The redirection table of the 82575 holds the queue in bits 7:6.
[[nodiscard]] constexpr unsigned reta_shift(family f) noexcept {
  return f == family::i82575 ? 6 : 0;
}
/// The 82575 has one context slot a queue, numbered over all queues; later ones have two of each queue's own.
[[nodiscard]] constexpr bool context_by_queue(family f) noexcept {
  return f == family::i82575;
}
/// From the I350 on the CRC is stripped per queue as well.
[[nodiscard]] constexpr bool strips_crc_by_queue(family f) noexcept {
  return f >= family::i350;
}

}  // namespace mpnet::nic::igb
