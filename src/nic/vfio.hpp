// SPDX-License-Identifier: BSD-3-Clause
// VFIO: the container (one IOMMU address space for the group of processes), IOMMU groups, devices, interrupts.
// Linux's Documentation/driver-api/vfio.rst.  Descriptors are plain and may come from another process: everything here
// works on a descriptor, whoever opened it.  Control path.
#pragma once

#include <mpnet/detail/unique_fd.hpp>
#include <mpnet/types.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "nic/pci.hpp"

namespace mpnet::nic {

/// The IOMMU address space that all devices of a group of processes share.
class vfio_container {
 public:
  /// Opens a fresh one.  `no_iommu`: only where somebody asked for it; devices then reach all of memory.
  [[nodiscard]] static vfio_container open(bool no_iommu);
  /// Takes over what another member opened.
  explicit vfio_container(detail::unique_fd fd) noexcept : fd_(std::move(fd)) {}

  /// Sets the IOMMU up.  After the first group was added; does nothing where it is set up already.
  void enable(bool no_iommu) const;
  /// Lets devices reach `bytes` at `address` as `at`.  What is mapped already stays so.
  /// Throws no_memory where the memory lock limit or the IOMMU has no room, with the remedy.
  void map(const void* address, std::size_t bytes, iova at) const;
  /// Throws corrupt where the kernel unmapped another size than asked: the memory must then not go back.
  void unmap(std::size_t bytes, iova at) const;
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  detail::unique_fd fd_;
};

/// Opens an IOMMU group and adds it to the container.  Throws busy where another process has it, permission.
[[nodiscard]] detail::unique_fd open_iommu_group(const vfio_container& container, const pci_device& d, bool no_iommu);

/// A mapped range of a device's BAR; unmapped with it.
class bar_mapping {
 public:
  bar_mapping() noexcept = default;
  bar_mapping(void* base, std::size_t bytes) noexcept : base_(base), bytes_(bytes) {}
  bar_mapping(bar_mapping&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  bar_mapping& operator=(bar_mapping&& other) noexcept;
  ~bar_mapping();
  [[nodiscard]] void* data() const noexcept { return base_; }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_; }

 private:
  void* base_ = nullptr;
  std::size_t bytes_ = 0;
};

class vfio_device {
 public:
  [[nodiscard]] static vfio_device open(int group_fd, const pci_address& address);
  explicit vfio_device(detail::unique_fd fd) noexcept : fd_(std::move(fd)) {}

  [[nodiscard]] bar_mapping map_bar(unsigned index) const;
  void enable_bus_master() const;
  /// The function-level reset, where the device has one.
  void reset() const noexcept;
  [[nodiscard]] unsigned msix_vectors() const noexcept;
  /// Vector i signals event_fds[i].  Replaces what was set before.
  void set_msix(std::span<const int> event_fds) const;
  void disable_msix() const noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  detail::unique_fd fd_;
};

}  // namespace mpnet::nic
