// SPDX-License-Identifier: BSD-3-Clause
// What a driver is: a table of functions that make devices, and the device, which is the local half of one port in one
// process.  Both are process-local; what must outlive the process lies in port_shared (names, counters, eight words a
// queue) or in the driver's shared area (a zone of kind `port`, named after the port).
//
// The port layer (port.cpp) does: the table, claims, control lock, state checks, range checks, pool names, counters.
// A driver does the rest.  All virtual functions run under the port's control lock unless they say otherwise.
// To add a driver: define a `const driver`, list it in drivers.cpp.
#pragma once

#include <mpnet/detail/port_local.hpp>
#include <mpnet/detail/port_shared.hpp>
#include <mpnet/detail/recovery.hpp>
#include <mpnet/group.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nic/devargs.hpp"

namespace mpnet::nic {

class local_port;  // local_port.hpp

using detail::port_shared;
using detail::queue_entry;
using detail::queue_shared;

/// The local half of a port.
class device {
 public:
  device(group& g, port_shared& shared) noexcept : group_(g), shared_(shared) {}
  /// Closes descriptors and mappings of this process; never destroys what others use.  Must not touch the region: in
  /// the child of a fork it is not mapped any more.
  virtual ~device() = default;
  device(const device&) = delete;
  device& operator=(const device&) = delete;

  [[nodiscard]] virtual port_capabilities capabilities() const = 0;

  /// The shared half holds the new counts, descriptors, offloads and pool names; undone by the caller after a throw.
  virtual void configure(const port_config&) {}
  virtual void start() {}
  virtual void stop() {}

  /// Builds what a burst needs.  Called when this process takes the queue of a started port, and again at each start().
  /// A queue whose last driver died is resynchronised here (shared().rx[q].taken_count says whether there was one).
  [[nodiscard]] virtual queue_entry bind_rx(std::uint16_t queue) = 0;
  [[nodiscard]] virtual queue_entry bind_tx(std::uint16_t queue) = 0;
  /// The queue is given back, or the port stops; its entry is not called any more.
  virtual void unbind_rx(std::uint16_t) noexcept {}
  virtual void unbind_tx(std::uint16_t) noexcept {}

  [[nodiscard]] virtual link_status link() { return {.up = true, .full_duplex = true, .link_mbps = 10'000}; }
  virtual void set_link_up(bool) { refuse("set the link state"); }
  virtual void set_mac(const mac_address&) { refuse("set the MAC address"); }
  virtual void add_mac(const mac_address&) { refuse("add a MAC address"); }
  virtual void remove_mac(const mac_address&) { refuse("remove a MAC address"); }
  virtual void set_multicast_list(std::span<const mac_address>) { refuse("set the multicast list"); }
  virtual void set_mtu(std::uint16_t) { refuse("set the MTU"); }
  virtual void set_promiscuous(bool) { refuse("set promiscuous mode"); }
  virtual void set_allmulticast(bool) { refuse("set allmulticast mode"); }

  virtual void set_rss(const rss_config&) { refuse("set RSS"); }
  [[nodiscard]] virtual rss_config rss() { refuse("read RSS"); }
  virtual void set_vlan_filter(std::uint16_t, bool) { refuse("filter VLANs"); }
  virtual void set_vlan_strip(bool) { refuse("strip VLAN tags"); }
  virtual void set_flow_control(const flow_control&) { refuse("set flow control"); }
  [[nodiscard]] virtual flow_control get_flow_control() { refuse("read flow control"); }
  [[nodiscard]] virtual std::vector<std::uint32_t> packet_types() { return {}; }
  [[nodiscard]] virtual std::vector<device_register> registers() { refuse("dump registers"); }
  [[nodiscard]] virtual descriptor_state rx_descriptor(std::uint16_t, std::uint16_t) {
    refuse("tell descriptor states");
  }
  [[nodiscard]] virtual descriptor_state tx_descriptor(std::uint16_t, std::uint16_t) {
    refuse("tell descriptor states");
  }

  /// Without the control lock.
  [[nodiscard]] virtual std::optional<int> rx_fd(std::uint16_t) { return {}; }
  [[nodiscard]] virtual std::optional<int> link_fd() { return {}; }
  [[nodiscard]] virtual bool arm_rx_interrupt(std::uint16_t) noexcept { return false; }
  virtual void disarm_rx_interrupt(std::uint16_t) noexcept {}

  /// Adds what the device counts beyond the queues' counters (missed, errors).  Never resets; without the control lock.
  virtual void add_stats(port_stats&) {}
  virtual void add_extended_stats(std::vector<named_counter>&) {}
  virtual void reset_stats() {}

  [[nodiscard]] group& owner() const noexcept { return group_; }
  [[nodiscard]] port_shared& shared() const noexcept { return shared_; }

 protected:
  [[noreturn]] void refuse(const char* what) const;  // throws unsupported
  group& group_;
  port_shared& shared_;
};

/// A driver.  Constant data of each process.
struct driver {
  const char* name;        // "net_null": a --vdev names it, followed by a number or any other text
  bool is_virtual = true;  // may be created by create_vdev()
  /// Makes the port: the process is the creator, `shared` is zeroed but for name, driver, arguments, id, socket.
  /// Sets mac, mtu, link.  After a throw nothing is left.
  std::unique_ptr<device> (*create)(group&, port_shared&, const devargs&) = nullptr;
  /// Builds the local half of a port that another process made.
  std::unique_ptr<device> (*attach)(group&, port_shared&, const devargs&) = nullptr;
  /// Recovery, on the shared half alone (any process; idempotent): after a driving process died, before its queue
  /// claims are freed.  Null: nothing to do.
  void (*repair)(group&, port_shared&, const detail::dead_party&, detail::recovery_counts&) = nullptr;
  /// Visits the mbufs that the port's queues hold (descriptor rings).  Null: holds none.
  void (*holdings)(group&, port_shared&, const std::function<void(void*)>&) = nullptr;
  /// The port goes away for good: release what `shared.area` refers to beyond its memory.  Null: nothing.
  void (*destroy)(group&, port_shared&) noexcept = nullptr;
};

/// The driver whose name starts `name` (longest match), or null.
[[nodiscard]] const driver* find_driver(std::string_view name) noexcept;
[[nodiscard]] std::span<const driver* const> all_drivers() noexcept;

/// Reserves the driver's shared area: `bytes` zeroed, a zone of kind `port` named after the port, freed with it.  In
/// create().
void* reserve_area(group& g, port_shared& shared, std::size_t bytes, std::size_t align_bytes = cache_line);

/// Makes a port of `d` (what create_vdev and the PCI probe call).  Where a port of that name and those arguments exists
/// already, finds and attaches it.
[[nodiscard]] std::shared_ptr<local_port> create_port(group& g, const driver& d, std::string_view name,
                                                      const devargs& arguments);

// ---- helpers for bursts: counters have one writer, so plain load and store suffice
// ---------------------------------------

inline void add_relaxed(std::atomic<std::uint64_t>& counter, std::uint64_t n) noexcept {
  // relaxed: a statistic; this process is the only writer
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

[[nodiscard]] std::uint64_t pack_mac(const mac_address& mac) noexcept;
[[nodiscard]] mac_address unpack_mac(std::uint64_t word) noexcept;
[[nodiscard]] std::uint64_t pack_link(const link_status& link) noexcept;
[[nodiscard]] link_status unpack_link(std::uint64_t word) noexcept;
/// 02:… from the port's name: locally administered, the same at each start.
[[nodiscard]] mac_address mac_from_name(std::string_view name) noexcept;

}  // namespace mpnet::nic
