// SPDX-License-Identifier: BSD-3-Clause
// What virtual devices share: a device without hardware to ask, so that MAC, MTU and filters are just remembered.
#pragma once

#include <mpnet/mbuf.hpp>

#include <array>
#include <memory>

#include "nic/device.hpp"

namespace mpnet::nic {

class virtual_device : public device {
 public:
  using device::device;
  [[nodiscard]] link_status link() override { return unpack_link(shared_.link.load(std::memory_order_relaxed)); }
  void set_link_up(bool up) override {
    link_status l = link();
    l.up = up;
    shared_.link.store(pack_link(l), std::memory_order_relaxed);  // relaxed: a word of its own
  }
  void set_mac(const mac_address&) override {}
  void set_multicast_list(std::span<const mac_address>) override {}
  void set_mtu(std::uint16_t) override {}
  void set_promiscuous(bool) override {}
  void set_allmulticast(bool) override {}

 protected:
  /// In create().
  void set_defaults() noexcept {
    // relaxed: published by the port's state
    shared_.mac.store(pack_mac(mac_from_name(shared_.name)), std::memory_order_relaxed);
    shared_.link.store(pack_link({.up = true, .full_duplex = true, .link_mbps = 10'000}), std::memory_order_relaxed);
    shared_.mtu.store(1500, std::memory_order_relaxed);
  }
  [[nodiscard]] mbuf_pool rx_pool(std::uint16_t queue) const {
    return mbuf_pool::attach(group_, shared_.rx[queue].pool);
  }
};

/// Room for one packet of `len` bytes: a chain where one segment is too small, data lengths set, contents not.  Null
/// when the pool is used up.  Hot.
[[nodiscard]] mbuf* alloc_packet(const mbuf_pool& pool, std::uint32_t len) noexcept;
/// Copies a packet of `len` bytes into the chain that alloc_packet made for it.  Hot.
void fill_packet(mbuf* packet, const std::byte* from, std::uint32_t len) noexcept;
/// Copies a packet's bytes to `to`, which has room for packet_len.  Hot.
void gather_packet(const mbuf* packet, std::byte* to) noexcept;

/// The packet as it goes on a wire: gathered, checksums computed, VLAN tag in place.  `to` has room for packet_len + 4;
/// returns the length.  Hot.
[[nodiscard]] std::uint32_t flatten_packet(const mbuf& packet, std::byte* to) noexcept;
/// Puts vlan_tci behind the addresses of a frame of `len` bytes.  Hot.
void insert_vlan_tag(std::byte* frame, std::size_t len, std::uint16_t vlan_tci) noexcept;

/// Computes what the packet asks its device to compute (its tx checksum flags, not segmentation) over a contiguous
/// copy. Hot.
void finish_checksums(const mbuf& packet, std::byte* frame, std::size_t len) noexcept;
/// The Internet checksum's unfolded sum over bytes.  Hot.
[[nodiscard]] std::uint64_t add_checksum(const std::byte* bytes, std::size_t len, std::uint64_t sum = 0) noexcept;
/// Folds and complements.
[[nodiscard]] std::uint16_t end_checksum(std::uint64_t sum) noexcept;

}  // namespace mpnet::nic
