// SPDX-License-Identifier: BSD-3-Clause
// The driver's way to a real device, and its entry in the list of drivers: create (the first process), attach (every
// other one, and a primary that takes the role over: nothing is reset), recovery.  Control path.
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <mpnet/error.hpp>
#include <mpnet/log.hpp>

#include <mutex>

#include "igb_device.hpp"
#include "mem/runtime_dir.hpp"
#include "nic/fd_exchange.hpp"
#include "nic/vfio_session.hpp"

namespace mpnet::nic::igb {
namespace {

// What is handed from member to member: container, IOMMU group, device, then an eventfd for each vector.
enum handed : std::size_t { handed_container, handed_group, handed_device, handed_events };

pci_address address_of(const port_shared& shared) {
  const std::string_view name{shared.name};
  const std::size_t start = std::string_view{igb_driver.name}.size();
  const auto a = name.size() > start ? parse_pci_address(name.substr(start + 1)) : std::nullopt;
  if (!a) {
    throw error{errc::usage, fmt::format("port '{}': the name of an igb port is net_igb_ and a PCI address, as "
                                         "net_igb_0000:01:00.0",
                                         name)};
  }
  return *a;
}

class vfio_backend final : public backend {
 public:
  /// Opens the device; nobody alive has it.
  vfio_backend(group& g, const pci_device& d, bool no_iommu)
      : lock_(mem::runtime_root(), to_string(d.address), g.file_prefix()),
        session_(vfio_session::open(g, no_iommu)),
        group_fd_(open_iommu_group(session_->container(), d, no_iommu)),
        device_([&] {
          session_->enable();
          return vfio_device::open(group_fd_.get(), d.address);
        }()),
        bar_(device_.map_bar(0)) {
    device_.reset();
    device_.enable_bus_master();
    const unsigned n = std::min(device_.msix_vectors(), 10U);
    std::vector<int> fds;
    for (unsigned i = 0; i < n; ++i) {
      events_.emplace_back(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      fds.push_back(events_.back().get());
    }
    if (n > 0) device_.set_msix(fds);
  }

  /// Takes over what a living member handed on.
  vfio_backend(group& g, const pci_address& a, bool no_iommu, std::vector<detail::unique_fd> fds)
      : lock_(mem::runtime_root(), to_string(a), g.file_prefix()),
        session_(vfio_session::adopt(g, std::move(fds.at(handed_container)), no_iommu)),
        group_fd_(std::move(fds.at(handed_group))),
        device_(std::move(fds.at(handed_device))),
        bar_(device_.map_bar(0)) {
    session_->enable();
    for (std::size_t i = handed_events; i < fds.size(); ++i) events_.push_back(std::move(fds[i]));
  }

  [[nodiscard]] bar registers() noexcept override { return {bar_.data(), bar_.size()}; }
  [[nodiscard]] unsigned vectors() noexcept override { return static_cast<unsigned>(events_.size()); }
  [[nodiscard]] int event_fd(unsigned v) noexcept override { return v < events_.size() ? events_[v].get() : -1; }
  [[nodiscard]] const dma_pages* pages() noexcept override { return session_->pages(); }
  void after_fork() override { lock_.relock(); }

  void offer(const port_shared& shared) const {
    std::vector<int> fds{session_->container().fd(), group_fd_.get(), device_.fd()};
    for (const auto& e : events_) fds.push_back(e.get());
    offer_fds(shared, fds);
  }

 private:
  device_lock lock_;
  std::shared_ptr<vfio_session> session_;
  detail::unique_fd group_fd_;
  vfio_device device_;
  bar_mapping bar_;
  std::vector<detail::unique_fd> events_;
};

std::unique_ptr<igb_device> open_device(group& g, port_shared& shared, bool no_iommu) {
  const pci_device d = find_pci_device(address_of(shared));
  const model* m = find_model(d.vendor_id, d.device_id);
  if (m == nullptr) {
    throw error{errc::unsupported, fmt::format("PCI device {}: {:04x}:{:04x} is not of the igb family (82575, 82576, "
                                               "82580, I350, I354, I210, I211)",
                                               to_string(d.address), d.vendor_id, d.device_id)};
  }
  require_vfio_pci(d, no_iommu);
  if (no_iommu) {
    log(log_level::warning, "IGB",
        fmt::format("{}: without an IOMMU, as was asked: the device can read and write all of memory", shared.name));
  }
  auto way = std::make_unique<vfio_backend>(g, d, no_iommu);
  const vfio_backend& handed_on = *way;
  auto port = std::make_unique<igb_device>(g, shared, *m, std::move(way));
  port->initialise();
  handed_on.offer(shared);
  return port;
}

std::unique_ptr<device> create(group& g, port_shared& shared, const devargs& args) {
  args.allow_only({"no_iommu"});
  const bool no_iommu = args.number("no_iommu", 0, 0, 1) != 0;
  static_cast<void>(address_of(shared));
  auto* area = static_cast<port_area*>(reserve_area(g, shared, sizeof(port_area)));
  area->no_iommu = no_iommu ? 1 : 0;
  return open_device(g, shared, no_iommu);
}

std::unique_ptr<igb_device> attach_device(group& g, port_shared& shared) {
  const auto* area = reinterpret_cast<const port_area*>(shared.area);
  if (area == nullptr || area->magic != area_magic) {
    throw error{errc::corrupt, fmt::format("port '{}': its shared area is not an igb port's", shared.name)};
  }
  const bool no_iommu = area->no_iommu != 0;
  const model* m = find_model(intel_vendor_id, area->device_id);
  if (m == nullptr) throw error{errc::corrupt, fmt::format("port '{}': no such device id", shared.name)};
  std::vector<detail::unique_fd> fds;
  try {
    fds = obtain_fds(g, shared);
  } catch (const error& e) {
    if (e.kind() != errc::peer_died) throw;
    // Nobody alive has it open, so the kernel has closed and reset it: bring it up anew where it was.
    log(log_level::notice, "IGB",
        fmt::format("{}: no living member has the device open; it is brought up anew", shared.name));
    auto port = open_device(g, shared, no_iommu);
    // Relaxed: changed under the control lock.
    if (static_cast<port_state>(shared.state.load(std::memory_order_relaxed)) == port_state::started) port->start();
    return port;
  }
  return std::make_unique<igb_device>(g, shared, *m,
                                      std::make_unique<vfio_backend>(g, address_of(shared), no_iommu, std::move(fds)));
}

std::unique_ptr<device> attach(group& g, port_shared& shared, const devargs&) {
  return attach_device(g, shared);
}

void repair(group& g, port_shared& shared, const detail::dead_party& dead, detail::recovery_counts& counts) {
  if (dead.tag == 0 || shared.area == 0) return;
  igb_device* port = find_local(shared);
  std::unique_ptr<igb_device> for_now;
  if (port == nullptr) {
    // This process never used the port, but somebody must stop what the dead one ran.
    for_now = attach_device(g, shared);
    port = for_now.get();
  }
  port->release_queues_of(dead.tag, counts);
}

void holdings(group&, port_shared& shared, const std::function<void(void*)>& visit) {
  const auto* area = reinterpret_cast<const port_area*>(shared.area);
  if (area == nullptr || area->magic != area_magic) return;
  for (const rx_queue& q : area->rx) visit_buffers(q, visit);
  for (const tx_queue& q : area->tx) visit_buffers(q, visit);
}

void destroy(group& g, port_shared& shared) noexcept {
  stop_offering_fds(shared);
  try {
    if (const auto zone = find_zone(g, zone_kind::raw, fmt::format("{}.rings", shared.name))) free_zone(g, *zone);
  } catch (const std::exception& e) {
    log(log_level::warning, "IGB", fmt::format("{}: the rings' memory stays: {}", shared.name, e.what()));
  }
}

}  // namespace

extern const driver igb_driver;
const driver igb_driver{.name = "net_igb",
                        .is_virtual = false,
                        .create = &create,
                        .attach = &attach,
                        .repair = &repair,
                        .holdings = &holdings,
                        .destroy = &destroy};

}  // namespace mpnet::nic::igb
