// SPDX-License-Identifier: BSD-3-Clause
// An igb port: the shared half that outlives every process (`port_area`), the way to the hardware (`backend`: VFIO, or
// software in tests), and the local half that the port layer calls (`igb_device`).  Functions of igb_device run under
// the port's control lock unless device.hpp says otherwise; the primary configures, each process drives its own queues.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "igb_queues.hpp"
#include "igb_stats_regs.hpp"
#include "nic/device.hpp"

namespace mpnet::nic::igb {

inline constexpr std::size_t max_mac_filters = 32;

/// Shared.  Written under the port's control lock, but for the statistics and the queues.
struct port_area {
  std::uint64_t magic;
  std::uint16_t device_id;
  std::uint16_t vectors;      // MSI-X vectors in use
  std::uint32_t no_iommu;     // the first process asked for it; holds for whoever opens the device later
  std::uint32_t pause;        // pause_mode
  std::uint32_t hash_fields;  // of MRQC
  std::uint32_t custom_reta;  // somebody set the redirection table: it is not spread over running queues
  std::uint32_t vlan_strip;
  std::uint32_t vlan_filter;
  std::uint32_t link_wanted;  // set_link_up()
  std::uint8_t rss_key[rss_key_bytes];
  std::uint8_t reta[reta_entries];
  std::uint64_t mac_filters[max_mac_filters];  // 0: free; else bit 63 and the address as port_shared::mac has it
  std::uint64_t rings;                         // address of the rings' zone, 0: none
  std::uint64_t rings_bytes;
  std::atomic<std::uint64_t> stats_reader;          // tag of the process that reads the counters; 0: nobody
  std::atomic<std::uint64_t> sums[stat_reg_count];  // what was read so far
  std::atomic<std::uint64_t> queue_missed[max_queues];
  rx_queue rx[max_queues];
  tx_queue tx[max_queues];
};
inline constexpr std::uint64_t area_magic = 0x6967'625f'6d70'6e02;

/// This process's way to the device.
class backend {
 public:
  backend() = default;
  virtual ~backend() = default;
  backend(const backend&) = delete;
  backend& operator=(const backend&) = delete;
  [[nodiscard]] virtual bar registers() noexcept = 0;
  /// MSI-X vectors that may be used; 0: no interrupts.
  [[nodiscard]] virtual unsigned vectors() noexcept = 0;
  /// The eventfd of a vector, or -1.
  [[nodiscard]] virtual int event_fd(unsigned vector) noexcept = 0;
  /// Where memory lies, for a device without an IOMMU; null: the device sees the region by its offsets.
  [[nodiscard]] virtual const dma_pages* pages() noexcept { return nullptr; }
  virtual void after_fork() {}
};

class igb_device final : public device {
 public:
  /// The local half of a port whose area is there.
  igb_device(group& g, port_shared& shared, const model& m, std::unique_ptr<backend> way);
  ~igb_device() override;

  /// Resets the device and brings it to "stopped": of the process that creates the port, and of one that finds that
  /// the device was closed because nobody alive had it.
  void initialise();

  [[nodiscard]] port_capabilities capabilities() const override;
  void configure(const port_config& config) override;
  void start() override;
  void stop() override;
  [[nodiscard]] queue_entry bind_rx(std::uint16_t queue) override;
  [[nodiscard]] queue_entry bind_tx(std::uint16_t queue) override;
  void unbind_rx(std::uint16_t queue) noexcept override;
  void unbind_tx(std::uint16_t queue) noexcept override;

  [[nodiscard]] mpnet::link_status link() override;
  void set_link_up(bool up) override;
  void set_mac(const mac_address& address) override;
  void add_mac(const mac_address& address) override;
  void remove_mac(const mac_address& address) override;
  void set_multicast_list(std::span<const mac_address> list) override;
  void set_mtu(std::uint16_t mtu) override;
  void set_promiscuous(bool on) override;
  void set_allmulticast(bool on) override;

  void set_rss(const rss_config& config) override;
  [[nodiscard]] rss_config rss() override;
  void set_vlan_filter(std::uint16_t vlan, bool pass) override;
  void set_vlan_strip(bool on) override;
  void set_flow_control(const flow_control& config) override;
  [[nodiscard]] flow_control get_flow_control() override;
  [[nodiscard]] std::vector<std::uint32_t> packet_types() override;
  [[nodiscard]] std::vector<device_register> registers() override;
  [[nodiscard]] descriptor_state rx_descriptor(std::uint16_t queue, std::uint16_t offset) override;
  [[nodiscard]] descriptor_state tx_descriptor(std::uint16_t queue, std::uint16_t offset) override;

  [[nodiscard]] std::optional<int> rx_fd(std::uint16_t queue) override;
  [[nodiscard]] bool arm_rx_interrupt(std::uint16_t queue) noexcept override;
  void disarm_rx_interrupt(std::uint16_t queue) noexcept override;
  /// The eventfd that signals changes of the link; never read, watched edge-triggered.
  [[nodiscard]] std::optional<int> link_fd() override;

  void add_stats(port_stats& stats) override;
  void add_extended_stats(std::vector<named_counter>& counters) override;
  void reset_stats() override;

  /// Stops the queues that a dead process drove.
  void release_queues_of(std::uint16_t tag, detail::recovery_counts& counts) noexcept;
  [[nodiscard]] const hw& hardware() const noexcept { return hw_; }

 private:
  [[nodiscard]] port_area& area() const noexcept { return *reinterpret_cast<port_area*>(shared_.area); }
  void allocate_rings();
  [[nodiscard]] std::uint64_t ring_address(const void* ring, std::size_t bytes) const;
  void apply_receive();
  void spread();
  void collect_stats() noexcept;
  [[nodiscard]] std::uint32_t frame_bytes() const noexcept;
  [[nodiscard]] bool scattered() const noexcept;

  std::unique_ptr<backend> way_;
  hw hw_;
  std::uint16_t buffer_bytes_ = 0;
  rx_context rx_[max_queues];
  tx_context_local tx_[max_queues];
};

/// The driver of real devices: ports are named "net_igb_" and the PCI address.
extern const driver igb_driver;

/// For tests: what recovery calls, with the device at hand.
[[nodiscard]] igb_device* find_local(const port_shared& shared) noexcept;

}  // namespace mpnet::nic::igb
