// SPDX-License-Identifier: BSD-3-Clause
// Receive and transmit configuration, RSS, filters, interrupts: the second half of 82576 datasheet §4.5.  Control path.
#include "igb_hw.hpp"

namespace mpnet::nic::igb {

void set_up_receive(const hw& h, const receive_config& config) {
  // Broadcast always; the CRC is stripped, so lengths are those of the frame without it.
  std::uint32_t r = rctl::bam | rctl::secrc;
  if (config.promiscuous) r |= rctl::upe | rctl::mpe;
  if (config.all_multicast) r |= rctl::mpe;
  h.regs.write(RCTL, r);
  set_max_frame(h, config.max_frame_bytes);
  set_vlan_strip(h, config.strip_vlan);
  // PCSD gives the descriptor's field to the RSS hash instead of the raw packet checksum, §7.1.1.7.
  h.regs.write(RXCSUM, rxcsum::pcsd | (config.checksum ? rxcsum::ipofld | rxcsum::tuofld | rxcsum::crcofl : 0));
  h.regs.write(MRQC, 0);
  for (unsigned i = 0; i < VFTA.count; ++i) h.regs.write(VFTA[i], 0);
  for (unsigned i = 0; i < MTA.count; ++i) h.regs.write(MTA[i], 0);
  for (unsigned i = 1; i < h.device->mac_filters; ++i) clear_mac_filter(h, i);
  for (unsigned q = 0; q < h.device->rx_queues; ++q) h.regs.write(RXDCTL[q], 0);
}

void set_up_transmit(const hw& h) {
  // Pad short packets; collision threshold 15, for half duplex only.
  h.regs.write(TCTL, tctl::psp | tctl::rtlc | (15U << tctl::ct_shift));
  for (unsigned q = 0; q < h.device->tx_queues; ++q) h.regs.write(TXDCTL[q], 0);
}

void enable_receive(const hw& h, bool on) noexcept {
  if (on) {
    h.regs.set_bits(RCTL, rctl::en);
  } else {
    h.regs.clear_bits(RCTL, rctl::en);
  }
}

void enable_transmit(const hw& h, bool on) noexcept {
  if (on) {
    h.regs.set_bits(TCTL, tctl::en);
  } else {
    h.regs.clear_bits(TCTL, tctl::en);
  }
}

void set_rss(const hw& h, std::span<const std::uint8_t, rss_key_bytes> key, std::uint32_t hash_fields) {
  for (unsigned i = 0; i < RSSRK.count; ++i) {
    const std::uint8_t* k = key.data() + 4 * i;  // the first byte of the key is the lowest of the register
    h.regs.write(RSSRK[i], static_cast<std::uint32_t>(k[0]) | static_cast<std::uint32_t>(k[1]) << 8 |
                               static_cast<std::uint32_t>(k[2]) << 16 | static_cast<std::uint32_t>(k[3]) << 24);
  }
  h.regs.write(MRQC, hash_fields == 0 ? 0 : mrqc::rss | hash_fields);
}

void set_reta(const hw& h, std::span<const std::uint8_t, reta_entries> queues) {
  const unsigned shift = reta_shift(h.device->mac);
  for (unsigned i = 0; i < RETA.count; ++i) {
    std::uint32_t word = 0;
    for (unsigned j = 0; j < 4; ++j) word |= static_cast<std::uint32_t>(queues[4 * i + j] << shift) << (8 * j);
    h.regs.write(RETA[i], word);
  }
}

void set_promiscuous(const hw& h, bool on) noexcept {
  if (on) {
    h.regs.set_bits(RCTL, rctl::upe | rctl::mpe);
  } else {
    h.regs.clear_bits(RCTL, rctl::upe | rctl::mpe);
  }
}

void set_all_multicast(const hw& h, bool on) noexcept {
  if (on) {
    h.regs.set_bits(RCTL, rctl::mpe);
  } else {
    h.regs.clear_bits(RCTL, rctl::mpe);
  }
}

namespace {
void write_address(const hw& h, unsigned index, std::uint32_t low, std::uint32_t high) noexcept {
  // The high word holds the valid bit: it goes last when setting, and the low word of an invalid entry is not looked
  // at.
  if (index < 16) {
    h.regs.write(RAL[index], low);
    h.regs.write(RAH[index], high);
  } else {
    h.regs.write(reg<access::rw>{RAL_HIGH.offset + 8 * (index - 16)}, low);
    h.regs.write(reg<access::rw>{RAH_HIGH.offset + 8 * (index - 16)}, high);
  }
  h.regs.flush();
}
}  // namespace

void set_mac_filter(const hw& h, unsigned index, const mac& a) noexcept {
  if (index >= h.device->mac_filters) return;
  const std::uint32_t low = static_cast<std::uint32_t>(a[0]) | static_cast<std::uint32_t>(a[1]) << 8 |
                            static_cast<std::uint32_t>(a[2]) << 16 | static_cast<std::uint32_t>(a[3]) << 24;
  write_address(h, index, low, static_cast<std::uint32_t>(a[4]) | static_cast<std::uint32_t>(a[5]) << 8 | rah_valid);
}

void clear_mac_filter(const hw& h, unsigned index) noexcept {
  if (index != 0 && index < h.device->mac_filters) write_address(h, index, 0, 0);
}

void set_multicast_list(const hw& h, std::span<const mac> addresses) noexcept {
  std::array<std::uint32_t, 128> table{};
  for (const mac& a : addresses) {
    // RCTL.MO = 0: bits 47:36 of the address choose one of 4096.
    const unsigned hash = (static_cast<unsigned>(a[4]) >> 4 | static_cast<unsigned>(a[5]) << 4) & 0xfff;
    table[hash >> 5] |= 1U << (hash & 31);
  }
  for (unsigned i = 0; i < MTA.count; ++i) h.regs.write(MTA[i], table[i]);
  h.regs.flush();
}

void set_vlan_filter(const hw& h, std::uint16_t vlan, bool on) noexcept {
  const unsigned word = (vlan >> 5) & 0x7f;
  const std::uint32_t bit = 1U << (vlan & 31);
  if (on) {
    h.regs.set_bits(VFTA[word], bit);
  } else {
    h.regs.clear_bits(VFTA[word], bit);
  }
}

void enable_vlan_filter(const hw& h, bool on) noexcept {
  if (on) {
    h.regs.set_bits(RCTL, rctl::vfe);
  } else {
    h.regs.clear_bits(RCTL, rctl::vfe);
  }
}

void set_vlan_strip(const hw& h, bool on) noexcept {
  if (on) {
    h.regs.set_bits(CTRL, ctrl::vme);
  } else {
    h.regs.clear_bits(CTRL, ctrl::vme);
  }
}

void set_max_frame(const hw& h, std::uint32_t max_frame_bytes) noexcept {
  // §8.10.13: RLPML counts only with long packets enabled; without, 1518 bytes and 4 for a tag are the limit.
  h.regs.write(RLPML, max_frame_bytes);
  if (max_frame_bytes > 1522) {
    h.regs.set_bits(RCTL, rctl::lpe);
  } else {
    h.regs.clear_bits(RCTL, rctl::lpe);
  }
}

link_status read_link(const hw& h) noexcept {
  const std::uint32_t s = h.regs.read(STATUS);
  if (s == ~0U || (s & status::lu) == 0) return {};  // all ones: the device is gone
  static constexpr std::uint32_t speeds[] = {10, 100, 1000, 1000};
  return {.up = true,
          .full_duplex = (s & status::fd) != 0,
          .mbps = speeds[(s & status::speed_mask) >> status::speed_shift]};
}

void set_up_interrupts(const hw& h, unsigned vectors, unsigned rx_queues) noexcept {
  // MSI-X mode, and causes clear by themselves when their message is sent, §7.3.2.
  h.regs.write(GPIE, gpie::msix_mode | gpie::nsicr | gpie::pba);
  h.regs.write(EIAC, (1U << vectors) - 1);
  h.regs.write(IAM, 0);  // else reading ICR would mask what it tells, §8.8.11
  for (unsigned v = 0; v < vectors; ++v) h.regs.write(EITR[v], 0);
  if (has_ivar(h.device->mac)) {
    for (unsigned i = 0; i < IVAR.count; ++i) h.regs.write(IVAR[i], 0);
    for (unsigned q = 0; q < rx_queues; ++q) {
      const bool pairs = ivar_by_pairs(h.device->mac);
      const unsigned entry = pairs ? q >> 1 : q & 7, half = pairs ? q & 1 : q >> 3;
      h.regs.set_bits(IVAR[entry], (vector_of_queue(vectors, q) | ivar_valid) << (16 * half));
    }
    h.regs.write(IVAR_MISC, ivar_valid << 8);  // other causes: vector 0
  } else {
    for (unsigned v = 1; v < vectors; ++v) {
      std::uint32_t causes = 0;
      for (unsigned q = 0; q < rx_queues; ++q) causes |= vector_of_queue(vectors, q) == v ? 1U << q : 0;
      h.regs.write(MSIXBM[v], causes);
    }
    h.regs.write(MSIXBM[0], 1U << 31);
  }
  h.regs.write(IMS, icr::lsc);
  h.regs.write(EIMS, has_ivar(h.device->mac) ? 1U : 1U << 31);
  h.regs.flush();
}

void arm_vector(const hw& h, unsigned vector) noexcept {
  h.regs.write(EICR, 1U << vector);  // an old cause must not hide the next one
  h.regs.write(EIMS, 1U << vector);
  h.regs.flush();
}

void disarm_vector(const hw& h, unsigned vector) noexcept {
  h.regs.write(EIMC, 1U << vector);  // posted: one message more does no harm
}

std::uint32_t take_other_causes(const hw& h) noexcept {
  const std::uint32_t causes = h.regs.read(ICR);
  h.regs.write(EICR, 1U);
  h.regs.write(IMS, icr::lsc);  // whatever the reading masked
  return causes;
}

}  // namespace mpnet::nic::igb
