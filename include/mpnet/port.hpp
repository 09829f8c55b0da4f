// SPDX-License-Identifier: BSD-3-Clause
// Ports: network devices, physical and virtual, that several processes drive queue by queue.  Follows rte_ethdev.h.
//
// A port lives in the group's port table and outlives every process; a handle is this process's way to it.  A queue's
// side (rx or tx) is driven by one process at a time: take it, then burst on it.  When the process dies the queue
// becomes free again, and who takes it next continues where the device is.
//
// Control functions may be called by any thread of any member; two that change one port exclude each other (a second
// one waits a moment, then throws busy naming the pid).  Bursts: one thread at a time a queue side.
#pragma once

#include <mpnet/detail/port_local.hpp>
#include <mpnet/detail/port_types.hpp>
#include <mpnet/group.hpp>

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace mpnet {

namespace nic {
class local_port;  // src/nic/local_port.hpp
}

class queue_claim;

class port {
 public:
  /// A handle of nothing: bursts return 0, control functions throw not_found.
  port() noexcept;

  // ---- hot ----------------------------------------------------------------------------------------------------------

  /// Receives up to packets.size() packets; the caller owns those written to the front of `packets`.  0 when nothing is
  /// there, the pool is empty, or this process does not drive the rx side of `queue`.  Follows rte_eth_rx_burst.
  [[nodiscard]] std::size_t rx_burst(queue_id queue, std::span<mbuf*> packets) const noexcept {
    const detail::queue_entry& entry = bursts_->rx[static_cast<std::size_t>(queue) % max_queues];
    return entry.burst(entry.context, packets.data(), packets.size());
  }

  /// Sends packets from the front; returns how many were taken, of which the caller owns nothing any more.  The rest is
  /// still the caller's: try again, or free.  What is taken but cannot be sent (too long for the device) is freed and
  /// counted in tx_errors.  Follows rte_eth_tx_burst.
  [[nodiscard]] std::size_t tx_burst(queue_id queue, std::span<mbuf*> packets) const noexcept {
    const detail::queue_entry& entry = bursts_->tx[static_cast<std::size_t>(queue) % max_queues];
    return entry.burst(entry.context, packets.data(), packets.size());
  }

  // ---- identity -----------------------------------------------------------------------------------------------------

  [[nodiscard]] explicit operator bool() const noexcept { return local_ != nullptr; }
  [[nodiscard]] port_id id() const noexcept { return id_; }
  [[nodiscard]] std::string name() const;
  [[nodiscard]] port_info info() const;
  [[nodiscard]] port_capabilities capabilities() const;

  // ---- set-up -------------------------------------------------------------------------------------------------------

  /// Sets queues, descriptors, pool and offloads of a stopped port.  Throws busy while it is started or another process
  /// drives a queue, invalid_argument beyond the capabilities, not_found for the pool.
  void configure(const port_config& config) const;
  /// Throws invalid_argument before configure().  Starting a started port does nothing.
  void start() const;
  /// Throws busy (naming the pid) while another process drives a queue.  Queues of this process stay taken, their
  /// bursts return 0 until start().
  void stop() const;
  /// configure() and start(), or nothing where another member did so already; throws incompatible where the port runs
  /// with other queue counts.  What processes that come in any order call.
  void bring_up(const port_config& config) const;
  [[nodiscard]] port_state state() const noexcept;

  /// Takes a queue's side, or both, for this process; the port must be started.  Continues where a dead process
  /// stopped.  Throws busy (naming the pid), invalid_argument for a queue that is not configured.
  [[nodiscard]] queue_claim take_queue(queue_id queue, queue_side side = queue_side::both) const;
  [[nodiscard]] std::optional<queue_driver> driver_of(queue_id queue, queue_side one_side) const noexcept;
  /// The pool that a rx queue takes from; other than configure()'s.  Port stopped.
  void set_rx_pool(queue_id queue, std::string_view pool) const;

  // ---- state --------------------------------------------------------------------------------------------------------

  [[nodiscard]] port_stats stats() const;
  [[nodiscard]] port_stats stats(queue_id queue) const;
  [[nodiscard]] std::vector<named_counter> extended_stats() const;
  void reset_stats() const;

  [[nodiscard]] link_status link() const;                         // asks the device
  [[nodiscard]] link_status wait_for_link(int timeout_ms) const;  // returns what is there when it is up or time is over
  void set_link_up(bool up) const;
  /// A descriptor that signals each change of the link to every member, or nothing where the device has none: register
  /// it with an event_loop as trigger::edge, never read or close it, and ask link() when it calls.
  [[nodiscard]] std::optional<int> link_fd() const;

  [[nodiscard]] mac_address mac() const noexcept;
  void set_mac(const mac_address& mac) const;
  void add_mac(const mac_address& mac) const;
  void remove_mac(const mac_address& mac) const;
  void set_multicast_list(std::span<const mac_address> list) const;
  [[nodiscard]] std::uint16_t mtu() const noexcept;
  void set_mtu(std::uint16_t mtu) const;
  [[nodiscard]] bool promiscuous() const noexcept;
  void set_promiscuous(bool on) const;
  [[nodiscard]] bool allmulticast() const noexcept;
  void set_allmulticast(bool on) const;

  // ---- what some devices have; others throw unsupported -------------------------------------------------------------

  void set_rss(const rss_config& config) const;
  [[nodiscard]] rss_config rss() const;
  void set_vlan_filter(std::uint16_t vlan_id, bool pass) const;
  void set_vlan_strip(bool on) const;
  void set_flow_control(const flow_control& config) const;
  [[nodiscard]] flow_control get_flow_control() const;
  [[nodiscard]] std::vector<std::uint32_t> packet_types() const;
  [[nodiscard]] std::vector<device_register> registers() const;
  [[nodiscard]] descriptor_state rx_descriptor(queue_id queue, std::uint16_t offset) const;
  [[nodiscard]] descriptor_state tx_descriptor(queue_id queue, std::uint16_t offset) const;

  /// A descriptor that polls readable when packets wait on the rx queue, or nothing where the device has none.  It
  /// stays the port's: never read from it or close it, and watch an interrupt's eventfd edge-triggered.
  [[nodiscard]] std::optional<int> rx_fd(queue_id queue) const;
  /// Asks the device to signal rx_fd() at the next packet.  False where packets wait already: poll first, then sleep.
  [[nodiscard]] bool arm_rx_interrupt(queue_id queue) const noexcept;
  void disarm_rx_interrupt(queue_id queue) const noexcept;

  /// For the library's own layers.
  [[nodiscard]] nic::local_port& local() const;
  explicit port(std::shared_ptr<nic::local_port> local) noexcept;

 private:
  detail::port_bursts* bursts_;
  std::shared_ptr<nic::local_port> local_;
  port_id id_ = no_port;
};

/// A taken queue: gives it back when destroyed.  Control; the thread that destroys it must not race with bursts.
class queue_claim {
 public:
  queue_claim() noexcept = default;
  queue_claim(queue_claim&& other) noexcept;
  queue_claim& operator=(queue_claim&& other) noexcept;
  ~queue_claim();
  void release() noexcept;
  [[nodiscard]] queue_id queue() const noexcept { return queue_; }
  [[nodiscard]] queue_side side() const noexcept { return side_; }
  [[nodiscard]] explicit operator bool() const noexcept { return local_ != nullptr; }

 private:
  friend class port;
  queue_claim(std::shared_ptr<nic::local_port> local, queue_id queue, queue_side side) noexcept;

  std::shared_ptr<nic::local_port> local_;
  queue_id queue_{};
  queue_side side_ = queue_side::both;
};

/// Creates a virtual device from a --vdev text: "net_null0,size=64".  The primary's.  Where a port of that name and
/// those arguments is there already (its creator died), it is taken over; with other arguments: exists. Throws usage
/// for a text that cannot be read, invalid_argument for a driver or argument that does not exist.
port create_vdev(group& g, std::string_view devargs);

/// Removes a port that nobody drives.  Throws busy naming the pid.
void remove_port(group& g, const port& p);

/// Ports that are there, by id.  Does not build local halves.
[[nodiscard]] std::vector<port_info> list_ports(group& g);

/// Finds a port and builds this process's half of it (descriptors come from any living member that has them).  Empty
/// where there is none.  Throws when the local half cannot be built.
[[nodiscard]] std::optional<port> find_port(group& g, std::string_view name);
[[nodiscard]] std::optional<port> find_port(group& g, port_id id);

}  // namespace mpnet
