// SPDX-License-Identifier: BSD-3-Clause
// Texts of ports' plain types, and their packed forms in the shared half.
#include <fmt/format.h>
#include <mpnet/detail/port_types.hpp>
#include <mpnet/error.hpp>

#include <charconv>

#include "nic/device.hpp"

namespace mpnet {

std::string to_string(const mac_address& mac) {
  return fmt::format("{:02x}", fmt::join(mac.bytes, ":"));
}

mac_address parse_mac_address(std::string_view text) {
  mac_address mac;
  bool good = text.size() == 17;
  for (std::size_t i = 0; good && i < 6; ++i) {
    const char* const at = text.data() + 3 * i;
    const auto [end, status] = std::from_chars(at, at + 2, mac.bytes[i], 16);
    good = status == std::errc{} && end == at + 2 && (i == 5 || at[2] == ':');
  }
  if (!good) {
    throw error{errc::invalid_argument, fmt::format("'{}' is no MAC address; write it as 02:00:00:00:00:01", text)};
  }
  return mac;
}

std::string_view to_string(port_state state) noexcept {
  switch (state) {
    case port_state::none:
      return "none";
    case port_state::creating:
      return "creating";
    case port_state::stopped:
      return "stopped";
    case port_state::started:
      return "started";
    case port_state::removing:
      return "removing";
  }
  return "corrupt";
}

namespace nic {

void device::refuse(const char* what) const {
  throw error{errc::unsupported, fmt::format("{} of port '{}': {} cannot", what, shared_.name, shared_.driver)};
}

std::uint64_t pack_mac(const mac_address& mac) noexcept {
  std::uint64_t word = 0;
  for (std::size_t i = 6; i-- > 0;) word = (word << 8) | mac.bytes[i];
  return word;
}

mac_address unpack_mac(std::uint64_t word) noexcept {
  mac_address mac;
  for (auto& byte : mac.bytes) {
    byte = static_cast<std::uint8_t>(word);
    word >>= 8;
  }
  return mac;
}

std::uint64_t pack_link(const link_status& link) noexcept {
  return (std::uint64_t{link.link_mbps} << 32) | (link.autonegotiated ? 4U : 0U) | (link.full_duplex ? 2U : 0U) |
         (link.up ? 1U : 0U);
}

link_status unpack_link(std::uint64_t word) noexcept {
  return {.up = (word & 1) != 0,
          .full_duplex = (word & 2) != 0,
          .autonegotiated = (word & 4) != 0,
          .link_mbps = static_cast<std::uint32_t>(word >> 32)};
}

mac_address mac_from_name(std::string_view name) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  mac_address mac = unpack_mac(hash);
  mac.bytes[0] = 2;
  return mac;
}

}  // namespace nic
}  // namespace mpnet
