// SPDX-License-Identifier: BSD-3-Clause
// Packets collected for one tx queue until there are enough for a burst.  Follows rte_eth_tx_buffer.  One thread; local
// to its process (the packets in it are this process's, and go with it).
#pragma once

#include <mpnet/mbuf.hpp>
#include <mpnet/port.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace mpnet {

class tx_buffer {
 public:
  static constexpr std::size_t max_capacity = 64;
  /// Gets what the queue did not take, and owns it.  Follows buffer_tx_error_fn.
  using drop_function = void (*)(void* context, std::span<mbuf*> packets) noexcept;

  /// `capacity`: packets that make a burst, 1 to max_capacity.  The port must outlive the buffer's use, and its queue
  /// be taken by this process.
  tx_buffer(port to, queue_id queue, std::size_t capacity = 32) noexcept
      : to_(std::move(to)),
        queue_(queue),
        capacity_(capacity == 0             ? 1
                  : capacity > max_capacity ? max_capacity
                                            : capacity) {}
  /// Gives back what was not flushed.
  ~tx_buffer() { free_mbufs({packets_.data(), count_}); }
  tx_buffer(const tx_buffer&) = delete;
  tx_buffer& operator=(const tx_buffer&) = delete;

  /// What happens to packets that the queue does not take: by default they are freed.  Counted either way.
  void on_drop(drop_function function, void* context = nullptr) noexcept {
    drop_ = function;
    context_ = context;
  }

  /// Takes the packet; sends all that is there once there are `capacity`.  Returns how many went out.  Hot.
  std::size_t add(mbuf* packet) noexcept {
    packets_[count_++] = packet;
    return count_ < capacity_ ? 0 : flush();
  }

  /// Sends what is there, in one burst; what does not go is dropped.  Returns how many went out.  Hot.
  std::size_t flush() noexcept {
    if (count_ == 0) return 0;
    const std::size_t sent = to_.tx_burst(queue_, {packets_.data(), count_});
    const std::span<mbuf*> rest{packets_.data() + sent, count_ - sent};
    count_ = 0;
    if (rest.empty()) [[likely]]
      return sent;
    dropped_ += rest.size();
    if (drop_ != nullptr) {
      drop_(context_, rest);
    } else {
      free_mbufs(rest);
    }
    return sent;
  }

  [[nodiscard]] std::size_t pending() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_; }

 private:
  port to_;
  queue_id queue_;
  std::size_t capacity_;
  std::size_t count_ = 0;
  std::uint64_t dropped_ = 0;
  drop_function drop_ = nullptr;
  void* context_ = nullptr;
  std::array<mbuf*, max_capacity> packets_;
};

}  // namespace mpnet
