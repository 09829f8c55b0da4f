// SPDX-License-Identifier: BSD-3-Clause
// Reset, PHY and link: the first half of 82576 datasheet §4.5.  Control path.
#include <mpnet/error.hpp>

#include <fmt/format.h>
#include <time.h>

#include "igb_hw.hpp"
#include "igb_stats_regs.hpp"

namespace mpnet::nic::igb {
namespace {

std::uint64_t now_us() noexcept {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(t.tv_nsec) / 1000;
}

void pause_us(long us) noexcept {
  const timespec t{0, us * 1000};
  nanosleep(&t, nullptr);
}

/// True once `ready` is; false when `timeout_ms` have passed and it still is not.
template <class Ready>
bool wait_until(unsigned timeout_ms, Ready ready) noexcept {
  const std::uint64_t end = now_us() + timeout_ms * 1000ULL;
  while (!ready()) {
    if (now_us() > end) return ready();  // we may have been stopped in between: look once more
    pause_us(20);
  }
  return true;
}

[[noreturn]] void too_late(const hw& h, const char* what) {
  throw error{errc::timed_out, fmt::format("{}: the device did not {} in time; it may be broken or gone from the bus",
                                           h.device->name, what)};
}

// §4.7.2: the PHY is shared with the firmware.  SWSM guards SW_FW_SYNC, whose bits 1 and 17 guard PHY 0.
constexpr std::uint32_t phy_by_software = 1U << 1, phy_by_firmware = 1U << 17;

class phy_ownership {
 public:
  explicit phy_ownership(const hw& h) : h_(h) {
    const bool got = wait_until(1000, [&] {
      take_semaphore();
      const std::uint32_t sync = h.regs.read(SW_FW_SYNC);
      const bool is_free = (sync & (phy_by_software | phy_by_firmware)) == 0;
      if (is_free) h.regs.write(SW_FW_SYNC, sync | phy_by_software);
      release_semaphore();
      return is_free;
    });
    // Whoever died while it held the bit is not coming back, and the port's lock keeps other drivers of ours out.
    if (!got && (h.regs.read(SW_FW_SYNC) & phy_by_firmware) != 0) too_late(h, "give up its PHY (firmware)");
  }
  ~phy_ownership() {
    take_semaphore();
    h_.regs.clear_bits(SW_FW_SYNC, phy_by_software);
    release_semaphore();
  }
  phy_ownership(const phy_ownership&) = delete;
  phy_ownership& operator=(const phy_ownership&) = delete;

