// SPDX-License-Identifier: BSD-3-Clause
// The table of devices.  Ids are Intel's, as in the public PCI id list; queue, filter and vector counts from each
// device's datasheet.
#include "igb_models.hpp"

namespace mpnet::nic::igb {
namespace {

constexpr model models[] = {
    {0x10A7, family::i82575, "82575EB copper", 4, 4, 16, 10},
    {0x10A9, family::i82575, "82575EB fiber/SerDes", 4, 4, 16, 10},
    {0x10D6, family::i82575, "82575GB quad copper", 4, 4, 16, 10},
    {0x10C9, family::i82576, "82576", 16, 16, 24, 10},
    {0x10E6, family::i82576, "82576 fiber", 16, 16, 24, 10},
    {0x10E7, family::i82576, "82576 SerDes", 16, 16, 24, 10},
    {0x10E8, family::i82576, "82576 quad copper", 16, 16, 24, 10},
    {0x1526, family::i82576, "82576 quad copper ET2", 16, 16, 24, 10},
    {0x150A, family::i82576, "82576NS", 16, 16, 24, 10},
    {0x1518, family::i82576, "82576NS SerDes", 16, 16, 24, 10},
    {0x150D, family::i82576, "82576 quad SerDes", 16, 16, 24, 10},
    {0x150E, family::i82580, "82580 copper", 8, 8, 24, 10},
    {0x150F, family::i82580, "82580 fiber", 8, 8, 24, 10},
    {0x1510, family::i82580, "82580 SerDes", 8, 8, 24, 10},
    {0x1511, family::i82580, "82580 SGMII", 8, 8, 24, 10},
    {0x1516, family::i82580, "82580 copper, dual", 8, 8, 24, 10},
    {0x1527, family::i82580, "82580 quad fiber", 8, 8, 24, 10},
    {0x1521, family::i350, "I350 copper", 8, 8, 32, 10},
    {0x1522, family::i350, "I350 fiber", 8, 8, 32, 10},
    {0x1523, family::i350, "I350 SerDes", 8, 8, 32, 10},
    {0x1524, family::i350, "I350 SGMII", 8, 8, 32, 10},
    {0x1F40, family::i354, "I354 backplane 1 Gbit", 8, 8, 32, 10},
    {0x1F41, family::i354, "I354 SGMII", 8, 8, 32, 10},
    {0x1F45, family::i354, "I354 backplane 2.5 Gbit", 8, 8, 32, 10},
    {0x1533, family::i210, "I210 copper", 4, 4, 16, 5},
    {0x1536, family::i210, "I210 fiber", 4, 4, 16, 5},
    {0x1537, family::i210, "I210 SerDes", 4, 4, 16, 5},
    {0x1538, family::i210, "I210 SGMII", 4, 4, 16, 5},
    {0x157B, family::i210, "I210 copper, no flash", 4, 4, 16, 5},
    {0x157C, family::i210, "I210 SerDes, no flash", 4, 4, 16, 5},
    {0x1539, family::i211, "I211 copper", 2, 2, 16, 5},
};

}  // namespace

const model* find_model(std::uint16_t vendor_id, std::uint16_t device_id) noexcept {
  if (vendor_id != intel_vendor_id) return nullptr;
  for (const model& m : models) {
    if (m.device_id == device_id) return &m;
  }
  return nullptr;
}

std::span<const model> all_models() noexcept {
  return models;
}

}  // namespace mpnet::nic::igb
