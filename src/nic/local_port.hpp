// SPDX-License-Identifier: BSD-3-Clause
// This process's half of a port: the device, what bursts call, and which queues this process drives.  One object a port
// and process, made on first use and kept until the process leaves the group or the port is removed, because what it
// holds (descriptors of kernel rings, locks on interfaces) must outlive other members' deaths.  Control.
#pragma once

#include <mpnet/port.hpp>

#include <array>
#include <memory>
#include <mutex>
#include <string>

#include "nic/device.hpp"
#include "nic/port_table.hpp"

namespace mpnet::nic {

class local_port {
 public:
  local_port(group& g, port_shared& shared, const driver& d, std::unique_ptr<device> dev);
  ~local_port();
  local_port(const local_port&) = delete;
  local_port& operator=(const local_port&) = delete;

  [[nodiscard]] port_shared& shared() const noexcept { return shared_; }
  /// Throws not_found once the port is gone.
  [[nodiscard]] device& dev() const;
  [[nodiscard]] group& owner() const noexcept { return group_; }
  [[nodiscard]] detail::port_bursts& bursts() noexcept { return bursts_; }
  [[nodiscard]] std::uint64_t generation() const noexcept { return generation_; }
  [[nodiscard]] bool is_current() const noexcept;               // the port is still the one this half was built for
  [[nodiscard]] std::string what(std::string_view verb) const;  // "VERB port 'NAME'"

  void configure(const port_config& config);
  void start();
  void stop();
  void bring_up(const port_config& config);
  void set_rx_pool(std::uint16_t queue, std::string_view pool);
  void take(std::uint16_t queue, queue_side side);
  void give_back(std::uint16_t queue, queue_side side) noexcept;
  /// Throws busy while a living process (other than this one, where `others_only`) drives a queue; what dead ones drive
  /// is freed.  Under the control lock.
  void require_undriven(std::string_view verb, bool others_only);

  /// Runs `change` under the port's control lock.
  template <class F>
  decltype(auto) locked(std::string_view verb, F&& change) {
    const std::lock_guard threads{mutex_};
    const word_lock lock{group_, shared_.control, what(verb)};
    return change(dev());
  }
  /// In the child of a fork, where the region is not mapped: forgets everything, touches nothing shared.
  void abandon() noexcept;
  /// Forgets the device: the process leaves the group, or the port was removed.
  void close() noexcept;

 private:
  [[nodiscard]] std::uint64_t& mine(std::uint16_t queue, queue_side side) noexcept {
    return side == queue_side::rx ? rx_mine_[queue] : tx_mine_[queue];
  }
  [[nodiscard]] detail::queue_shared& queue_of(std::uint16_t queue, queue_side side) noexcept {
    return side == queue_side::rx ? shared_.rx[queue] : shared_.tx[queue];
  }
  void configure_locked(device& d, const port_config& config);
  void start_locked(device& d);
  void claim(std::uint16_t queue, queue_side side);
  void unclaim(std::uint16_t queue, queue_side side) noexcept;
  void bind(device& d, std::uint16_t queue, queue_side side);
  void unbind(std::uint16_t queue, queue_side side) noexcept;

  group& group_;
  port_shared& shared_;
  const std::uint64_t generation_;
  std::unique_ptr<device> device_;
  detail::port_bursts bursts_;
  std::array<std::uint64_t, max_queues> rx_mine_{};  // the claim word that this process holds, or 0
  std::array<std::uint64_t, max_queues> tx_mine_{};
  std::mutex mutex_;
};

/// This process's half of the port at `shared`, made where it is not there yet; null where the port is gone.
[[nodiscard]] std::shared_ptr<local_port> local_half(group& g, port_shared& shared);
/// Adds one that was just created.
void remember(std::shared_ptr<local_port> half);

/// The process leaves its group: closes all local halves.  Handles on ports stay valid and do nothing.  Called by the
/// group itself.  The child of a fork forgets its parent's halves by itself, and builds its own once it is a member.
void leave_ports() noexcept;

}  // namespace mpnet::nic
