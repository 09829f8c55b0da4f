// SPDX-License-Identifier: BSD-3-Clause
// PCI devices: which there are (libpciaccess), what drives them, which of them this group may use, and the lock that
// keeps two groups off one device.  Control path.
#pragma once

#include <mpnet/detail/unique_fd.hpp>
#include <mpnet/types.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mpnet::nic {

struct pci_address {
  std::uint32_t domain = 0;
  std::uint8_t bus = 0, device = 0, function = 0;
  friend auto operator<=>(const pci_address&, const pci_address&) = default;
};
[[nodiscard]] std::string to_string(const pci_address& a);  // "0000:01:00.0"
/// "0000:01:00.0" or "01:00.0"; empty for anything else.
[[nodiscard]] std::optional<pci_address> parse_pci_address(std::string_view text) noexcept;

struct pci_device {
  pci_address address;
  std::uint16_t vendor_id = 0, device_id = 0;
  socket_id socket = any_socket;
  std::string kernel_driver;       // empty: bound to none
  std::optional<int> iommu_group;  // none: no IOMMU, and not bound in no-IOMMU mode
  bool no_iommu = false;           // the group is one that VFIO made up for want of an IOMMU
};

/// Those of the machine; empty where there is no PCI.
[[nodiscard]] std::vector<pci_device> list_pci_devices();
/// Throws not_found.
[[nodiscard]] pci_device find_pci_device(const pci_address& address);

/// -a and -b of the primary: with an allow list only its devices, else all but the block list's.
struct pci_filter {
  std::vector<pci_address> allow{}, block{};
  bool none = false;  // --no-pci
  [[nodiscard]] bool permits(const pci_address& a) const noexcept;
};

/// Throws unless vfio-pci drives the device, behind an IOMMU or, where it was asked for, without one; the text says
/// what to do about it.
void require_vfio_pci(const pci_device& d, bool no_iommu);

/// Held by every member of a group that uses the device, until it ends: a file in the runtime root, read-locked
/// (fcntl) by members.  Closing any descriptor of that file in this process would drop it, so there is one a device.
class device_lock {
 public:
  /// Throws busy naming the other group and a pid of it.
  device_lock(std::string_view runtime_root, std::string_view device, std::string_view group_name);
  /// The child of a fork has none of its parent's locks.
  void relock();

 private:
  detail::unique_fd fd_;
  std::string device_;
  std::string group_;
};

}  // namespace mpnet::nic
