// SPDX-License-Identifier: BSD-3-Clause
// VFIO by its ioctls; see vfio.hpp.
#include "nic/vfio.hpp"

#include <mpnet/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace mpnet::nic {
namespace {

[[noreturn]] void fail(errc code, const std::string& what, const char* remedy) {
  const char* why = std::strerror(errno);
  throw error{code, fmt::format("{}: {}; {}", what, why, remedy)};
}

errc code_of(int e) {
  if (e == EACCES || e == EPERM) return errc::permission;
  if (e == EBUSY) return errc::busy;
  return errc::system;
}

}  // namespace

vfio_container vfio_container::open(bool no_iommu) {
  detail::unique_fd fd{::open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC)};
  if (!fd) {
    fail(code_of(errno), "VFIO: open /dev/vfio/vfio",
         "load the modules with `modprobe vfio-pci`, and let this user read and write /dev/vfio");
  }
  if (ioctl(fd.get(), VFIO_GET_API_VERSION) != VFIO_API_VERSION) {
    throw error{errc::incompatible, "VFIO: the kernel speaks another version of the interface"};
  }
  const unsigned long kind = no_iommu ? VFIO_NOIOMMU_IOMMU : VFIO_TYPE1v2_IOMMU;
  if (ioctl(fd.get(), VFIO_CHECK_EXTENSION, kind) <= 0) {
    throw error{errc::unsupported,
                no_iommu ? "VFIO: no-IOMMU mode is off; `modprobe vfio enable_unsafe_noiommu_mode=1` allows it"
                         : "VFIO: the kernel has no IOMMU; switch it on in the firmware and with intel_iommu=on (or "
                           "amd_iommu=on) on the kernel's command line"};
  }
  return vfio_container{std::move(fd)};
}

void vfio_container::enable(bool no_iommu) const {
  const unsigned long kind = no_iommu ? VFIO_NOIOMMU_IOMMU : VFIO_TYPE1v2_IOMMU;
  if (ioctl(fd_.get(), VFIO_SET_IOMMU, kind) == 0 || errno == EBUSY) return;  // EBUSY: it was set by another group
  if (errno == EINVAL) {  // set already, by this container's first device
    vfio_iommu_type1_info info{};
    info.argsz = sizeof(info);
    if (no_iommu || ioctl(fd_.get(), VFIO_IOMMU_GET_INFO, &info) == 0) return;
    errno = EINVAL;
  }
  fail(errc::system, "VFIO: set the IOMMU up", "see the kernel's log");
}

void vfio_container::map(const void* address, std::size_t bytes, iova at) const {
  vfio_iommu_type1_dma_map m{};
  m.argsz = sizeof(m);
  m.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  m.vaddr = reinterpret_cast<std::uintptr_t>(address);
  m.iova = static_cast<std::uint64_t>(at);
  m.size = bytes;
  if (ioctl(fd_.get(), VFIO_IOMMU_MAP_DMA, &m) == 0 || errno == EEXIST) return;
  const int e = errno;
  throw error{e == ENOMEM || e == ENOSPC ? errc::no_memory : code_of(e),
              fmt::format("VFIO: map {} bytes at IOVA {:#x} for DMA: {}; {}", bytes, static_cast<std::uint64_t>(at),
                          std::strerror(e),
                          e == ENOMEM   ? "raise the memory lock limit (`ulimit -l unlimited`)"
                          : e == ENOSPC ? "the container has no more mappings: use bigger hugepages, or raise "
                                          "vfio_iommu_type1's dma_entry_limit"
                          : e == EINVAL ? "the IOMMU's address width does not reach it"
                                        : "see the kernel's log")};
}

void vfio_container::unmap(std::size_t bytes, iova at) const {
  vfio_iommu_type1_dma_unmap u{};
  u.argsz = sizeof(u);
  u.iova = static_cast<std::uint64_t>(at);
  u.size = bytes;
  if (ioctl(fd_.get(), VFIO_IOMMU_UNMAP_DMA, &u) != 0) {
    fail(errc::system, fmt::format("VFIO: unmap IOVA {:#x}", static_cast<std::uint64_t>(at)), "see the kernel's log");
  }
  if (u.size != 0 && u.size != bytes) {
    throw error{errc::corrupt, fmt::format("VFIO: unmapping IOVA {:#x} took {} bytes instead of {}",
                                           static_cast<std::uint64_t>(at), static_cast<std::uint64_t>(u.size), bytes)};
  }
}

