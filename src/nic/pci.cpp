// SPDX-License-Identifier: BSD-3-Clause
// PCI discovery through libpciaccess, and what only sysfs tells: the kernel's driver, the IOMMU group, the NUMA node.
#include "nic/pci.hpp"

#include <mpnet/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <pciaccess.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>

namespace mpnet::nic {
namespace {

namespace fs = std::filesystem;

fs::path sysfs(const pci_address& a) {
  return fs::path{"/sys/bus/pci/devices"} / to_string(a);
}

std::string link_name(const fs::path& link) {
  std::error_code missing;
  const fs::path target = fs::read_symlink(link, missing);
  return missing ? std::string{} : target.filename().string();
}

pci_device describe(const pci_address& a, std::uint16_t vendor, std::uint16_t device) {
  pci_device d{.address = a,
               .vendor_id = vendor,
               .device_id = device,
               .kernel_driver = link_name(sysfs(a) / "driver"),
               .iommu_group = {},
               .no_iommu = false};
  int node = -1;
  if (std::ifstream file{sysfs(a) / "numa_node"}) file >> node;
  d.socket = socket_id{static_cast<std::int16_t>(node)};
  const std::string group = link_name(sysfs(a) / "iommu_group");
  if (!group.empty()) d.iommu_group = std::atoi(group.c_str());
  if (std::ifstream file{sysfs(a) / "iommu_group" / "name"}) {
    std::string name;
    file >> name;
    d.no_iommu = name == "vfio-noiommu";
  }
  return d;
}

}  // namespace

std::string to_string(const pci_address& a) {
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", a.domain, a.bus, a.device, a.function);
}

std::optional<pci_address> parse_pci_address(std::string_view text) noexcept {
  const std::string s{text};
  unsigned domain = 0, bus = 0, device = 0, function = 0;
  int used = -1;
  if (std::sscanf(s.c_str(), "%4x:%2x:%2x.%1x%n", &domain, &bus, &device, &function, &used) != 4 ||
      used != static_cast<int>(s.size())) {
    domain = 0;
    used = -1;
    if (std::sscanf(s.c_str(), "%2x:%2x.%1x%n", &bus, &device, &function, &used) != 3 ||
        used != static_cast<int>(s.size())) {
      return {};
    }
  }
  if (device > 31 || function > 7) return {};
  return pci_address{domain, static_cast<std::uint8_t>(bus), static_cast<std::uint8_t>(device),
                     static_cast<std::uint8_t>(function)};
}

std::vector<pci_device> list_pci_devices() {
  static std::mutex one_at_a_time;  // libpciaccess keeps its state in globals
  const std::lock_guard guard{one_at_a_time};
  std::vector<pci_device> out;
  if (pci_system_init() != 0) return out;  // no PCI on this machine
  pci_device_iterator* it = pci_slot_match_iterator_create(nullptr);
  while (it != nullptr) {
    const ::pci_device* p = pci_device_next(it);
    if (p == nullptr) break;
    const pci_address a{p->domain, static_cast<std::uint8_t>(p->bus), static_cast<std::uint8_t>(p->dev),
                        static_cast<std::uint8_t>(p->func)};
    out.push_back(describe(a, static_cast<std::uint16_t>(p->vendor_id), static_cast<std::uint16_t>(p->device_id)));
  }
  pci_iterator_destroy(it);
  pci_system_cleanup();
  std::sort(out.begin(), out.end(), [](const auto& x, const auto& y) { return x.address < y.address; });
  return out;
}

pci_device find_pci_device(const pci_address& address) {
  for (pci_device& d : list_pci_devices()) {
    if (d.address == address) return std::move(d);
  }
  throw error{errc::not_found,
              fmt::format("PCI device {}: there is none; `lspci -D` lists those that are", to_string(address))};
}

bool pci_filter::permits(const pci_address& a) const noexcept {
  const auto in = [&](const std::vector<pci_address>& list) {
    return std::find(list.begin(), list.end(), a) != list.end();
  };
  if (none) return false;
  return allow.empty() ? !in(block) : in(allow);
}

void require_vfio_pci(const pci_device& d, bool no_iommu) {
  const std::string name = to_string(d.address);
  // vfio-pci binds no device that is in no IOMMU group, but in no-IOMMU mode.
  const bool behind_iommu = d.iommu_group && !d.no_iommu;
  if (no_iommu && behind_iommu) {
    throw error{errc::usage,
                fmt::format("PCI device {}: no_iommu=1 is for machines without an IOMMU, and this device is "
                            "behind one; leave it out",
                            name)};
  }
  const std::string without = fmt::format(
      "where the device may reach all of memory, allow that with `echo 1 "
      ">/sys/module/vfio/parameters/enable_unsafe_noiommu_mode` and ask for it with -a {},no_iommu=1",
      name);
  if (d.kernel_driver == "vfio-pci") {
    if (no_iommu || behind_iommu) return;
    throw error{errc::unsupported,
                fmt::format("PCI device {}: no IOMMU stands between it and memory; switch the IOMMU on "
                            "(intel_iommu=on or amd_iommu=on for the kernel), or, {}",
                            name, without)};
  }
  const std::string state = d.kernel_driver.empty() ? std::string{"no driver is bound"}
                                                    : fmt::format("the kernel's driver {} has it", d.kernel_driver);
  const std::string first =
      behind_iommu ? ""
      : no_iommu
          ? "allow no-IOMMU mode (enable_unsafe_noiommu_mode=1 for the module vfio), then "
          : fmt::format("switch the IOMMU on (intel_iommu=on or amd_iommu=on for the kernel; or, {}), then ", without);
  throw error{errc::busy,
              fmt::format("PCI device {}: {}, but user space needs vfio-pci; {}bind it with `modprobe vfio-pci && "
                          "driverctl set-override {} vfio-pci`",
                          name, state, first, name)};
}

// The lock file: byte 0 is read-locked by each member of the group that has the device; byte 1 is write-locked for the
// moment in which the owner changes.  The text is the group's name, right whenever byte 0 is locked.
namespace {
bool set_lock(int fd, int command, short type, off_t byte, struct flock* answer = nullptr) {
  struct flock l {};
  l.l_type = type;
  l.l_whence = SEEK_SET;
  l.l_start = byte;
  l.l_len = 1;
  int rc = 0;
  do rc = fcntl(fd, command, &l);
  while (rc != 0 && errno == EINTR);
  if (answer != nullptr) *answer = l;
  return rc == 0;
}
}  // namespace

device_lock::device_lock(std::string_view runtime_root, std::string_view device, std::string_view group_name)
    : device_(device), group_(group_name) {
  std::error_code ignored;
  fs::create_directories(runtime_root, ignored);
  const std::string path = fmt::format("{}/device-{}.lock", runtime_root, device);
  fd_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd_) {
    throw error{errc::system, fmt::format("lock device {}: open {}: {}; make the directory writable", device, path,
                                          std::strerror(errno))};
  }
  relock();
}

