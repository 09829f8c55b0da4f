// SPDX-License-Identifier: BSD-3-Clause
// The engine of the software 82576: offsets and bits from the driver's register table, behaviour from the datasheet.
#include "igb/soft_82576.hpp"

#include <algorithm>
#include <cstring>

#include "igb/toeplitz.hpp"

namespace mpnet::test {

using namespace mpnet::nic::igb;

namespace {

std::uint16_t get16(const std::uint8_t* p) {
  return static_cast<std::uint16_t>(p[0] << 8 | p[1]);
}
void put16(std::uint8_t* p, std::uint32_t v) {
  p[0] = static_cast<std::uint8_t>(v >> 8);
  p[1] = static_cast<std::uint8_t>(v);
}

std::uint32_t sum16(const std::uint8_t* p, std::size_t n, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i + 1 < n; i += 2) sum += get16(p + i);
  if ((n & 1) != 0) sum += static_cast<std::uint32_t>(p[n - 1] << 8);
  return sum;
}
std::uint16_t fold(std::uint32_t sum) {
  while ((sum >> 16) != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

struct parsed {
  std::uint16_t info = 0;      // rxd packet type bits
  std::size_t l3 = 0, l4 = 0;  // offsets; 0: none
  std::size_t l4_len = 0;
  bool fragment = false;
};

parsed parse(std::span<const std::uint8_t> f) {
  parsed p;
  std::size_t at = 12;
  if (f.size() >= at + 2 && get16(&f[at]) == 0x8100) at += 4;
  if (f.size() < at + 2) return p;
  const std::uint16_t type = get16(&f[at]);
  at += 2;
  std::uint8_t protocol = 0;
  if (type == 0x0800 && f.size() >= at + 20) {
    p.info = rxd::ipv4;
    p.l3 = at;
    p.l4 = at + (f[at] & 0xf) * 4U;
    p.l4_len = get16(&f[at + 2]) - (p.l4 - at);
    p.fragment = (get16(&f[at + 6]) & 0x3fff) != 0;
    protocol = f[at + 9];
  } else if (type == 0x86dd && f.size() >= at + 40) {
    p.info = rxd::ipv6;
    p.l3 = at;
    p.l4 = at + 40;
    p.l4_len = get16(&f[at + 4]);
    protocol = f[at + 6];
  } else {
    return p;
  }
  if (p.fragment || p.l4 + p.l4_len > f.size()) return p;
  if (protocol == 6 && p.l4_len >= 20) p.info |= rxd::tcp;
  if (protocol == 17 && p.l4_len >= 8) p.info |= rxd::udp;
  return p;
}

bool l4_checksum_good(std::span<const std::uint8_t> f, const parsed& p) {
  const bool v4 = (p.info & rxd::ipv4) != 0, udp = (p.info & rxd::udp) != 0;
  if (udp && get16(&f[p.l4 + 6]) == 0 && v4) return true;
  std::uint32_t sum = v4 ? sum16(&f[p.l3 + 12], 8) : sum16(&f[p.l3 + 8], 32);
  sum += (udp ? 17U : 6U) + static_cast<std::uint32_t>(p.l4_len);
  return fold(sum16(&f[p.l4], p.l4_len, sum)) == 0xffff;
}

}  // namespace

soft_82576::soft_82576(window dma_window) : windows{dma_window}, regs_(bar_bytes / 4) {
  phy_[0] = 0x1140;
  phy_[1] = 0x796d;
  phy_[2] = 0x02a8;
  phy_[3] = 0x0390;
  reset();
}

void soft_82576::reset() noexcept {
  std::fill(regs_.begin(), regs_.end(), 0);
  at(STATUS.offset) = status::lu | status::fd | (2U << status::speed_shift) | status::gio_master_enable;
  at(EECD.offset) = eecd_auto_read_done | (1U << 8);
  at(RAL[0].offset) = 0x12005452;  // 52:54:00:12:34:56
  at(RAH[0].offset) = 0x00005634 | rah_valid;
  at(VET.offset) = 0x81008100;
  std::memset(contexts_, 0, sizeof(contexts_));
  ++resets;
}

void soft_82576::set_link(bool up) noexcept {
  if (up) {
    at(STATUS.offset) |= status::lu;
  } else {
    at(STATUS.offset) &= ~status::lu;
  }
  at(ICR.offset) |= icr::lsc;
}

std::uint32_t soft_82576::read(std::uint32_t offset) noexcept {
  std::uint32_t& r = at(offset);
  const std::uint32_t value = r;
  if (offset == SWSM.offset) r |= swsm::smbi;
  if (offset == ICR.offset || (offset >= 0x4000 && offset < 0x4300)) r = 0;
  if (offset == STATUS.offset && (at(CTRL.offset) & ctrl::gio_master_disable) != 0) {
    return value & ~status::gio_master_enable;
  }
  return value;
}

void soft_82576::write(std::uint32_t offset, std::uint32_t value) noexcept {
  if (offset == STATUS.offset) return;
  if (offset == CTRL.offset && (value & ctrl::rst) != 0) {
    if (!hang_reset) {
      reset();
      return;
    }
  } else if (offset == MDIC.offset) {
    run_mdio(value);
    return;
  } else if (offset == EIMS.offset || offset == IMS.offset) {
    at(offset) |= value;
    return;
  } else if (offset == EIMC.offset || offset == IMC.offset) {
    at(offset == EIMC.offset ? EIMS.offset : IMS.offset) &= ~value;
    return;
  } else if (offset == EICR.offset) {
    at(offset) &= ~value;
    return;
  } else if (hang_queue_stop && (value & dctl::queue_enable) == 0) {
    for (unsigned q = 0; q < 16; ++q) {
      if (offset == RXDCTL[q].offset || offset == TXDCTL[q].offset) return;
    }
  }
  at(offset) = value;
}

void soft_82576::run_mdio(std::uint32_t command) noexcept {
  const unsigned r = (command >> mdic::reg_shift) & 0x1f;
  std::uint32_t answer = (command & ~mdic::data_mask) | mdic::ready;
  if ((command & mdic::op_write) != 0) {
    phy_[r] = static_cast<std::uint16_t>(command);
    if (r == 0) phy_[0] &= static_cast<std::uint16_t>(~0x8200U);  // reset and restart clear themselves
  } else {
    answer |= phy_[r];
  }
  at(MDIC.offset) = answer;
}

void* soft_82576::dma(std::uint64_t iova, std::size_t length) noexcept {
  for (const window& w : windows) {
    if (iova < w.iova || length > w.length || iova - w.iova > w.length - length) continue;
    return static_cast<std::uint8_t*>(w.base) + (iova - w.iova);
  }
  ++dma_faults;
  return nullptr;
}

bool soft_82576::accepts(std::span<const std::uint8_t> f) noexcept {
  const std::uint32_t r = at(RCTL.offset);
  if (f.size() >= 18 && get16(&f[12]) == 0x8100 && (r & rctl::vfe) != 0) {
    const unsigned vlan = get16(&f[14]) & 0xfff;
    if ((at(VFTA[vlan >> 5].offset) & (1U << (vlan & 31))) == 0) return false;
  }
  static constexpr std::uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  if (std::equal(everybody, everybody + 6, f.begin())) return (r & rctl::bam) != 0;
  const bool group = (f[0] & 1) != 0;
  if (group ? (r & rctl::mpe) != 0 : (r & rctl::upe) != 0) return true;
  for (unsigned i = 0; i < 24; ++i) {
    const std::uint32_t low = i < 16 ? at(RAL[i].offset) : at(RAL_HIGH[i - 16].offset);
    const std::uint32_t high = i < 16 ? at(RAH[i].offset) : at(RAH_HIGH[i - 16].offset);
    const std::uint8_t a[6] = {static_cast<std::uint8_t>(low),       static_cast<std::uint8_t>(low >> 8),
                               static_cast<std::uint8_t>(low >> 16), static_cast<std::uint8_t>(low >> 24),
                               static_cast<std::uint8_t>(high),      static_cast<std::uint8_t>(high >> 8)};
    if ((high & rah_valid) != 0 && std::equal(a, a + 6, f.begin())) return true;
  }
  if (!group) return false;
  const unsigned hash = (static_cast<unsigned>(f[4]) >> 4 | static_cast<unsigned>(f[5]) << 4) & 0xfff;
  return (at(MTA[hash >> 5].offset) & (1U << (hash & 31))) != 0;
}

std::optional<unsigned> soft_82576::deliver(std::span<const std::uint8_t> frame) {
  if ((at(RCTL.offset) & rctl::en) == 0 || frame.size() < 14 || !accepts(frame)) return std::nullopt;
  const bool tagged = get16(&frame[12]) == 0x8100;
  const std::size_t limit = (at(RCTL.offset) & rctl::lpe) != 0 ? at(RLPML.offset) - 4 : (tagged ? 1518U : 1514U);
  if (frame.size() > limit) {
    ++at(0x40AC);  // ROC
    return std::nullopt;
  }
  const parsed p = parse(frame);

  // RSS, §7.1.1.7
  unsigned queue = 0;
  std::uint32_t hash = 0;
  std::uint16_t type = 0;
  const std::uint32_t m = at(MRQC.offset);
  if ((m & 7) == mrqc::rss && p.l3 != 0) {
    const bool v4 = (p.info & rxd::ipv4) != 0, tcp = (p.info & rxd::tcp) != 0, udp = (p.info & rxd::udp) != 0;
    std::size_t ports = 0;
    if (v4) {
      if (tcp && (m & mrqc::tcp_ipv4) != 0)
        type = 1, ports = 4;
      else if (udp && (m & mrqc::udp_ipv4) != 0)
        type = 7, ports = 4;
      else if ((m & mrqc::ipv4) != 0)
        type = 2;
    } else {
      if (tcp && (m & mrqc::tcp_ipv6) != 0)
        type = 3, ports = 4;
      else if (udp && (m & mrqc::udp_ipv6) != 0)
        type = 8, ports = 4;
      else if ((m & mrqc::ipv6) != 0)
        type = 5;
    }
    if (type != 0) {
      packet input(frame.begin() + static_cast<long>(p.l3 + (v4 ? 12 : 8)),
                   frame.begin() + static_cast<long>(p.l3 + (v4 ? 20 : 40)));
      if (ports != 0) input.insert(input.end(), &frame[p.l4], &frame[p.l4] + 4);
      std::uint8_t key[40];
      for (unsigned i = 0; i < 40; ++i) key[i] = static_cast<std::uint8_t>(at(RSSRK[i / 4].offset) >> (8 * (i % 4)));
      hash = toeplitz(key, input);
      queue = (at(RETA[(hash & 127) / 4].offset) >> (8 * (hash & 3))) & 0xf;
    }
  }

  // Checksums, VLAN
  std::uint32_t final_status = rxd::dd | rxd::eop;
  if ((p.info & rxd::ipv4) != 0 && (at(RXCSUM.offset) & rxcsum::ipofld) != 0) {
    final_status |= rxd::ipcs;
    if (fold(sum16(&frame[p.l3], p.l4 - p.l3)) != 0xffff) final_status |= rxd::ipe;
  }
  if ((p.info & (rxd::tcp | rxd::udp)) != 0 && (at(RXCSUM.offset) & rxcsum::tuofld) != 0) {
    final_status |= rxd::l4cs | ((p.info & rxd::udp) != 0 ? rxd::udpcs : 0);
    if (!l4_checksum_good(frame, p)) final_status |= rxd::l4e;
  }
  packet data(frame.begin(), frame.end());
  if (data.size() < 60) data.resize(60);
  std::uint16_t vlan = 0;
  if (tagged && (at(CTRL.offset) & ctrl::vme) != 0) {
    vlan = get16(&data[14]);
    data.erase(data.begin() + 12, data.begin() + 16);
    final_status |= rxd::vp;
  }

  // Descriptors
  if ((at(RXDCTL[queue].offset) & dctl::queue_enable) == 0) return std::nullopt;
  const std::uint32_t count = at(RDLEN[queue].offset) / 16, size = (at(SRRCTL[queue].offset) & 0x7f) << 10;
  std::uint32_t head = at(RDH[queue].offset);
  const std::uint32_t tail = at(RDT[queue].offset);
  if (count == 0 || size == 0 || tail >= count) return std::nullopt;
  const std::uint32_t available = (tail + count - head) % count;
  if ((data.size() + size - 1) / size > available) {
    ++at(RQDPC[queue].offset);
    return std::nullopt;
  }
  const std::uint64_t ring = at(RDBAL[queue].offset) | static_cast<std::uint64_t>(at(RDBAH[queue].offset)) << 32;
  for (std::size_t done = 0; done < data.size();) {
    auto* d = static_cast<rx_desc*>(dma(ring + 16ULL * head, 16));
    if (d == nullptr) return std::nullopt;
    const std::size_t n = std::min<std::size_t>(size, data.size() - done);
    if (void* to = dma(d->read.packet_iova, n)) std::memcpy(to, data.data() + done, n);
    done += n;
    const bool last = done == data.size();
    rx_desc wb{};
    wb.wb = {.packet_info = static_cast<std::uint16_t>(last ? p.info | type : 0),
             .header_info = 0,
             .rss_hash = hash,
             .status_error = last ? final_status : rxd::dd,
             .length = static_cast<std::uint16_t>(n),
             .vlan = vlan};
    if (corrupt_rx) corrupt_rx(wb);
    *d = wb;
    head = head + 1 == count ? 0 : head + 1;
  }
  at(RDH[queue].offset) = head;
  ++at(0x4074);  // GPRC
  return queue;
}

bool soft_82576::send_one(unsigned q, std::vector<sent>* out, sent& current, bool& open) {
  const std::uint32_t count = at(TDLEN[q].offset) / 16;
  std::uint32_t& head = at(TDH[q].offset);
  const std::uint64_t ring = at(TDBAL[q].offset) | static_cast<std::uint64_t>(at(TDBAH[q].offset)) << 32;
  auto* d = static_cast<tx_desc*>(dma(ring + 16ULL * head, 16));
  if (d == nullptr) return false;
  const std::uint32_t c = d->data.cmd_type_len;
  if ((c & txd::dtyp_data) == txd::dtyp_context) {
    contexts_[q] = d->context;
  } else {
    if (!open) {
      current = {};
      current.queue = q;
      current.cmd_type_len = c;
      current.olinfo_status = d->data.olinfo_status;
      current.context = contexts_[q];
      open = true;
    }
    const std::size_t n = c & 0xffff;
    if (out != nullptr) {
      if (auto* from = static_cast<std::uint8_t*>(dma(d->data.buffer_iova, n))) {
        current.data.insert(current.data.end(), from, from + n);
      }
    }
    if ((c & txd::eop) != 0) {
      open = false;
      if ((current.cmd_type_len & txd::vle) != 0 && current.data.size() >= 12) {
        std::uint8_t tag[4] = {0x81, 0x00};
        put16(tag + 2, current.context.vlan_macip_lens >> txd::vlan_shift);
        current.data.insert(current.data.begin() + 12, tag, tag + 4);
      }
      if (out != nullptr) out->push_back(std::move(current));
      ++at(0x4080);  // GPTC
    }
  }
  if ((c & txd::rs) != 0) d->data.olinfo_status = txd::dd;
  head = head + 1 == count ? 0 : head + 1;
  return true;
}

std::vector<soft_82576::sent> soft_82576::transmit() {
  std::vector<sent> out;
  if ((at(TCTL.offset) & tctl::en) == 0) return out;
  for (unsigned q = 0; q < 16; ++q) {
    if ((at(TXDCTL[q].offset) & dctl::queue_enable) == 0) continue;
    sent current;
    bool open = false;
    while (at(TDH[q].offset) != at(TDT[q].offset) && send_one(q, &out, current, open)) {
    }
  }
  return out;
}

std::size_t soft_82576::discard_transmit() noexcept {
  const std::uint32_t before = at(0x4080);  // GPTC: context descriptors are no packets
  sent current;
  bool open = false;
  for (unsigned q = 0; q < 16; ++q) {
    if ((at(TXDCTL[q].offset) & dctl::queue_enable) == 0) continue;
    while (at(TDH[q].offset) != at(TDT[q].offset) && send_one(q, nullptr, current, open)) {
    }
  }
  return at(0x4080) - before;
}

namespace {
// Not insert(): GCC 12 sees a write out of bounds in it.
void append(packet& to, const packet& bytes) {
  for (const std::uint8_t b : bytes) to.push_back(b);
}
}  // namespace

packet make_frame(const frame_spec& s) {
  packet f;
  f.reserve(256 + s.payload_bytes);
  append(f, {0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0x02, 0, 0, 0, 0, 1});
  if (s.vlan) append(f, {0x81, 0x00, static_cast<std::uint8_t>(*s.vlan >> 8), static_cast<std::uint8_t>(*s.vlan)});
  const std::size_t l4 = s.protocol == 6 ? 20 : 8;
  const std::size_t l3 = f.size() + 2;
  packet src = s.source, dst = s.destination;
  if (src.empty()) src = packet(s.ipv6 ? 16 : 4, 10);
  if (dst.empty()) dst = packet(s.ipv6 ? 16 : 4, 11);
  if (s.ipv6) {
    append(f, {0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, s.protocol, 64});
    put16(&f[l3 + 4], static_cast<std::uint32_t>(l4 + s.payload_bytes));
  } else {
    append(f, {0x08, 0x00, 0x45, 0, 0, 0, 0, 1, 0, 0, 64, s.protocol, 0, 0});
    put16(&f[l3 + 2], static_cast<std::uint32_t>(20 + l4 + s.payload_bytes));
  }
  append(f, src);
  append(f, dst);
  if (!s.ipv6)
    put16(&f[l3 + 10], static_cast<std::uint16_t>(~fold(sum16(&f[l3], 20))) ^ (s.good_checksums ? 0 : 0x5a5a));
  const std::size_t at = f.size();
  f.resize(at + l4 + s.payload_bytes);
  put16(&f[at], s.source_port);
  put16(&f[at + 2], s.destination_port);
  if (s.protocol == 6) {
    f[at + 12] = 0x50;
    f[at + 13] = 0x10;
  } else {
    put16(&f[at + 4], static_cast<std::uint32_t>(8 + s.payload_bytes));
  }
  for (std::size_t i = 0; i < s.payload_bytes; ++i) f[at + l4 + i] = static_cast<std::uint8_t>(i + s.seed.value_or(0));
  std::uint32_t sum = sum16(src.data(), src.size()) + sum16(dst.data(), dst.size());
  sum += s.protocol + static_cast<std::uint32_t>(l4 + s.payload_bytes);
  const std::uint16_t check = static_cast<std::uint16_t>(~fold(sum16(&f[at], l4 + s.payload_bytes, sum)));
  put16(&f[at + (s.protocol == 6 ? 16 : 6)], check ^ (s.good_checksums ? 0 : 0x5a5a));
  return f;
}

}  // namespace mpnet::test
