// SPDX-License-Identifier: BSD-3-Clause
// The registers of the Intel 82576 family as typed data: offset, access mode and the section of the 82576 datasheet
// (revision 2.x, chapter 8 "Programming Interface") that defines each.  Reading a write-only register or writing a
// read-only one does not compile.  Names are the datasheet's.  Where a queue's registers have two addresses, queues 0-3
// use the older one, which the 82575 has too; likewise the interrupt causes, whose newer addresses QEMU lacks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace mpnet::nic::igb {

enum class access : std::uint8_t {
  rw,   // read, write
  ro,   // read only
  wo,   // write only
  rc,   // reading clears it; never written
  w1s,  // writing ones sets, reading shows
  w1c   // writing ones clears; reading may clear too
};

template <access A>
concept readable = A != access::wo;
template <access A>
concept writable = A != access::ro&& A != access::rc;

template <access A>
struct reg {
  std::uint32_t offset;
};

/// `count` registers, `stride` bytes apart.
template <access A>
struct reg_array {
  std::uint32_t offset;
  std::uint32_t stride;
  std::uint32_t count;
  [[nodiscard]] constexpr reg<A> operator[](std::size_t n) const noexcept {
    return {offset + stride * static_cast<std::uint32_t>(n < count ? n : count - 1)};
  }
};

/// A register of each queue: 0-3 in the 82575's place, 4-15 where the 82576 added them.
template <access A>
struct queue_reg {
  std::uint32_t low;   // + 0x100 a queue
  std::uint32_t high;  // + 0x40 a queue, counted from queue 0
  [[nodiscard]] constexpr reg<A> operator[](std::size_t n) const noexcept {
    const auto q = static_cast<std::uint32_t>(n < 16 ? n : 15);
    return {q < 4 ? low + 0x100 * q : high + 0x40 * q};
  }
};

// ---- §8.2 general ---------------------------------------------------------------------------------------------------
inline constexpr reg<access::rw> CTRL{0x00000};      // §8.2.1
inline constexpr reg<access::ro> STATUS{0x00008};    // §8.2.2
inline constexpr reg<access::rw> CTRL_EXT{0x00018};  // §8.2.3
inline constexpr reg<access::rw> MDIC{0x00020};      // §8.2.4
inline constexpr reg<access::rw> CONNSW{0x00034};    // §8.2.6
inline constexpr reg<access::rw> VET{0x00038};       // §8.2.7

// ---- §8.3, §8.4 packet buffers, NVM
// -----------------------------------------------------------------------------------
inline constexpr reg<access::rw> RXPBS{0x02404};  // §8.3
inline constexpr reg<access::rw> EECD{0x00010};   // §8.4.1
inline constexpr reg<access::rw> EERD{0x00014};   // §8.4.2

// ---- §8.5 flow control
// --------------------------------------------------------------------------------------------------
inline constexpr reg<access::rw> FCAL{0x00028};    // §8.5.1
inline constexpr reg<access::rw> FCAH{0x0002C};    // §8.5.2
inline constexpr reg<access::rw> FCT{0x00030};     // §8.5.3
inline constexpr reg<access::rw> FCTTV{0x00170};   // §8.5.4
inline constexpr reg<access::rw> FCRTL0{0x02160};  // §8.5.5
inline constexpr reg<access::rw> FCRTH0{0x02168};  // §8.5.6
inline constexpr reg<access::rw> FCRTV{0x02460};   // §8.5.7

// ---- §8.7 semaphores between drivers and firmware
// ---------------------------------------------------------------------
inline constexpr reg<access::rw> SWSM{0x05B50};        // §8.7.1
inline constexpr reg<access::ro> FWSM{0x05B54};        // §8.7.2
inline constexpr reg<access::rw> SW_FW_SYNC{0x05B5C};  // §8.7.3

// ---- §8.8 interrupts
// ------------------------------------------------------------------------------------------------------
inline constexpr reg<access::w1c> EICR{0x01580};                // §8.8.1
inline constexpr reg<access::wo> EICS{0x01520};                 // §8.8.2
inline constexpr reg<access::w1s> EIMS{0x01524};                // §8.8.3
inline constexpr reg<access::wo> EIMC{0x01528};                 // §8.8.4
inline constexpr reg<access::rw> EIAC{0x0152C};                 // §8.8.5
inline constexpr reg<access::rw> EIAM{0x01530};                 // §8.8.6
inline constexpr reg<access::w1c> ICR{0x000C0};                 // §8.8.7
inline constexpr reg<access::wo> ICS{0x000C8};                  // §8.8.8
inline constexpr reg<access::w1s> IMS{0x000D0};                 // §8.8.9
inline constexpr reg<access::wo> IMC{0x000D8};                  // §8.8.10
inline constexpr reg<access::rw> IAM{0x000E0};                  // §8.8.11
inline constexpr reg_array<access::rw> EITR{0x01680, 4, 25};    // §8.8.12
inline constexpr reg_array<access::rw> IVAR{0x01700, 4, 8};     // §8.8.13
inline constexpr reg<access::rw> IVAR_MISC{0x01740};            // §8.8.14
inline constexpr reg<access::rw> GPIE{0x01514};                 // §8.8.15
inline constexpr reg_array<access::rw> MSIXBM{0x01600, 4, 10};  // 82575 only, in place of IVAR

