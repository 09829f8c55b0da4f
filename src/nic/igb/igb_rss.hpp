// SPDX-License-Identifier: BSD-3-Clause
// Which fields RSS hashes: the library's hash types and the bits of MRQC that stand for them, §8.10.19.
#pragma once

#include <mpnet/port.hpp>

#include <cstdint>

#include "igb_regs.hpp"

namespace mpnet::nic::igb {

struct rss_field {
  std::uint64_t type;   // of rss_type
  std::uint32_t field;  // of mrqc
};
inline constexpr rss_field rss_fields[] = {{rss_type::ipv4, mrqc::ipv4},
                                           {rss_type::ipv4_tcp, mrqc::tcp_ipv4},
                                           {rss_type::ipv4_udp, mrqc::udp_ipv4},
                                           {rss_type::ipv6, mrqc::ipv6},
                                           {rss_type::ipv6_tcp, mrqc::tcp_ipv6},
                                           {rss_type::ipv6_udp, mrqc::udp_ipv6},
                                           {rss_type::ipv6_ex, mrqc::ipv6_ex},
                                           {rss_type::ipv6_tcp_ex, mrqc::tcp_ipv6_ex},
                                           {rss_type::ipv6_udp_ex, mrqc::udp_ipv6_ex}};

inline constexpr std::uint64_t all_rss_types = [] {
  std::uint64_t types = 0;
  for (const rss_field& f : rss_fields) types |= f.type;
  return types;
}();

[[nodiscard]] constexpr std::uint32_t fields_of(std::uint64_t types) noexcept {
  std::uint32_t fields = 0;
  for (const rss_field& f : rss_fields) fields |= (types & f.type) != 0 ? f.field : 0;
  return fields;
}
[[nodiscard]] constexpr std::uint64_t types_of(std::uint32_t fields) noexcept {
  std::uint64_t types = 0;
  for (const rss_field& f : rss_fields) types |= (fields & f.field) != 0 ? f.type : 0;
  return types;
}

}  // namespace mpnet::nic::igb
