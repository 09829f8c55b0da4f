// SPDX-License-Identifier: BSD-3-Clause
// Makes ports of the PCI devices that the group may use, and keeps every member a holder of them.  Control path.
#pragma once

#include <mpnet/group.hpp>

#include <span>
#include <string>

namespace mpnet::nic {

/// The primary's, once messages work: a port for each device that a driver knows, in order of addresses.  `allowed` and
/// `blocked` are the -a and -b texts: "0000:01:00.0" or "0000:01:00.0,no_iommu=1".  A device that is allowed by name
/// must work: whatever is wrong with it is thrown.  Otherwise devices that vfio-pci does not drive are left alone.
/// Devices that the group has already are taken over as they run.
void probe_pci(group& g, std::span<const std::string> allowed, std::span<const std::string> blocked);

/// Every other member's, once messages work: takes part in holding the group's devices, so that they outlive the
/// primary and memory that this process adds is mapped for them.
void join_pci(group& g);

}  // namespace mpnet::nic
