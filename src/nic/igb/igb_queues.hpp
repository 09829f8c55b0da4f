// SPDX-License-Identifier: BSD-3-Clause
// A receive and a transmit queue: the shared half (ring, the mbufs in it, indexes) and the local half (doorbell, pool,
// counters) of each.  The shared half is written by the one process that drives the queue, and after that one's death
// by recovery, which stops the queue first: a buffer that the device may still write to is never given back.
//
// Death at any instruction: a buffer belongs to the queue when it lies between the indexes.  Each index moves after
// what it covers is in place, and before the doorbell; whatever lies outside carries the dead process's tag and nothing
// else.
#pragma once

#include <mpnet/detail/port_local.hpp>
#include <mpnet/detail/port_shared.hpp>
#include <mpnet/mbuf.hpp>

#include <atomic>
#include <cstdint>
#include <functional>

#include "igb_desc.hpp"
#include "igb_hw.hpp"
#include "nic/dma_pages.hpp"

namespace mpnet::nic::igb {

inline constexpr std::uint16_t refill_batch = 32;  // rx buffers are posted so many at a time; ring sizes are multiples
inline constexpr std::uint16_t max_segments = 40;  // of one packet
inline constexpr std::uint32_t max_frame_bytes = 9728;  // §7.2.1.1 and RLPML of the smallest device

enum class queue_state : std::uint32_t {
  stopped,     // the device has nothing of it
  running,     //
  quarantined  // its driver died, and the device did not confirm that it stopped: its buffers stay where they are
};

/// Shared.  Zeroed memory is a stopped queue without a ring.
struct alignas(cache_line) rx_queue {
  rx_desc* ring;                      // configure: w
  mbuf** slots;                       // the buffer of each descriptor; driver: w
  std::uint32_t descriptor_count;     // configure: w; a power of two
  std::atomic<std::uint32_t> state;   // queue_state; driver, recovery: w
  std::atomic<std::uint16_t> next;    // the oldest descriptor that was not handed to the application; driver: w
  std::atomic<std::uint16_t> posted;  // the first that the device has no buffer for: its tail; driver: w
  std::uint16_t skipping;             // inside a packet that is dropped; driver: w
  std::uint16_t spare16;
  std::uint64_t spare[3];
};
static_assert(sizeof(rx_queue) == 64);

/// Shared.
struct alignas(cache_line) tx_queue {
  tx_desc* ring;                     // configure: w
  mbuf** slots;                      // the segment of each data descriptor, null for context ones; driver: w
  std::uint16_t* batch_end;          // where the batch that starts here ends; driver: w
  std::uint32_t descriptor_count;    // configure: w; a power of two
  std::atomic<std::uint32_t> state;  // queue_state; driver, recovery: w
  std::atomic<std::uint16_t> tail;   // the first free descriptor; driver: w
  std::atomic<std::uint16_t> clean;  // the oldest whose buffer is not given back; driver: w
  std::uint16_t spare16[2];
  std::uint64_t spare[3];
};
static_assert(sizeof(tx_queue) == 64);

/// What a burst works with; local to the process that drives the queue.
struct alignas(cache_line) rx_context {
  rx_queue* queue = nullptr;
  volatile std::uint32_t* doorbell = nullptr;
  detail::pool_header* pool = nullptr;
  detail::queue_counters* counters = nullptr;
  std::uint32_t mask = 0;
  std::uint16_t buffer_bytes = 0;  // of one buffer, as the device was told
  std::uint16_t port = 0;
  std::uint64_t rss_flag = 0;        // mbuf_flag::rx_rss_hash where the field holds a hash
  const dma_pages* pages = nullptr;  // without an IOMMU
  std::uint32_t refill_room = 0;     // start(): so many descriptors without a buffer make a burst post new ones
  mbuf* aside = nullptr;  // buffers that the device cannot reach in one piece, linked; of this process until stop
};

struct alignas(cache_line) tx_context_local {
  tx_queue* queue = nullptr;
  volatile std::uint32_t* doorbell = nullptr;
  detail::queue_counters* counters = nullptr;
  std::uint32_t mask = 0;
  std::uint32_t context_index = 0;   // already shifted
  const dma_pages* pages = nullptr;  // without an IOMMU
  tx_context last{};                 // what the device remembers
  bool last_valid = false;
};

// ---- hot
// ---------------------------------------------------------------------------------------------------------------------
[[nodiscard]] std::size_t rx_burst(void* context, mbuf** packets, std::size_t count) noexcept;
/// For packets of more than one buffer.
[[nodiscard]] std::size_t rx_burst_scattered(void* context, mbuf** packets, std::size_t count) noexcept;
[[nodiscard]] std::size_t tx_burst(void* context, mbuf** packets, std::size_t count) noexcept;
/// Gives back the buffers of what was sent.
void reclaim_sent(tx_context_local& c) noexcept;
/// Posts buffers as far as there is room and the pool has some.
void refill(rx_context& c) noexcept;

// ---- control, the driving process
// ------------------------------------------------------------------------------------------------
/// Makes the device run the queue, with as many buffers as the pool has.  The queue is stopped.
void start(const hw& h, unsigned index, rx_context& c, std::uint64_t ring_iova);
void start(const hw& h, unsigned index, tx_context_local& c, std::uint64_t ring_iova);
/// Stops the queue and gives its buffers back.  False where the device did not confirm: then nothing was given back.
bool stop(const hw& h, unsigned index, rx_queue& q) noexcept;
bool stop(const hw& h, unsigned index, tx_queue& q) noexcept;
/// Gives back what refill() put aside.
void give_back_aside(rx_context& c) noexcept;

// ---- recovery: the driving process is dead
// ------------------------------------------------------------------------------------------
/// Stops the queue; its buffers are left to the pools' reclaim, which finds them by their tags.  Idempotent.
bool stop_for_dead(const hw& h, unsigned index, rx_queue& q) noexcept;
bool stop_for_dead(const hw& h, unsigned index, tx_queue& q) noexcept;
void visit_buffers(const rx_queue& q, const std::function<void(void*)>& visit);
void visit_buffers(const tx_queue& q, const std::function<void(void*)>& visit);

}  // namespace mpnet::nic::igb