// ---- §8.10 receive
// --------------------------------------------------------------------------------------------------------
inline constexpr reg<access::rw> RCTL{0x00100};                   // §8.10.1
inline constexpr queue_reg<access::rw> SRRCTL{0x0280C, 0x0C00C};  // §8.10.2
inline constexpr reg_array<access::rw> PSRTYPE{0x05480, 4, 8};    // §8.10.3
inline constexpr queue_reg<access::rw> RDBAL{0x02800, 0x0C000};   // §8.10.5
inline constexpr queue_reg<access::rw> RDBAH{0x02804, 0x0C004};   // §8.10.6
inline constexpr queue_reg<access::rw> RDLEN{0x02808, 0x0C008};   // §8.10.7
inline constexpr queue_reg<access::rw> RDH{0x02810, 0x0C010};     // §8.10.8
inline constexpr queue_reg<access::rw> RDT{0x02818, 0x0C018};     // §8.10.9
inline constexpr queue_reg<access::rw> RXDCTL{0x02828, 0x0C028};  // §8.10.10
inline constexpr queue_reg<access::rc> RQDPC{0x02830, 0x0C030};   // §8.10.11
inline constexpr reg<access::rw> RXCSUM{0x05000};                 // §8.10.12
inline constexpr reg<access::rw> RLPML{0x05004};                  // §8.10.13
inline constexpr reg<access::rw> RFCTL{0x05008};                  // §8.10.14
inline constexpr reg_array<access::rw> MTA{0x05200, 4, 128};      // §8.10.15
inline constexpr reg_array<access::rw> RAL{0x05400, 8, 16};       // §8.10.16
inline constexpr reg_array<access::rw> RAH{0x05404, 8, 16};       // §8.10.17
inline constexpr reg_array<access::rw> RAL_HIGH{0x054E0, 8, 8};   // §8.10.16, entries 16-23: not on 82575, I210, I211
inline constexpr reg_array<access::rw> RAH_HIGH{0x054E4, 8, 8};   // §8.10.17
inline constexpr reg_array<access::rw> VFTA{0x05600, 4, 128};     // §8.10.18
inline constexpr reg<access::rw> MRQC{0x05818};                   // §8.10.19
inline constexpr reg_array<access::rw> RSSRK{0x05C80, 4, 10};     // §8.10.20
inline constexpr reg_array<access::rw> RETA{0x05C00, 4, 32};      // §8.10.21
inline constexpr queue_reg<access::rw> DVMOLR{0x0C038, 0x0C038};  // I350 and later: strip the CRC per queue

// ---- §8.12 transmit
// -------------------------------------------------------------------------------------------------------
inline constexpr reg<access::rw> TCTL{0x00400};                  // §8.12.1
inline constexpr reg<access::rw> TCTL_EXT{0x00404};              // §8.12.2
inline constexpr reg<access::rw> TIPG{0x00410};                  // §8.12.3
inline constexpr queue_reg<access::rw> TDBAL{0x03800, 0x0E000};  // §8.12 and below
inline constexpr queue_reg<access::rw> TDBAH{0x03804, 0x0E004};
inline constexpr queue_reg<access::rw> TDLEN{0x03808, 0x0E008};
inline constexpr queue_reg<access::rw> TDH{0x03810, 0x0E010};
inline constexpr queue_reg<access::rw> TDT{0x03818, 0x0E018};
inline constexpr queue_reg<access::rw> TXDCTL{0x03828, 0x0E028};

