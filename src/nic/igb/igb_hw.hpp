// SPDX-License-Identifier: BSD-3-Clause
// The device as its datasheet tells it: reset, init and reconfiguration as named steps on a BAR that is a parameter, so
// that software can stand in for it.  Control path only: the caller holds the port's lock, in whichever process.  Every
// wait has a deadline and an error that names what was waited for.  Nothing here knows of mbufs, ports or processes.
#pragma once

#include <mpnet/types.hpp>

#include <array>
#include <cstdint>
#include <span>

#include "igb_models.hpp"
#include "igb_regs.hpp"

namespace mpnet::nic::igb {

using mac = std::array<std::uint8_t, 6>;

struct hw {
  bar regs;
  const model* device = nullptr;
};

struct link_status {
  bool up = false;
  bool full_duplex = false;
  std::uint32_t mbps = 0;
};

/// Which side may send pause frames; negotiated with the peer.
enum class pause_mode : std::uint8_t { none, receive, send, both };

// ---- bringing it up, in the order of datasheet §4.5
// -----------------------------------------------------------------------
void mask_interrupts(const hw& h) noexcept;               // §4.5.3
void quiesce(const hw& h);                                // §5.2: no more DMA; bounded
void reset(const hw& h);                                  // §4.5.4, §4.2
[[nodiscard]] mac read_mac(const hw& h) noexcept;         // §8.10.16: loaded from the NVM by the reset
void set_up_link(const hw& h, pause_mode pause);          // §4.5.7
void set_up_flow_control(const hw& h, pause_mode pause);  // §4.5.5
void clear_statistics(const hw& h) noexcept;              // §4.5.8

struct receive_config {
  std::uint32_t max_frame_bytes = 1522;
  bool checksum = true;
  bool strip_vlan = false;
  bool promiscuous = false;
  bool all_multicast = false;
};
void set_up_receive(const hw& h, const receive_config& config);  // §4.5.9, with receive still off
void set_up_transmit(const hw& h);                               // §4.5.10, with transmit still off
void enable_receive(const hw& h, bool on) noexcept;
void enable_transmit(const hw& h, bool on) noexcept;

// ---- queues
// ------------------------------------------------------------------------------------------------------------------
struct ring_config {
  std::uint64_t ring_iova = 0;
  std::uint32_t descriptor_count = 0;  // a multiple of 8
  std::uint32_t buffer_bytes = 0;      // rx: a multiple of 1 KiB
  bool drop_when_full = true;          // rx: one full queue must not hold up the others, §8.10.2
};
/// Head and tail are 0 afterwards; the rx caller writes the tail when the ring is filled.
void start_rx_queue(const hw& h, unsigned queue, const ring_config& config);  // §4.5.9.1
void start_tx_queue(const hw& h, unsigned queue, const ring_config& config);  // §4.5.10.1
/// The device touches neither ring nor buffers of the queue afterwards.  False where it did not confirm in time.
[[nodiscard]] bool stop_rx_queue(const hw& h, unsigned queue) noexcept;  // §4.5.9.2
[[nodiscard]] bool stop_tx_queue(const hw& h, unsigned queue) noexcept;  // §4.5.10.2
[[nodiscard]] bool rx_queue_running(const hw& h, unsigned queue) noexcept;
[[nodiscard]] bool tx_queue_running(const hw& h, unsigned queue) noexcept;

// ---- RSS, filters
// --------------------------------------------------------------------------------------------------------------
inline constexpr std::size_t rss_key_bytes = 40;
inline constexpr std::size_t reta_entries = 128;
void set_rss(const hw& h, std::span<const std::uint8_t, rss_key_bytes> key, std::uint32_t hash_fields);  // §7.1.1.7
void set_reta(const hw& h, std::span<const std::uint8_t, reta_entries> queues);
void set_promiscuous(const hw& h, bool on) noexcept;
void set_all_multicast(const hw& h, bool on) noexcept;
/// Filter `index` < device->mac_filters; 0 is the port's own address.
void set_mac_filter(const hw& h, unsigned index, const mac& address) noexcept;
void clear_mac_filter(const hw& h, unsigned index) noexcept;
/// Replaces the hash table of multicast addresses, §7.1.2.1.
void set_multicast_list(const hw& h, std::span<const mac> addresses) noexcept;
void set_vlan_filter(const hw& h, std::uint16_t vlan, bool on) noexcept;
void enable_vlan_filter(const hw& h, bool on) noexcept;
void set_vlan_strip(const hw& h, bool on) noexcept;
void set_max_frame(const hw& h, std::uint32_t max_frame_bytes) noexcept;

// ---- link and interrupts
// ---------------------------------------------------------------------------------------------------------
[[nodiscard]] link_status read_link(const hw& h) noexcept;
/// Vector 0: link and errors.  Rx queue q: vector 1 + q % (vectors - 1).
void set_up_interrupts(const hw& h, unsigned vectors, unsigned rx_queues) noexcept;  // §7.3, §8.8.13
[[nodiscard]] constexpr unsigned vector_of_queue(unsigned vectors, unsigned queue) noexcept {
  return vectors < 2 ? 0 : 1 + queue % (vectors - 1);
}
void arm_vector(const hw& h, unsigned vector) noexcept;
void disarm_vector(const hw& h, unsigned vector) noexcept;
/// Reads, and thereby clears, what caused vector 0.
std::uint32_t take_other_causes(const hw& h) noexcept;

/// §8.2.4 through the semaphores of §4.7: the PHY's register; throws timed_out.
[[nodiscard]] std::uint16_t read_phy(const hw& h, unsigned phy_register);
void write_phy(const hw& h, unsigned phy_register, std::uint16_t value);

}  // namespace mpnet::nic::igb