void device_lock::relock() {
  const int fd = fd_.get();
  if (!set_lock(fd, F_SETLKW, F_WRLCK, 1)) {
    throw error{errc::system, fmt::format("lock device {}: {}", device_, std::strerror(errno))};
  }
  struct flock holder {};
  set_lock(fd, F_GETLK, F_WRLCK, 0, &holder);
  char text[256] = {};
  const ssize_t n = ::pread(fd, text, sizeof(text) - 1, 0);
  const std::string owner{text, static_cast<std::size_t>(n > 0 ? n : 0)};
  if (holder.l_type != F_UNLCK && owner != group_) {
    set_lock(fd, F_SETLK, F_UNLCK, 1);
    throw error{errc::busy, fmt::format("device {}: group '{}' (pid {}) uses it; stop that group, or leave the device "
                                        "out with -b {}",
                                        device_, owner, holder.l_pid, device_)};
  }
  bool ok = set_lock(fd, F_SETLK, F_RDLCK, 0);
  if (ok && owner != group_) {
    ok =
        ::ftruncate(fd, 0) == 0 && ::pwrite(fd, group_.data(), group_.size(), 0) == static_cast<ssize_t>(group_.size());
  }
  set_lock(fd, F_SETLK, F_UNLCK, 1);
  if (!ok) throw error{errc::system, fmt::format("lock device {}: {}", device_, std::strerror(errno))};
}

}  // namespace mpnet::nic