// ---- bits
// -------------------------------------------------------------------------------------------------------------------
namespace ctrl {
inline constexpr std::uint32_t gio_master_disable = 1U << 2, slu = 1U << 6, frcspd = 1U << 11, frcdplx = 1U << 12,
                               rst = 1U << 26, rfce = 1U << 27, tfce = 1U << 28, vme = 1U << 30;
}
namespace status {
inline constexpr std::uint32_t fd = 1U << 0, lu = 1U << 1, speed_shift = 6, speed_mask = 3U << 6,
                               gio_master_enable = 1U << 19, pf_rst_done = 1U << 21;
}
namespace ctrl_ext {
inline constexpr std::uint32_t drv_load = 1U << 28, link_mode_mask = 3U << 22, link_mode_copper = 0;
}
namespace rctl {
inline constexpr std::uint32_t en = 1U << 1, sbp = 1U << 2, upe = 1U << 3, mpe = 1U << 4, lpe = 1U << 5, bam = 1U << 15,
                               vfe = 1U << 18, secrc = 1U << 26;
}
namespace tctl {
inline constexpr std::uint32_t en = 1U << 1, psp = 1U << 3, ct_shift = 4, ct_mask = 0xffU << 4, rtlc = 1U << 24;
}
namespace dctl {  // RXDCTL, TXDCTL
inline constexpr std::uint32_t queue_enable = 1U << 25, swflush = 1U << 26;
}
namespace srrctl {
inline constexpr std::uint32_t bsizepacket_mask = 0x7f, desctype_adv_one = 1U << 25, drop_en = 1U << 31;
}
namespace rxcsum {
inline constexpr std::uint32_t ipofld = 1U << 8, tuofld = 1U << 9, crcofl = 1U << 11, pcsd = 1U << 13;
}
namespace mrqc {
inline constexpr std::uint32_t rss = 2, tcp_ipv4 = 1U << 16, ipv4 = 1U << 17, tcp_ipv6_ex = 1U << 18,
                               ipv6_ex = 1U << 19, ipv6 = 1U << 20, tcp_ipv6 = 1U << 21, udp_ipv4 = 1U << 22,
                               udp_ipv6 = 1U << 23, udp_ipv6_ex = 1U << 24;
}
namespace icr {
inline constexpr std::uint32_t lsc = 1U << 2, doutsync = 1U << 28;
}
namespace gpie {
inline constexpr std::uint32_t nsicr = 1U << 0, msix_mode = 1U << 4, eiame = 1U << 30, pba = 1U << 31;
}
namespace mdic {
inline constexpr std::uint32_t data_mask = 0xffff, reg_shift = 16, phy_shift = 21, op_write = 1U << 26,
                               op_read = 2U << 26, ready = 1U << 28, err = 1U << 30;
}
namespace swsm {
inline constexpr std::uint32_t smbi = 1U << 0, swesmbi = 1U << 1;
}
inline constexpr std::uint32_t ivar_valid = 0x80;
inline constexpr std::uint32_t rah_valid = 1U << 31;
inline constexpr std::uint32_t eecd_auto_read_done = 1U << 9;
inline constexpr std::uint32_t dvmolr_strcrc = 1U << 31;

// ---- the BAR
// ------------------------------------------------------------------------------------------------------------
/// Stands between a BAR and a device that is software; see tests/igb/soft_82576.hpp.
struct bar_hook {
  virtual ~bar_hook() = default;
  virtual std::uint32_t read(std::uint32_t offset) noexcept = 0;
  virtual void write(std::uint32_t offset, std::uint32_t value) noexcept = 0;
};

/// Stores to memory that the device reads must be seen before the doorbell that follows.  x86 keeps stores in order, so
/// only the compiler must be held; elsewhere a full fence is right and slow.
inline void dma_wmb() noexcept {
#if defined(__x86_64__)
  std::atomic_signal_fence(std::memory_order_release);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}
/// Loads that follow the done bit must not be older than it.
inline void dma_rmb() noexcept {
#if defined(__x86_64__)
  std::atomic_signal_fence(std::memory_order_acquire);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

/// The device's registers, mapped; a view.  The hot path takes doorbell() once and stores through it.
class bar {
 public:
  bar() noexcept = default;
  bar(void* base, std::size_t size_bytes, bar_hook* hook = nullptr) noexcept
      : base_(static_cast<std::uint8_t*>(base)), size_bytes_(size_bytes), hook_(hook) {}

  template <access A>
  requires readable<A>
  [[nodiscard]] std::uint32_t read(reg<A> r) const noexcept { return read_raw(r.offset); }
  template <access A>
  requires writable<A>
  void write(reg<A> r, std::uint32_t value) const noexcept { write_raw(r.offset, value); }
  template <access A>
  requires(readable<A>&& writable<A>) void set_bits(reg<A> r, std::uint32_t bits) const noexcept {
    write(r, read(r) | bits);
  }
  template <access A>
  requires(readable<A>&& writable<A>) void clear_bits(reg<A> r, std::uint32_t bits) const noexcept {
    write(r, read(r) & ~bits);
  }
  /// Reads a harmless register, which pushes all earlier writes out to the device.
  void flush() const noexcept { static_cast<void>(read(STATUS)); }

  [[nodiscard]] volatile std::uint32_t* doorbell(reg<access::rw> r) const noexcept { return at(r.offset); }
  [[nodiscard]] std::uint32_t read_raw(std::uint32_t offset) const noexcept {
    return hook_ != nullptr ? hook_->read(offset) : *at(offset);
  }
  void write_raw(std::uint32_t offset, std::uint32_t value) const noexcept {
    if (hook_ != nullptr) {
      hook_->write(offset, value);
    } else {
      *at(offset) = value;
    }
  }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }
  [[nodiscard]] explicit operator bool() const noexcept { return base_ != nullptr; }

 private:
  [[nodiscard]] volatile std::uint32_t* at(std::uint32_t offset) const noexcept {
    return reinterpret_cast<volatile std::uint32_t*>(base_ + offset);
  }
  std::uint8_t* base_ = nullptr;
  std::size_t size_bytes_ = 0;
  bar_hook* hook_ = nullptr;
};

}  // namespace mpnet::nic::igb