 private:
  // SMBI is set by the reading itself: a 0 seen is a lock taken.  One that died with it set is overruled in time.
  void take_semaphore() const noexcept {
    static_cast<void>(wait_until(50, [&] { return (h_.regs.read(SWSM) & swsm::smbi) == 0; }));
    static_cast<void>(wait_until(50, [&] {
      h_.regs.set_bits(SWSM, swsm::swesmbi);
      return (h_.regs.read(SWSM) & swsm::swesmbi) != 0;
    }));
  }
  void release_semaphore() const noexcept { h_.regs.clear_bits(SWSM, swsm::smbi | swsm::swesmbi); }
  const hw& h_;
};

std::uint32_t run_mdic(const hw& h, std::uint32_t command) {
  h.regs.write(MDIC, command);
  std::uint32_t answer = 0;
  if (!wait_until(50, [&] { return ((answer = h.regs.read(MDIC)) & mdic::ready) != 0; })) {
    too_late(h, "answer over MDIO");
  }
  if ((answer & mdic::err) != 0) {
    throw error{errc::system, fmt::format("{}: the PHY refused register {}; a module without PHY is not supported",
                                          h.device->name, (command >> mdic::reg_shift) & 0x1f)};
  }
  return answer & mdic::data_mask;
}

}  // namespace

void mask_interrupts(const hw& h) noexcept {
  h.regs.write(IMC, ~0U);
  h.regs.write(EIMC, ~0U);
  h.regs.flush();
  static_cast<void>(h.regs.read(ICR));
}

void quiesce(const hw& h) {
  h.regs.write(RCTL, 0);
  h.regs.write(TCTL, tctl::psp);
  h.regs.flush();
  pause_us(10'000);  // §4.5.4: time for what is on its way
  h.regs.set_bits(CTRL, ctrl::gio_master_disable);
  // A device that keeps the bus busy is reset all the same, as §5.2.3.3 allows: the IOMMU holds it to our memory.
  static_cast<void>(wait_until(80, [&] { return (h.regs.read(STATUS) & status::gio_master_enable) == 0; }));
}

void reset(const hw& h) {
  mask_interrupts(h);
  quiesce(h);
  h.regs.set_bits(CTRL, ctrl::rst);
  pause_us(5'000);  // §4.2.1.6: registers must not be read in the first milliseconds
  if (!wait_until(500, [&] { return (h.regs.read(CTRL) & ctrl::rst) == 0; })) too_late(h, "finish its reset");
  // Auto read done tells that the NVM was read.  Parts without NVM never say so, and QEMU's neither: going on after the
  // time that it may take is right for all of them, and a MAC address is checked for later.
  static_cast<void>(wait_until(50, [&] { return (h.regs.read(EECD) & eecd_auto_read_done) != 0; }));
  mask_interrupts(h);
  h.regs.clear_bits(CTRL, ctrl::gio_master_disable);
  h.regs.set_bits(CTRL_EXT, ctrl_ext::drv_load);  // tells the firmware that a driver is here
}

mac read_mac(const hw& h) noexcept {
  const std::uint32_t low = h.regs.read(RAL[0]), high = h.regs.read(RAH[0]);
  return {static_cast<std::uint8_t>(low),       static_cast<std::uint8_t>(low >> 8),
          static_cast<std::uint8_t>(low >> 16), static_cast<std::uint8_t>(low >> 24),
          static_cast<std::uint8_t>(high),      static_cast<std::uint8_t>(high >> 8)};
}

std::uint16_t read_phy(const hw& h, unsigned phy_register) {
  const phy_ownership mine{h};
  return static_cast<std::uint16_t>(
      run_mdic(h, mdic::op_read | (phy_register << mdic::reg_shift) | (1U << mdic::phy_shift)));
}

void write_phy(const hw& h, unsigned phy_register, std::uint16_t value) {
  const phy_ownership mine{h};
  run_mdic(h, mdic::op_write | (phy_register << mdic::reg_shift) | (1U << mdic::phy_shift) | value);
}

void set_up_link(const hw& h, pause_mode pause) {
  if ((h.regs.read(CTRL_EXT) & ctrl_ext::link_mode_mask) != ctrl_ext::link_mode_copper) {
    throw error{errc::unsupported,
                fmt::format("{}: the port is not copper; SerDes and SGMII links are not supported", h.device->name)};
  }
  // IEEE 802.3 clause 22 and 28: control (0), advertisement (4), 1000BASE-T control (9).
  constexpr std::uint16_t power_down = 1U << 11, autoneg = 1U << 12, restart = 1U << 9;
  constexpr std::uint16_t all_10_100 = 0x01e1, pause_sym = 1U << 10, pause_asym = 1U << 11, full_1000 = 1U << 9;
  std::uint16_t advert = all_10_100;
  if (pause == pause_mode::both || pause == pause_mode::receive) advert |= pause_sym | pause_asym;
  if (pause == pause_mode::send) advert |= pause_asym;
  write_phy(h, 4, advert);
  write_phy(h, 9, full_1000);
  const std::uint16_t control = read_phy(h, 0);
  write_phy(h, 0, static_cast<std::uint16_t>((control & ~power_down) | autoneg | restart));

  // §4.5.7.2.1: the MAC follows what the PHY negotiates.
  std::uint32_t c = h.regs.read(CTRL);
  c |= ctrl::slu;
  c &= ~(ctrl::frcspd | ctrl::frcdplx);
  h.regs.write(CTRL, c);
}

void set_up_flow_control(const hw& h, pause_mode pause) {
  h.regs.write(FCAL, 0x00C28001);  // 01:80:C2:00:00:01, IEEE 802.3 annex 31B
  h.regs.write(FCAH, 0x00000100);
  h.regs.write(FCT, 0x8808);
  h.regs.write(FCTTV, 0x0680);
  const bool send = pause == pause_mode::send || pause == pause_mode::both;
  const bool obey = pause == pause_mode::receive || pause == pause_mode::both;
  // Thresholds of the receive packet buffer, which is at least 32 KiB everywhere: XOFF at 24 KiB, XON at 20.
  h.regs.write(FCRTH0, send ? 24U << 10 : 0);
  h.regs.write(FCRTL0, send ? (20U << 10) | (1U << 31) : 0);
  h.regs.write(FCRTV, 0x0680 / 2);
  std::uint32_t c = h.regs.read(CTRL) & ~(ctrl::rfce | ctrl::tfce);
  if (obey) c |= ctrl::rfce;
  if (send) c |= ctrl::tfce;
  h.regs.write(CTRL, c);
}

void clear_statistics(const hw& h) noexcept {
  for (const stat_reg& s : stat_regs) {
    static_cast<void>(h.regs.read(s.low));
    if (s.high.offset != 0) static_cast<void>(h.regs.read(s.high));
  }
}

bool stop_rx_queue(const hw& h, unsigned queue) noexcept {
  h.regs.clear_bits(RXDCTL[queue], dctl::queue_enable);
  return wait_until(100, [&] { return !rx_queue_running(h, queue); });
}

bool stop_tx_queue(const hw& h, unsigned queue) noexcept {
  // §4.5.10.2: what was handed over goes out first, if it can.
  static_cast<void>(wait_until(50, [&] { return h.regs.read(TDH[queue]) == h.regs.read(TDT[queue]); }));
  h.regs.set_bits(TXDCTL[queue], dctl::swflush);
  h.regs.clear_bits(TXDCTL[queue], dctl::queue_enable);
  return wait_until(100, [&] { return !tx_queue_running(h, queue); });
}

void start_rx_queue(const hw& h, unsigned queue, const ring_config& config) {
  h.regs.write(RDBAL[queue], static_cast<std::uint32_t>(config.ring_iova));
  h.regs.write(RDBAH[queue], static_cast<std::uint32_t>(config.ring_iova >> 32));
  h.regs.write(RDLEN[queue], config.descriptor_count * 16);
  h.regs.write(SRRCTL[queue], ((config.buffer_bytes >> 10) & srrctl::bsizepacket_mask) | srrctl::desctype_adv_one |
                                  (config.drop_when_full ? srrctl::drop_en : 0));
  h.regs.write(RDH[queue], 0);
  h.regs.write(RDT[queue], 0);
  if (strips_crc_by_queue(h.device->mac)) h.regs.set_bits(DVMOLR[queue], dvmolr_strcrc);
  // Prefetch and host thresholds of 8; write back each descriptor at once, since somebody polls for it.
  h.regs.write(RXDCTL[queue], 8U | (8U << 8) | (1U << 16) | dctl::queue_enable);
  if (!wait_until(100, [&] { return rx_queue_running(h, queue); })) too_late(h, "start a receive queue");
}

void start_tx_queue(const hw& h, unsigned queue, const ring_config& config) {
  h.regs.write(TDBAL[queue], static_cast<std::uint32_t>(config.ring_iova));
  h.regs.write(TDBAH[queue], static_cast<std::uint32_t>(config.ring_iova >> 32));
  h.regs.write(TDLEN[queue], config.descriptor_count * 16);
  h.regs.write(TDH[queue], 0);
  h.regs.write(TDT[queue], 0);
  h.regs.write(TXDCTL[queue], 8U | (1U << 8) | (1U << 16) | dctl::queue_enable);
  if (!wait_until(100, [&] { return tx_queue_running(h, queue); })) too_late(h, "start a transmit queue");
}

bool rx_queue_running(const hw& h, unsigned queue) noexcept {
  return (h.regs.read(RXDCTL[queue]) & dctl::queue_enable) != 0;
}

bool tx_queue_running(const hw& h, unsigned queue) noexcept {
  return (h.regs.read(TXDCTL[queue]) & dctl::queue_enable) != 0;
}

}  // namespace mpnet::nic::igb
