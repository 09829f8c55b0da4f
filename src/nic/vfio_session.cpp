// SPDX-License-Identifier: BSD-3-Clause
// The IOMMU address space of a group; see vfio_session.hpp.
#include "nic/vfio_session.hpp"

#include <mpnet/error.hpp>

#include <algorithm>
#include <mutex>
#include <vector>

#include "mem/local_state.hpp"

namespace mpnet::nic {
namespace {

std::mutex sessions_mutex;
std::vector<std::pair<const group*, std::weak_ptr<vfio_session>>> sessions;

// One mapping a hugepage, so that each can go back alone; small pages go by runs of this size, which is what the region
// grows and shrinks by, because a container has room for some 65,000 mappings.
constexpr std::size_t small_page_run = 2U << 20;

std::size_t unit_of(std::uint64_t page_bytes) {
  return page_bytes < small_page_run ? small_page_run : static_cast<std::size_t>(page_bytes);
}

}  // namespace

std::shared_ptr<vfio_session> vfio_session::current(const group& g) {
  const std::lock_guard guard{sessions_mutex};
  for (const auto& [owner, session] : sessions) {
    if (owner == &g) {
      if (auto s = session.lock()) return s;
    }
  }
  return nullptr;
}

std::shared_ptr<vfio_session> vfio_session::current(const group& g, bool no_iommu) {
  auto s = current(g);
  if (s && s->no_iommu_ != no_iommu) {
    throw error{errc::usage,
                "PCI devices: some are asked for with no_iommu=1 and some without; one group of processes has "
                "one way to memory, so ask for all of them alike"};
  }
  return s;
}

std::shared_ptr<vfio_session> vfio_session::remember(std::shared_ptr<vfio_session> s) {
  const std::lock_guard guard{sessions_mutex};
  std::erase_if(sessions, [](const auto& e) { return e.second.expired(); });
  sessions.emplace_back(&s->group_, s);
  return s;
}

std::shared_ptr<vfio_session> vfio_session::open(group& g, bool no_iommu) {
  if (auto s = current(g, no_iommu)) return s;
  return remember(std::shared_ptr<vfio_session>{new vfio_session{g, vfio_container::open(no_iommu), no_iommu}});
}

std::shared_ptr<vfio_session> vfio_session::adopt(group& g, detail::unique_fd container, bool no_iommu) {
  if (auto s = current(g, no_iommu)) return s;
  return remember(std::shared_ptr<vfio_session>{new vfio_session{g, vfio_container{std::move(container)}, no_iommu}});
}

vfio_session::vfio_session(group& g, vfio_container container, bool no_iommu)
    : group_(g), container_(std::move(container)), no_iommu_(no_iommu) {}

vfio_session::~vfio_session() {
  if (watching_) mem::remove_extent_observer(group_, observer_);
}

void vfio_session::enable() {
  container_.enable(no_iommu_);
  if (watching_) return;
  if (no_iommu_) pages_ = dma_pages::of(group_);
  // First the observer, then what is there: what is added in between is mapped twice, which is one mapping.
  observer_ =
      mem::add_extent_observer(group_, [this](void* address, std::size_t bytes, std::uint64_t page_bytes, bool added) {
        if (added) {
          map(address, bytes, page_bytes);
        } else {
          unmap(address, bytes, page_bytes);
        }
      });
  watching_ = true;
  mem::for_each_extent(
      group_, [this](void* address, std::size_t bytes, std::uint64_t page_bytes) { map(address, bytes, page_bytes); });
}

void vfio_session::map(void* address, std::size_t bytes, std::uint64_t page_bytes) const {
  if (pages_) return pages_->learn(address, static_cast<std::uint64_t>(group_.iova_of(address)), bytes, page_bytes);
  const std::size_t unit = unit_of(page_bytes);
  for (std::size_t at = 0; at < bytes; at += unit) {
    auto* p = static_cast<std::byte*>(address) + at;
    container_.map(p, std::min(unit, bytes - at), group_.iova_of(p));
  }
}

void vfio_session::unmap(void* address, std::size_t bytes, std::uint64_t page_bytes) const {
  if (pages_) return pages_->forget(static_cast<std::uint64_t>(group_.iova_of(address)), bytes);
  const std::size_t unit = unit_of(page_bytes);
  for (std::size_t at = 0; at < bytes; at += unit) {
    container_.unmap(std::min(unit, bytes - at), group_.iova_of(static_cast<std::byte*>(address) + at));
  }
}

}  // namespace mpnet::nic
