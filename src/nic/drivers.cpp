// SPDX-License-Identifier: BSD-3-Clause
// The list of drivers.  A list, not registration by static objects, which a static library would lose.
#include <array>

#include "nic/device.hpp"

namespace mpnet::nic {

extern const driver null_driver;
extern const driver ring_driver;
extern const driver pcap_driver;
extern const driver af_packet_driver;
namespace igb {
extern const driver igb_driver;
}

namespace {
constexpr std::array<const driver*, 5> drivers{&null_driver, &ring_driver, &pcap_driver, &af_packet_driver,
                                               &igb::igb_driver};
}

std::span<const driver* const> all_drivers() noexcept {
  return drivers;
}

const driver* find_driver(std::string_view name) noexcept {
  const driver* best = nullptr;
  for (const driver* d : drivers) {
    const std::string_view candidate{d->name};
    if (name.starts_with(candidate) && (best == nullptr || candidate.size() > std::string_view{best->name}.size()))
      best = d;
  }
  return best;
}

}  // namespace mpnet::nic