detail::unique_fd open_iommu_group(const vfio_container& container, const pci_device& d, bool no_iommu) {
  const std::string name = to_string(d.address);
  if (!d.iommu_group) {
    throw error{errc::unsupported,
                fmt::format("PCI device {}: it is in no IOMMU group; switch the IOMMU on (intel_iommu=on), or ask for "
                            "no-IOMMU mode, in which the device can reach all of memory",
                            name)};
  }
  const std::string path = fmt::format("/dev/vfio/{}{}", no_iommu ? "noiommu-" : "", *d.iommu_group);
  detail::unique_fd fd{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
  if (!fd) {
    fail(code_of(errno), fmt::format("PCI device {}: open {}", name, path),
         errno == EBUSY ? "another program has the device: `fuser -v /dev/vfio/*` names it"
                        : "let this user read and write that file");
  }
  vfio_group_status status{};
  status.argsz = sizeof(status);
  if (ioctl(fd.get(), VFIO_GROUP_GET_STATUS, &status) != 0 || (status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) {
    throw error{errc::busy, fmt::format("PCI device {}: other devices of its IOMMU group {} are in the kernel's hands; "
                                        "bind all of /sys/kernel/iommu_groups/{}/devices to vfio-pci",
                                        name, *d.iommu_group, *d.iommu_group)};
  }
  const int container_fd = container.fd();
  if ((status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET) == 0 &&
      ioctl(fd.get(), VFIO_GROUP_SET_CONTAINER, &container_fd) != 0) {
    fail(errc::system, fmt::format("PCI device {}: add its IOMMU group to the container", name),
         "see the kernel's log");
  }
  return fd;
}

bar_mapping& bar_mapping::operator=(bar_mapping&& other) noexcept {
  if (this != &other) {
    if (base_ != nullptr) munmap(base_, bytes_);
    base_ = std::exchange(other.base_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

bar_mapping::~bar_mapping() {
  if (base_ != nullptr) munmap(base_, bytes_);
}

vfio_device vfio_device::open(int group_fd, const pci_address& address) {
  const std::string name = to_string(address);
  detail::unique_fd fd{ioctl(group_fd, VFIO_GROUP_GET_DEVICE_FD, name.c_str())};
  if (!fd) fail(code_of(errno), fmt::format("PCI device {}: open it through VFIO", name), "see the kernel's log");
  fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  return vfio_device{std::move(fd)};
}

bar_mapping vfio_device::map_bar(unsigned index) const {
  vfio_region_info r{};
  r.argsz = sizeof(r);
  r.index = VFIO_PCI_BAR0_REGION_INDEX + index;
  if (ioctl(fd_.get(), VFIO_DEVICE_GET_REGION_INFO, &r) != 0 || r.size == 0 ||
      (r.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) {
    throw error{errc::unsupported, fmt::format("PCI device: BAR {} cannot be mapped", index)};
  }
  void* p = mmap(nullptr, r.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), static_cast<off_t>(r.offset));
  if (p == MAP_FAILED) fail(errc::system, fmt::format("PCI device: map BAR {}", index), "see the kernel's log");
  madvise(p, r.size, MADV_DONTDUMP);
  return {p, r.size};
}

void vfio_device::enable_bus_master() const {
  vfio_region_info r{};
  r.argsz = sizeof(r);
  r.index = VFIO_PCI_CONFIG_REGION_INDEX;
  std::uint16_t command = 0;
  const bool ok = ioctl(fd_.get(), VFIO_DEVICE_GET_REGION_INFO, &r) == 0 &&
                  pread(fd_.get(), &command, 2, static_cast<off_t>(r.offset + PCI_COMMAND)) == 2;
  command = static_cast<std::uint16_t>(command | PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
  if (!ok || pwrite(fd_.get(), &command, 2, static_cast<off_t>(r.offset + PCI_COMMAND)) != 2) {
    fail(errc::system, "PCI device: let it be bus master", "see the kernel's log");
  }
}

void vfio_device::reset() const noexcept {
  static_cast<void>(ioctl(fd_.get(), VFIO_DEVICE_RESET));
}

unsigned vfio_device::msix_vectors() const noexcept {
  vfio_irq_info i{};
  i.argsz = sizeof(i);
  i.index = VFIO_PCI_MSIX_IRQ_INDEX;
  return ioctl(fd_.get(), VFIO_DEVICE_GET_IRQ_INFO, &i) == 0 ? i.count : 0;
}

void vfio_device::set_msix(std::span<const int> event_fds) const {
  std::vector<char> buffer(sizeof(vfio_irq_set) + event_fds.size_bytes());
  auto* s = reinterpret_cast<vfio_irq_set*>(buffer.data());
  s->argsz = static_cast<std::uint32_t>(buffer.size());
  s->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
  s->index = VFIO_PCI_MSIX_IRQ_INDEX;
  s->start = 0;
  s->count = static_cast<std::uint32_t>(event_fds.size());
  std::memcpy(s->data, event_fds.data(), event_fds.size_bytes());
  if (ioctl(fd_.get(), VFIO_DEVICE_SET_IRQS, s) != 0) {
    fail(errc::system, "PCI device: set MSI-X up", "see the kernel's log");
  }
}

void vfio_device::disable_msix() const noexcept {
  vfio_irq_set s{};
  s.argsz = sizeof(s);
  s.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
  s.index = VFIO_PCI_MSIX_IRQ_INDEX;
  static_cast<void>(ioctl(fd_.get(), VFIO_DEVICE_SET_IRQS, &s));
}

}  // namespace mpnet::nic
