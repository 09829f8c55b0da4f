// SPDX-License-Identifier: BSD-3-Clause
// A software 82576: a BAR in memory and a descriptor engine that works on the rings of the region, for unit tests,
// benches and the fuzzer.  It follows the datasheet where the driver relies on it and no further: reset, NVM done,
// MDIO, semaphores, link, clear-on-read statistics, address and VLAN filters, RSS, checksum flags, VLAN strip and
// insert, TSO without segmentation (the test sees what was asked), queue stop and start.  The engine runs when it is
// told to.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "nic/igb/igb_desc.hpp"
#include "nic/igb/igb_regs.hpp"

namespace mpnet::test {

using packet = std::vector<std::uint8_t>;

class soft_82576 final : public nic::igb::bar_hook {
 public:
  static constexpr std::size_t bar_bytes = 128 << 10;

  /// What the device may reach by DMA: `length` bytes at `base`, seen from `iova` on.  What lies across two windows is
  /// out of reach, as on a bus without an IOMMU.
  struct window {
    void* base = nullptr;
    std::size_t length = 0;
    std::uint64_t iova = 0;
  };
  explicit soft_82576(window dma);

  [[nodiscard]] nic::igb::bar bar() noexcept { return {regs_.data(), bar_bytes, this}; }

  // The driver's side.
  std::uint32_t read(std::uint32_t offset) noexcept override;
  void write(std::uint32_t offset, std::uint32_t value) noexcept override;

  // The wire's side.
  /// A frame arrives.  Returns the queue that took it, or nothing where it was filtered or dropped.
  std::optional<unsigned> deliver(std::span<const std::uint8_t> frame);
  /// Sends what the tails say; each frame as the driver handed it over, with what it asked for.
  struct sent {
    packet data;
    unsigned queue = 0;
    std::uint32_t cmd_type_len = 0;  // of the first data descriptor
    std::uint32_t olinfo_status = 0;
    nic::igb::tx_context context{};  // the queue's context at that time
  };
  std::vector<sent> transmit();
  /// Like transmit(), but only completes the descriptors; how many packets that were.  For benches.
  std::size_t discard_transmit() noexcept;
  void set_link(bool up) noexcept;

  /// Called on each write-back before the driver can see it: lets a test lie.
  std::function<void(nic::igb::rx_desc&)> corrupt_rx;
  std::vector<window> windows;
  bool hang_reset = false;       // RST stays set
  bool hang_queue_stop = false;  // QUEUE_ENABLE stays set
  std::uint64_t dma_faults = 0;  // accesses outside the windows, as an IOMMU would report
  std::uint64_t resets = 0;

  [[nodiscard]] std::uint32_t& at(std::uint32_t offset) noexcept { return regs_[offset / 4]; }

 private:
  void reset() noexcept;
  void run_mdio(std::uint32_t command) noexcept;
  [[nodiscard]] bool accepts(std::span<const std::uint8_t> frame) noexcept;
  [[nodiscard]] void* dma(std::uint64_t iova, std::size_t length) noexcept;
  bool send_one(unsigned queue, std::vector<sent>* out, sent& current, bool& open);

  std::vector<std::uint32_t> regs_;
  std::uint16_t phy_[32] = {};
  nic::igb::tx_context contexts_[16] = {};
};

/// A frame for tests.
struct frame_spec {
  bool ipv6 = false;
  std::uint8_t protocol = 17;                         // 6 TCP, 17 UDP, 0: none of ours
  std::vector<std::uint8_t> source{}, destination{};  // addresses; empty: some
  std::uint16_t source_port = 1000, destination_port = 2000;
  std::size_t payload_bytes = 18;
  std::optional<std::uint16_t> vlan{};
  bool good_checksums = true;
  std::optional<std::uint8_t> seed{};
};
[[nodiscard]] packet make_frame(const frame_spec& spec);

}  // namespace mpnet::test
