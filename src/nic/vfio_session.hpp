// SPDX-License-Identifier: BSD-3-Clause
// One IOMMU address space for a group of processes: every member that knows of a device holds the container, maps the
// memory that it adds before anyone can use it, and unmaps what it gives back.  Mappings outlive the process that made
// them, as long as one member has the container open.  Control path.
#pragma once

#include <mpnet/group.hpp>

#include <memory>
#include <optional>

#include "nic/dma_pages.hpp"
#include "nic/vfio.hpp"

namespace mpnet::nic {

class vfio_session {
 public:
  /// This process's session for the group, or null where there is none yet.
  [[nodiscard]] static std::shared_ptr<vfio_session> current(const group& g);
  /// Makes it: opens a container, or takes `container` over from another member.  Throws usage where the group's
  /// devices have the other mode: one address space cannot be both.
  [[nodiscard]] static std::shared_ptr<vfio_session> open(group& g, bool no_iommu);
  [[nodiscard]] static std::shared_ptr<vfio_session> adopt(group& g, detail::unique_fd container, bool no_iommu);

  ~vfio_session();
  vfio_session(const vfio_session&) = delete;
  vfio_session& operator=(const vfio_session&) = delete;

  [[nodiscard]] const vfio_container& container() const noexcept { return container_; }
  /// Where memory lies, in no-IOMMU mode; null behind an IOMMU.
  [[nodiscard]] const dma_pages* pages() const noexcept { return pages_ ? &*pages_ : nullptr; }
  /// Once the container has its first IOMMU group: sets the IOMMU up and maps all memory that is there; without one,
  /// writes down where that memory lies.
  void enable();

 private:
  vfio_session(group& g, vfio_container container, bool no_iommu);
  [[nodiscard]] static std::shared_ptr<vfio_session> current(const group& g, bool no_iommu);
  static std::shared_ptr<vfio_session> remember(std::shared_ptr<vfio_session> s);
  void map(void* address, std::size_t bytes, std::uint64_t page_bytes) const;
  void unmap(void* address, std::size_t bytes, std::uint64_t page_bytes) const;

  group& group_;
  vfio_container container_;
  bool no_iommu_;
  std::optional<dma_pages> pages_;
  bool watching_ = false;
  int observer_ = 0;
};

}  // namespace mpnet::nic
