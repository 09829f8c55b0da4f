// SPDX-License-Identifier: BSD-3-Clause
// What an igb port can be asked and told while it lives: link, addresses, RSS, VLAN, flow control, interrupts,
// statistics, registers, descriptor states.
#include <mpnet/error.hpp>

#include <fmt/format.h>

#include <algorithm>

#include "igb_device.hpp"
#include "igb_rss.hpp"

namespace mpnet::nic::igb {
namespace {

constexpr std::uint64_t filter_used = 1ULL << 63;

struct dumped {
  const char* name;
  std::uint32_t offset;
};
// Without those whose reading changes something.
constexpr dumped dump_list[] = {{"CTRL", CTRL.offset},
                                {"STATUS", STATUS.offset},
                                {"CTRL_EXT", CTRL_EXT.offset},
                                {"MDIC", MDIC.offset},
                                {"VET", VET.offset},
                                {"RXPBS", RXPBS.offset},
                                {"EECD", EECD.offset},
                                {"FCAL", FCAL.offset},
                                {"FCAH", FCAH.offset},
                                {"FCT", FCT.offset},
                                {"FCTTV", FCTTV.offset},
                                {"FCRTL0", FCRTL0.offset},
                                {"FCRTH0", FCRTH0.offset},
                                {"EIMS", EIMS.offset},
                                {"EIAC", EIAC.offset},
                                {"IMS", IMS.offset},
                                {"IVAR_MISC", IVAR_MISC.offset},
                                {"GPIE", GPIE.offset},
                                {"RCTL", RCTL.offset},
                                {"RXCSUM", RXCSUM.offset},
                                {"RLPML", RLPML.offset},
                                {"RFCTL", RFCTL.offset},
                                {"MRQC", MRQC.offset},
                                {"TCTL", TCTL.offset},
                                {"TCTL_EXT", TCTL_EXT.offset},
                                {"TIPG", TIPG.offset},
                                {"RAL0", RAL[0].offset},
                                {"RAH0", RAH[0].offset},
                                {"RAL1", RAL[1].offset},
                                {"RAH1", RAH[1].offset}};

}  // namespace

mpnet::link_status igb_device::link() {
  if (area().vectors > 0) static_cast<void>(take_other_causes(hw_));  // the next change signals again
  const igb::link_status s = read_link(hw_);
  return {.up = s.up, .full_duplex = s.full_duplex, .autonegotiated = true, .link_mbps = s.mbps};
}

void igb_device::set_link_up(bool up) {
  constexpr std::uint16_t power_down = 1U << 11;
  const std::uint16_t control = read_phy(hw_, 0);
  write_phy(hw_, 0, static_cast<std::uint16_t>(up ? control & ~power_down : control | power_down));
  if (up) {
    hw_.regs.set_bits(CTRL, ctrl::slu);
  } else {
    hw_.regs.clear_bits(CTRL, ctrl::slu);
  }
  area().link_wanted = up ? 1 : 0;
}

void igb_device::set_mac(const mac_address& address) {
  set_mac_filter(hw_, 0, address.bytes);
}

void igb_device::add_mac(const mac_address& address) {
  port_area& a = area();
  const std::uint64_t word = pack_mac(address) | filter_used;
  for (unsigned i = 1; i < hw_.device->mac_filters; ++i) {
    if (a.mac_filters[i] == word) return;
  }
  for (unsigned i = 1; i < hw_.device->mac_filters; ++i) {
    if (a.mac_filters[i] != 0) continue;
    a.mac_filters[i] = word;
    set_mac_filter(hw_, i, address.bytes);
    return;
  }
  throw error{errc::limit,
              fmt::format("add {} to {}: the device has {} address filters, all in use; use promiscuous mode",
                          to_string(address), shared_.name, hw_.device->mac_filters)};
}

void igb_device::remove_mac(const mac_address& address) {
  port_area& a = area();
  const std::uint64_t word = pack_mac(address) | filter_used;
  for (unsigned i = 1; i < hw_.device->mac_filters; ++i) {
    if (a.mac_filters[i] != word) continue;
    clear_mac_filter(hw_, i);
    a.mac_filters[i] = 0;
    return;
  }
  throw error{errc::not_found, fmt::format("remove {} from {}: it was not added", to_string(address), shared_.name)};
}

void igb_device::set_multicast_list(std::span<const mac_address> list) {
  std::vector<mac> plain;
  plain.reserve(list.size());
  for (const mac_address& m : list) plain.push_back(m.bytes);
  igb::set_multicast_list(hw_, plain);
}

void igb_device::set_mtu(std::uint16_t mtu) {
  // Queues that run were bound for the old size: a longer frame would not fit one buffer.
  const std::uint32_t frame = mtu + 18U;
  const bool fits = buffer_bytes_ == 0 || frame <= buffer_bytes_ || (shared_.rx_offloads & rx_offload::scatter) != 0;
  // Relaxed: changed under the control lock.
  const auto state = static_cast<port_state>(shared_.state.load(std::memory_order_relaxed));
  if (state == port_state::started && !fits) {
    throw error{errc::busy, fmt::format("set the MTU of {} to {}: frames would need several buffers; configure the "
                                        "scatter offload, or stop the port first",
                                        shared_.name, mtu)};
  }
  set_max_frame(hw_, mtu + 22U);
}

void igb_device::set_promiscuous(bool on) {
  igb::set_promiscuous(hw_, on);
  // Relaxed: changed under the control lock.
  if (!on && (shared_.flags.load(std::memory_order_relaxed) & detail::flag_allmulticast) != 0) {
    set_all_multicast(hw_, true);
  }
}

void igb_device::set_allmulticast(bool on) {
  // Relaxed: changed under the control lock.
  if (!on && (shared_.flags.load(std::memory_order_relaxed) & detail::flag_promiscuous) != 0) return;
  set_all_multicast(hw_, on);
}

void igb_device::set_rss(const rss_config& config) {
  port_area& a = area();
  for (const std::uint16_t q : config.redirection) {
    if (q >= shared_.rx_queues) {
      throw error{errc::invalid_argument,
                  fmt::format("set RSS of {}: the redirection table names queue {}, but there are {}", shared_.name, q,
                              shared_.rx_queues)};
    }
  }
  if (!config.key.empty() && config.key.size() != rss_key_bytes) {
    throw error{errc::invalid_argument, fmt::format("set RSS of {}: a key has {} bytes, not {}", shared_.name,
                                                    rss_key_bytes, config.key.size())};
  }
  if (!config.redirection.empty() && config.redirection.size() != reta_entries) {
    throw error{errc::invalid_argument, fmt::format("set RSS of {}: a redirection table has {} entries, not {}",
                                                    shared_.name, reta_entries, config.redirection.size())};
  }
  a.hash_fields = fields_of(config.hash_types);
  if (!config.key.empty()) std::copy(config.key.begin(), config.key.end(), a.rss_key);
  a.custom_reta = config.redirection.empty() ? 0 : 1;
  for (std::size_t i = 0; i < config.redirection.size(); ++i) {
    a.reta[i] = static_cast<std::uint8_t>(config.redirection[i]);
  }
  igb::set_rss(hw_, a.rss_key, a.hash_fields);
  spread();
}

rss_config igb_device::rss() {
  const port_area& a = area();
  rss_config c;
  c.hash_types = types_of(a.hash_fields);
  c.key.assign(std::begin(a.rss_key), std::end(a.rss_key));
  c.redirection.assign(std::begin(a.reta), std::end(a.reta));
  return c;
}

void igb_device::set_vlan_filter(std::uint16_t vlan, bool pass) {
  igb::set_vlan_filter(hw_, vlan, pass);
  area().vlan_filter = 1;
  enable_vlan_filter(hw_, true);
}

void igb_device::set_vlan_strip(bool on) {
  area().vlan_strip = on ? 1 : 0;
  igb::set_vlan_strip(hw_, on);
}

void igb_device::set_flow_control(const flow_control& config) {
  const pause_mode mode = config.rx_pause ? (config.tx_pause ? pause_mode::both : pause_mode::receive)
                                          : (config.tx_pause ? pause_mode::send : pause_mode::none);
  area().pause = static_cast<std::uint32_t>(mode);
  set_up_flow_control(hw_, mode);
  if (config.high_water_bytes != 0) hw_.regs.write(FCRTH0, config.high_water_bytes & 0x1fff0);
  if (config.low_water_bytes != 0) hw_.regs.write(FCRTL0, (config.low_water_bytes & 0x1fff0) | (1U << 31));
  if (config.pause_time != 0) hw_.regs.write(FCTTV, config.pause_time);
  if (config.autonegotiate) set_up_link(hw_, mode);
}

flow_control igb_device::get_flow_control() {
  const std::uint32_t c = hw_.regs.read(CTRL);
  return {.rx_pause = (c & ctrl::rfce) != 0,
          .tx_pause = (c & ctrl::tfce) != 0,
          .autonegotiate = true,
          .high_water_bytes = hw_.regs.read(FCRTH0) & 0x1fff0,
          .low_water_bytes = hw_.regs.read(FCRTL0) & 0x1fff0,
          .pause_time = static_cast<std::uint16_t>(hw_.regs.read(FCTTV))};
}

std::vector<std::uint32_t> igb_device::packet_types() {
  return {packet_type::l2_ether,    packet_type::l3_ipv4, packet_type::l3_ipv4_ext, packet_type::l3_ipv6,
          packet_type::l3_ipv6_ext, packet_type::l4_tcp,  packet_type::l4_udp,      packet_type::l4_sctp};
}

std::vector<device_register> igb_device::registers() {
  std::vector<device_register> out;
  const auto add = [&](std::string name, std::uint32_t offset) {
    out.push_back({std::move(name), offset, hw_.regs.read_raw(offset)});
  };
  for (const dumped& d : dump_list) add(d.name, d.offset);
  for (unsigned q = 0; q < hw_.device->rx_queues; ++q) {
    add(fmt::format("RDBAL{}", q), RDBAL[q].offset);
    add(fmt::format("RDBAH{}", q), RDBAH[q].offset);
    add(fmt::format("RDLEN{}", q), RDLEN[q].offset);
    add(fmt::format("SRRCTL{}", q), SRRCTL[q].offset);
    add(fmt::format("RDH{}", q), RDH[q].offset);
    add(fmt::format("RDT{}", q), RDT[q].offset);
    add(fmt::format("RXDCTL{}", q), RXDCTL[q].offset);
  }
  for (unsigned q = 0; q < hw_.device->tx_queues; ++q) {
    add(fmt::format("TDBAL{}", q), TDBAL[q].offset);
    add(fmt::format("TDBAH{}", q), TDBAH[q].offset);
    add(fmt::format("TDLEN{}", q), TDLEN[q].offset);
    add(fmt::format("TDH{}", q), TDH[q].offset);
    add(fmt::format("TDT{}", q), TDT[q].offset);
    add(fmt::format("TXDCTL{}", q), TXDCTL[q].offset);
  }
  return out;
}

descriptor_state igb_device::rx_descriptor(std::uint16_t queue, std::uint16_t offset) {
  const rx_queue& q = area().rx[queue];
  if (q.descriptor_count == 0 || offset >= q.descriptor_count) return descriptor_state::unavailable;
  const std::uint32_t mask = q.descriptor_count - 1;
  // Relaxed: a snapshot.
  const std::uint32_t next = q.next.load(std::memory_order_relaxed), posted = q.posted.load(std::memory_order_relaxed);
  if (offset >= ((posted - next) & mask)) return descriptor_state::unavailable;
  const auto* status = reinterpret_cast<const volatile std::uint32_t*>(&q.ring[(next + offset) & mask].wb.status_error);
  return (*status & rxd::dd) != 0 ? descriptor_state::done : descriptor_state::available;
}

descriptor_state igb_device::tx_descriptor(std::uint16_t queue, std::uint16_t offset) {
  const tx_queue& q = area().tx[queue];
  if (q.descriptor_count == 0 || offset >= q.descriptor_count) return descriptor_state::unavailable;
  const std::uint32_t mask = q.descriptor_count - 1;
  // Relaxed: a snapshot.
  const std::uint32_t tail = q.tail.load(std::memory_order_relaxed);
  std::uint32_t clean = q.clean.load(std::memory_order_relaxed);
  const std::uint32_t at = (tail + offset) & mask;
  while (clean != tail) {  // walk the batches up to the one that covers it
    const std::uint32_t end = q.batch_end[clean] & mask;
    const bool inside = ((at - clean) & mask) <= ((end - clean) & mask);
    const auto* status = reinterpret_cast<const volatile std::uint32_t*>(&q.ring[end].data.olinfo_status);
    if (inside) return (*status & txd::dd) != 0 ? descriptor_state::done : descriptor_state::full;
    if (((tail - clean) & mask) <= ((end - clean) & mask)) break;
    clean = (end + 1) & mask;
  }
  return descriptor_state::done;
}

std::optional<int> igb_device::rx_fd(std::uint16_t queue) {
  if (area().vectors < 2) return {};
  const int fd = way_->event_fd(vector_of_queue(area().vectors, queue));
  return fd < 0 ? std::nullopt : std::optional<int>{fd};
}

std::optional<int> igb_device::link_fd() {
  if (area().vectors < 1) return {};
  const int fd = way_->event_fd(0);
  return fd < 0 ? std::nullopt : std::optional<int>{fd};
}

bool igb_device::arm_rx_interrupt(std::uint16_t queue) noexcept {
  if (area().vectors < 2) return false;
  arm_vector(hw_, vector_of_queue(area().vectors, queue));
  // A packet that came before the vector was armed signals nothing: look once more.
  const rx_queue& q = area().rx[queue];
  // Relaxed: the caller drives the queue.
  const std::uint32_t next = q.next.load(std::memory_order_relaxed);
  if (next == q.posted.load(std::memory_order_relaxed)) return false;
  const auto* status = reinterpret_cast<const volatile std::uint32_t*>(&q.ring[next].wb.status_error);
  return (*status & rxd::dd) == 0;
}

void igb_device::disarm_rx_interrupt(std::uint16_t queue) noexcept {
  if (area().vectors >= 2) disarm_vector(hw_, vector_of_queue(area().vectors, queue));
}

// The counters clear when read, so one process at a time moves them into the sums; who comes second takes the sums.
void igb_device::collect_stats() noexcept {
  port_area& a = area();
  std::uint64_t nobody = 0;
  // [R-igb-stats] is the store below.  [A-igb-stats] acquire: the one before us has finished its readings.
  if (!a.stats_reader.compare_exchange_strong(nobody, detail::process_tag == 0 ? 1 : detail::process_tag,
                                              std::memory_order_acquire, std::memory_order_relaxed)) {
    return;
  }
  for (std::size_t i = 0; i < stat_reg_count; ++i) {
    std::uint64_t value = hw_.regs.read(stat_regs[i].low);
    if (value == ~0U) break;  // the device is gone
    if (stat_regs[i].high.offset != 0) value |= static_cast<std::uint64_t>(hw_.regs.read(stat_regs[i].high)) << 32;
    a.sums[i].fetch_add(value, std::memory_order_relaxed);  // relaxed: a statistic
  }
  for (unsigned q = 0; q < shared_.rx_queues && hw_.device->mac != family::i82575; ++q) {
    a.queue_missed[q].fetch_add(hw_.regs.read(RQDPC[q]) & 0xffff, std::memory_order_relaxed);  // relaxed: a statistic
  }
  // [R-igb-stats] pairs with [A-igb-stats] above.
  a.stats_reader.store(0, std::memory_order_release);
}

void igb_device::add_stats(port_stats& stats) {
  collect_stats();
  const port_area& a = area();
  // Relaxed: statistics.
  stats.rx_missed += a.sums[stat_missed].load(std::memory_order_relaxed);
  for (unsigned q = 0; q < shared_.rx_queues; ++q) stats.rx_missed += a.queue_missed[q].load(std::memory_order_relaxed);
  stats.rx_errors += a.sums[stat_crc_errors].load(std::memory_order_relaxed) +
                     a.sums[stat_length_errors].load(std::memory_order_relaxed);
}

void igb_device::add_extended_stats(std::vector<named_counter>& counters) {
  collect_stats();
  const port_area& a = area();
  for (std::size_t i = 0; i < stat_reg_count; ++i) {
    counters.push_back({stat_regs[i].name, a.sums[i].load(std::memory_order_relaxed)});  // relaxed: a statistic
  }
}

void igb_device::reset_stats() {
  collect_stats();
  port_area& a = area();
  // Relaxed: statistics.
  for (auto& sum : a.sums) sum.store(0, std::memory_order_relaxed);
  for (auto& missed : a.queue_missed) missed.store(0, std::memory_order_relaxed);
}

}  // namespace mpnet::nic::igb
