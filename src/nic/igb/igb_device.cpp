// SPDX-License-Identifier: BSD-3-Clause
// The life of an igb port: initialise, configure, start, queues taken and given back, recovery of a dead driver's.
#include "igb_device.hpp"

#include <mpnet/error.hpp>
#include <mpnet/log.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <mutex>

#include "igb_rss.hpp"

namespace mpnet::nic::igb {
namespace {

// Which ports this process has: recovery runs without a handle.
std::mutex registry_mutex;
std::vector<std::pair<const port_shared*, igb_device*>> registry;

// Microsoft's example key: published vectors can be checked against a running port.
constexpr std::uint8_t default_key[rss_key_bytes] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                                     0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                                     0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                                     0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

}  // namespace

igb_device* find_local(const port_shared& shared) noexcept {
  const std::lock_guard guard{registry_mutex};
  const auto it = std::find_if(registry.begin(), registry.end(), [&](const auto& e) { return e.first == &shared; });
  return it == registry.end() ? nullptr : it->second;
}

igb_device::igb_device(group& g, port_shared& shared, const model& m, std::unique_ptr<backend> way)
    : device(g, shared), way_(std::move(way)), hw_{way_->registers(), &m} {
  const std::lock_guard guard{registry_mutex};
  registry.emplace_back(&shared_, this);
}

igb_device::~igb_device() {
  const std::lock_guard guard{registry_mutex};
  std::erase_if(registry, [&](const auto& e) { return e.second == this; });
}

void igb_device::initialise() {
  port_area& a = area();
  a.magic = area_magic;
  a.device_id = hw_.device->device_id;
  a.vectors = static_cast<std::uint16_t>(std::min<unsigned>(way_->vectors(), hw_.device->msix_vectors));
  a.link_wanted = 1;
  if (a.hash_fields == 0) std::copy(std::begin(default_key), std::end(default_key), a.rss_key);

  reset(hw_);
  const mac address = read_mac(hw_);
  if (address == mac{} || (address[0] & 1) != 0) {
    throw error{errc::system,
                fmt::format("{}: the device has no MAC address; its NVM is empty or was not read", shared_.name)};
  }
  for (unsigned q = 0; q < max_queues; ++q) {  // nothing runs after a reset
    static_cast<void>(stop_for_dead(hw_, q, a.rx[q]));
    static_cast<void>(stop_for_dead(hw_, q, a.tx[q]));
  }
  set_up_flow_control(hw_, static_cast<pause_mode>(a.pause));
  set_up_link(hw_, static_cast<pause_mode>(a.pause));
  clear_statistics(hw_);
  set_up_receive(hw_, {});
  set_up_transmit(hw_);
  if (a.vectors > 0) set_up_interrupts(hw_, a.vectors, hw_.device->rx_queues);

  // Relaxed: published with the port's state.
  if (shared_.mac.load(std::memory_order_relaxed) == 0) {
    shared_.mac.store(pack_mac({address}), std::memory_order_relaxed);
  } else {
    set_mac(unpack_mac(shared_.mac.load(std::memory_order_relaxed)));
  }
  if (shared_.mtu.load(std::memory_order_relaxed) == 0) shared_.mtu.store(1500, std::memory_order_relaxed);
}

port_capabilities igb_device::capabilities() const {
  port_capabilities c;
  c.max_rx_queues = hw_.device->rx_queues;
  c.max_tx_queues = hw_.device->tx_queues;
  c.min_descriptors = 64;
  c.max_descriptors = 4096;
  c.descriptor_multiple = 32;
  c.max_mtu = max_frame_bytes - 22;
  c.rx_offloads = rx_offload::vlan_strip | rx_offload::vlan_filter | rx_offload::ipv4_checksum |
                  rx_offload::udp_checksum | rx_offload::tcp_checksum | rx_offload::rss_hash | rx_offload::scatter |
                  rx_offload::packet_type;
  c.tx_offloads = tx_offload::vlan_insert | tx_offload::ipv4_checksum | tx_offload::udp_checksum |
                  tx_offload::tcp_checksum | tx_offload::sctp_checksum | tx_offload::tcp_segmentation |
                  tx_offload::multi_segment;
  c.rss_hash_types = all_rss_types;
  c.rss_table_size = reta_entries;
  c.rss_key_bytes = rss_key_bytes;
  c.max_mac_addresses = hw_.device->mac_filters;
  c.rx_interrupts = area().vectors > 1;
  return c;
}

std::uint32_t igb_device::frame_bytes() const noexcept {
  // Relaxed: changed under the control lock, which this process holds.
  return shared_.mtu.load(std::memory_order_relaxed) + 14U + 4U + 4U;  // header, one tag, CRC
}

bool igb_device::scattered() const noexcept {
  return frame_bytes() - 4 > buffer_bytes_ || (shared_.rx_offloads & rx_offload::scatter) != 0;
}

namespace {
/// What the device may write into one buffer: whole KiB behind the headroom, §8.10.2.
std::uint16_t buffer_bytes_of(const mbuf_pool& pool) {
  const std::size_t room = pool.data_room_bytes() < mbuf_headroom ? 0 : pool.data_room_bytes() - mbuf_headroom;
  return static_cast<std::uint16_t>(std::min<std::size_t>(room & ~std::size_t{1023}, 16384));
}
}  // namespace

void igb_device::configure(const port_config& config) {
  constexpr std::uint16_t default_descriptors = 512;
  if (shared_.rx_queues > 0) {
    const mbuf_pool pool = mbuf_pool::attach(group_, shared_.rx[0].pool);
    buffer_bytes_ = buffer_bytes_of(pool);
    if (buffer_bytes_ == 0) {
      throw error{
          errc::invalid_argument,
          fmt::format("configure {}: buffers of the pool '{}' have {} bytes, but the device needs 1024 behind a "
                      "headroom of {}; make the pool with bigger ones",
                      shared_.name, shared_.rx[0].pool, pool.data_room_bytes(), mbuf_headroom)};
    }
  }
  for (auto* side : {shared_.rx, shared_.tx}) {
    for (unsigned q = 0; q < max_queues; ++q) {
      if (side[q].descriptors == 0) side[q].descriptors = default_descriptors;
      if (std::has_single_bit(side[q].descriptors)) continue;
      throw error{errc::invalid_argument,
                  fmt::format("configure {}: {} descriptors are not a power of two; take {}", shared_.name,
                              side[q].descriptors, std::bit_ceil(side[q].descriptors))};
    }
  }
  allocate_rings();
  port_area& a = area();
  a.vlan_strip = (shared_.rx_offloads & rx_offload::vlan_strip) != 0 ? 1 : 0;
  a.vlan_filter = (shared_.rx_offloads & rx_offload::vlan_filter) != 0 ? 1 : 0;
  if (config.rss.hash_types != 0) {
    set_rss(config.rss);
  } else if (a.hash_fields == 0 && shared_.rx_queues > 1) {
    a.hash_fields = fields_of(all_rss_types);
  }
}

std::uint64_t igb_device::ring_address(const void* ring, std::size_t bytes) const {
  const std::uint64_t at = device_address(way_->pages(), static_cast<std::uint64_t>(group_.iova_of(ring)), bytes);
  if (at != 0) return at;
  throw error{errc::no_memory,
              fmt::format("{}: without an IOMMU a ring must lie in one hugepage, and this one does not; "
                          "reserve hugepages with `sysctl vm.nr_hugepages=N`",
                          shared_.name)};
}

// All rings of the port in one zone: rx descriptors, tx descriptors, then the pointers, then the batches.  Each ring's
// bytes are a power of two and it starts at a multiple of them, so none lies across a hugepage's end.
void igb_device::allocate_rings() {
  port_area& a = area();
  const std::size_t rx = shared_.rx[0].descriptors, tx = shared_.tx[0].descriptors;
  const std::size_t bytes = tx * sizeof(tx_desc) + shared_.rx_queues * rx * (sizeof(rx_desc) + sizeof(mbuf*)) +
                            shared_.tx_queues * tx * (sizeof(tx_desc) + sizeof(mbuf*) + sizeof(std::uint16_t));
  const std::string name = fmt::format("{}.rings", shared_.name);
  std::optional<zone_info> zone = find_zone(group_, zone_kind::raw, name);
  if (zone && zone->size_bytes < bytes) {
    free_zone(group_, *zone);
    zone.reset();
  }
  if (!zone) {
    zone =
        find_or_reserve_zone(group_,
                             {.name = name,
                              .kind = zone_kind::raw,
                              .size_bytes = bytes,
                              .align_bytes = std::max({std::size_t{4096}, rx * sizeof(rx_desc), tx * sizeof(tx_desc)}),
                              .socket = socket_id{shared_.socket}},
                             [](void*) {});
  }
  a.rings = reinterpret_cast<std::uint64_t>(zone->address);
  a.rings_bytes = bytes;
  auto at = reinterpret_cast<std::uintptr_t>(zone->address);
  const auto take = [&]<class T>(T*& where, std::size_t count) {
    where = reinterpret_cast<T*>(at);
    at += count * sizeof(T);
  };
  for (unsigned q = 0; q < shared_.rx_queues; ++q) take(a.rx[q].ring, rx);
  at = (at + tx * sizeof(tx_desc) - 1) & ~(tx * sizeof(tx_desc) - 1);
  for (unsigned q = 0; q < shared_.tx_queues; ++q) take(a.tx[q].ring, tx);
  for (unsigned q = 0; q < shared_.rx_queues; ++q) take(a.rx[q].slots, rx);
  for (unsigned q = 0; q < shared_.tx_queues; ++q) take(a.tx[q].slots, tx);
  for (unsigned q = 0; q < shared_.tx_queues; ++q) take(a.tx[q].batch_end, tx);
  for (unsigned q = 0; q < shared_.rx_queues; ++q) a.rx[q].descriptor_count = static_cast<std::uint32_t>(rx);
  for (unsigned q = 0; q < shared_.tx_queues; ++q) a.tx[q].descriptor_count = static_cast<std::uint32_t>(tx);
}

void igb_device::apply_receive() {
  const port_area& a = area();
  constexpr std::uint64_t checksums = rx_offload::ipv4_checksum | rx_offload::udp_checksum | rx_offload::tcp_checksum;
  // Relaxed: changed under the control lock.
  const std::uint32_t flags = shared_.flags.load(std::memory_order_relaxed);
  hw_.regs.write(
      RXCSUM,
      rxcsum::pcsd | ((shared_.rx_offloads & checksums) != 0 ? rxcsum::ipofld | rxcsum::tuofld | rxcsum::crcofl : 0));
  set_max_frame(hw_, frame_bytes());
  igb::set_vlan_strip(hw_, a.vlan_strip != 0);
  enable_vlan_filter(hw_, a.vlan_filter != 0);
  igb::set_promiscuous(hw_, (flags & detail::flag_promiscuous) != 0);
  if ((flags & detail::flag_promiscuous) == 0) set_all_multicast(hw_, (flags & detail::flag_allmulticast) != 0);
  igb::set_rss(hw_, a.rss_key, shared_.rx_queues > 1 || a.custom_reta != 0 ? a.hash_fields : 0);
  spread();
}

// Flows go to queues that somebody drives; a queue without a driver would swallow its share.
void igb_device::spread() {
  port_area& a = area();
  if (a.custom_reta == 0) {
    std::array<std::uint8_t, max_queues> running{};
    unsigned n = 0;
    for (unsigned q = 0; q < shared_.rx_queues; ++q) {
      // Relaxed: queues start and stop under the control lock.
      if (a.rx[q].state.load(std::memory_order_relaxed) == static_cast<std::uint32_t>(queue_state::running)) {
        running[n++] = static_cast<std::uint8_t>(q);
      }
    }
    for (unsigned i = 0; i < reta_entries; ++i) a.reta[i] = n == 0 ? 0 : running[i % n];
  }
  set_reta(hw_, a.reta);
}

void igb_device::start() {
  apply_receive();
  enable_transmit(hw_, true);
  enable_receive(hw_, true);
}

void igb_device::stop() {
  enable_receive(hw_, false);
}

queue_entry igb_device::bind_rx(std::uint16_t queue) {
  port_area& a = area();
  rx_queue& q = a.rx[queue];
  if (!stop_for_dead(hw_, queue, q)) {
    throw error{errc::timed_out, fmt::format("take rx queue {} of {}: the device did not stop what a dead process left "
                                             "running; restart the group",
                                             queue, shared_.name)};
  }
  const mbuf_pool pool = mbuf_pool::attach(group_, shared_.rx[queue].pool);
  buffer_bytes_ = buffer_bytes_of(pool);
  if (buffer_bytes_ == 0) {
    throw error{errc::invalid_argument,
                fmt::format("take rx queue {} of {}: the buffers of its pool '{}' are too small", queue, shared_.name,
                            shared_.rx[queue].pool)};
  }
  rx_context& c = rx_[queue];
  c = {.queue = &q,
       .doorbell = hw_.regs.doorbell(RDT[queue]),
       .pool = pool.header(),
       .counters = &shared_.rx[queue].counters,
       .mask = q.descriptor_count - 1,
       .buffer_bytes = buffer_bytes_,
       .port = shared_.id,
       .rss_flag = a.hash_fields != 0 && (shared_.rx_queues > 1 || a.custom_reta != 0) ? mbuf_flag::rx_rss_hash : 0,
       .pages = way_->pages()};
  igb::start(hw_, queue, c, ring_address(q.ring, q.descriptor_count * sizeof(rx_desc)));
  spread();
  return {scattered() ? &rx_burst_scattered : &rx_burst, &c};
}

queue_entry igb_device::bind_tx(std::uint16_t queue) {
  tx_queue& q = area().tx[queue];
  if (!stop_for_dead(hw_, queue, q)) {
    throw error{errc::timed_out, fmt::format("take tx queue {} of {}: the device did not stop what a dead process left "
                                             "running; restart the group",
                                             queue, shared_.name)};
  }
  tx_context_local& c = tx_[queue];
  c = {.queue = &q,
       .doorbell = hw_.regs.doorbell(TDT[queue]),
       .counters = &shared_.tx[queue].counters,
       .mask = q.descriptor_count - 1,
       .context_index = context_by_queue(hw_.device->mac) ? std::uint32_t{queue} << txd::idx_shift : 0,
       .pages = way_->pages()};
  igb::start(hw_, queue, c, ring_address(q.ring, q.descriptor_count * sizeof(tx_desc)));
  return {&tx_burst, &c};
}

void igb_device::unbind_rx(std::uint16_t queue) noexcept {
  static_cast<void>(igb::stop(hw_, queue, area().rx[queue]));
  give_back_aside(rx_[queue]);
  spread();
}

void igb_device::unbind_tx(std::uint16_t queue) noexcept {
  if (tx_[queue].queue != nullptr) reclaim_sent(tx_[queue]);
  static_cast<void>(igb::stop(hw_, queue, area().tx[queue]));
}

void igb_device::release_queues_of(std::uint16_t tag, detail::recovery_counts& counts) noexcept {
  port_area& a = area();
  bool changed = false;
  const auto was_his = [&](const detail::queue_shared& s) {
    // Acquire: as in taking the queue; the claim's owner is dead, so the word does not change under us.
    return detail::claim_tag(s.driver.load(std::memory_order_acquire)) == tag;
  };
  const auto runs = [](const std::atomic<std::uint32_t>& state) {
    // Acquire: pairs with the store of the dead process, ordered by the news of its death.
    return state.load(std::memory_order_acquire) != static_cast<std::uint32_t>(queue_state::stopped);
  };
  for (unsigned q = 0; q < max_queues; ++q) {
    if (was_his(shared_.rx[q]) && runs(a.rx[q].state) && stop_for_dead(hw_, q, a.rx[q])) {
      ++counts.queues_released;
      changed = true;
    }
    if (was_his(shared_.tx[q]) && runs(a.tx[q].state) && stop_for_dead(hw_, q, a.tx[q])) ++counts.queues_released;
  }
  // Relaxed: only the dead process could have held it with this value.
  if (a.stats_reader.load(std::memory_order_relaxed) == tag) a.stats_reader.store(0, std::memory_order_relaxed);
  if (changed) spread();
}

}  // namespace mpnet::nic::igb
