// SPDX-License-Identifier: BSD-3-Clause
#include "nic/pci_probe.hpp"

#include <fmt/format.h>
#include <mpnet/error.hpp>
#include <mpnet/log.hpp>
#include <mpnet/port.hpp>

#include <algorithm>
#include <string_view>

#include "nic/device.hpp"
#include "nic/igb/igb_device.hpp"
#include "nic/pci.hpp"

namespace mpnet::nic {
namespace {

pci_address address_in(std::string_view text, const char* option) {
  const auto a = parse_pci_address(text.substr(0, text.find(',')));
  if (!a) {
    throw error{errc::usage, fmt::format("{} {}: not a PCI address; write it as 0000:01:00.0", option, text)};
  }
  return *a;
}

void make_port(group& g, const pci_address& a, std::string_view text) {
  const std::string name = fmt::format("{}_{}", igb::igb_driver.name, to_string(a));
  const std::size_t comma = text.find(',');
  const std::string rest{comma == std::string_view::npos ? std::string_view{} : text.substr(comma)};
  static_cast<void>(create_port(g, igb::igb_driver, name, devargs::parse(name + rest)));
  log(log_level::info, "EAL", fmt::format("Probe PCI driver: {} device: {}", igb::igb_driver.name, to_string(a)));
}

}  // namespace

void probe_pci(group& g, std::span<const std::string> allowed, std::span<const std::string> blocked) {
  if (!allowed.empty()) {
    std::vector<std::pair<pci_address, std::string>> wanted;
    for (const std::string& text : allowed) wanted.emplace_back(address_in(text, "-a"), text);
    std::sort(wanted.begin(), wanted.end());
    for (const auto& [address, text] : wanted) make_port(g, address, text);
    return;
  }
  pci_filter filter;
  for (const std::string& text : blocked) filter.block.push_back(address_in(text, "-b"));
  for (const pci_device& d : list_pci_devices()) {
    if (!filter.permits(d.address) || igb::find_model(d.vendor_id, d.device_id) == nullptr) continue;
    if (d.kernel_driver != "vfio-pci") {
      log(log_level::info, "EAL",
          fmt::format("PCI device {}: left to {}", to_string(d.address),
                      d.kernel_driver.empty() ? "nobody" : d.kernel_driver));
      continue;
    }
    // The group has it already, with the arguments that it was asked for with.
    if (find_port(g, fmt::format("{}_{}", igb::igb_driver.name, to_string(d.address)))) continue;
    try {
      make_port(g, d.address, {});
    } catch (const error& e) {
      if (e.kind() != errc::busy) throw;  // another group has it: fine, as long as nobody asked for it
      log(log_level::notice, "EAL", e.what());
    }
  }
}

void join_pci(group& g) {
  for (const port_info& info : list_ports(g)) {
    if (info.driver == igb::igb_driver.name) static_cast<void>(find_port(g, info.id));
  }
}

}  // namespace mpnet::nic
