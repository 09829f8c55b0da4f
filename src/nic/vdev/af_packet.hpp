// SPDX-License-Identifier: BSD-3-Clause
// net_af_packet: a kernel interface through mapped packet rings (packet(7), TPACKET_V2), one socket a queue pair, the
// sockets joined in a fanout group by flow hash.  Arguments follow DPDK's net_af_packet; docs/ports.md lists them.
//
// The sockets live as long as one member holds them, whoever opened them.  What a driver of a queue must know, where
// the kernel stands in the rings, is written to the queue's shared words after each burst and checked against the
// frames' states at each takeover (af_packet_takeover.cpp).
//
// The rings, as this file counts: frame i of a ring lies at base + i / frames_a_block * block_bytes +
// i % frames_a_block * frame_bytes.
#pragma once

#include <linux/if_packet.h>
#include <mpnet/detail/unique_fd.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "nic/vdev/interface_lock.hpp"
#include "nic/vdev/vdev.hpp"

namespace mpnet::nic {

/// In the port's shared area: what the creator set up.  Written in create(), then only read.
struct af_packet_area {
  std::uint64_t netns_inode;
  std::uint32_t ifindex;
  std::uint32_t queue_pairs;
  std::uint32_t block_bytes, frame_bytes;
  std::uint32_t rx_blocks, tx_blocks;
  std::uint32_t vnet_header;  // 1: each frame is preceded by one
  std::uint32_t fanout_mode;  // PACKET_FANOUT_HASH and so on, with flags
  char interface[16];
};

/// Which of a queue's shared words is what.
enum af_packet_word : std::size_t { word_next = 0 };

/// One of a socket's two rings, mapped in this process.
struct packet_ring {
  std::byte* base = nullptr;
  std::uint32_t frames = 0, frames_a_block = 1, block_bytes = 0, frame_bytes = 0;

  [[nodiscard]] tpacket2_hdr* frame(std::uint32_t i) const noexcept {
    return reinterpret_cast<tpacket2_hdr*>(base + std::size_t{i / frames_a_block} * block_bytes +
                                           std::size_t{i % frames_a_block} * frame_bytes);
  }
  [[nodiscard]] std::uint32_t after(std::uint32_t i) const noexcept { return i + 1 == frames ? 0 : i + 1; }
  [[nodiscard]] std::uint32_t before(std::uint32_t i) const noexcept { return i == 0 ? frames - 1 : i - 1; }
};

[[nodiscard]] inline std::uint32_t frame_status(tpacket2_hdr* frame) noexcept {
  // acquire: the frame's contents are read after its state; the partner is the kernel's barrier before it sets it.
  return std::atomic_ref<std::uint32_t>{frame->tp_status}.load(std::memory_order_acquire);
}
inline void set_frame_status(tpacket2_hdr* frame, std::uint32_t status) noexcept {
  // release: what was done to the frame comes before; the partner is the kernel's read of the state.
  std::atomic_ref<std::uint32_t>{frame->tp_status}.store(status, std::memory_order_release);
}

/// What an rx or tx burst works on.  One process and thread at a time.
struct af_packet_queue {
  packet_ring ring;
  std::uint32_t next = 0;  // frame to look at next
  int fd = -1;
  bool vnet = false;
  std::uint16_t port = 0;
  std::uint32_t room_bytes = 0;                     // tx: for a packet in a frame
  const std::atomic<std::uint32_t>* mtu = nullptr;  // tx: the port's
  mbuf_pool pool;
  detail::queue_counters* counters = nullptr;
  std::atomic<std::uint64_t>* shared_next = nullptr;
};

[[nodiscard]] std::size_t af_packet_rx(void* queue, mbuf** packets, std::size_t count) noexcept;
[[nodiscard]] std::size_t af_packet_tx(void* queue, mbuf** packets, std::size_t count) noexcept;

/// Finds where the kernel stands; called before the first burst of a new driver.
void resynchronise_rx(af_packet_queue& q) noexcept;
void resynchronise_tx(af_packet_queue& q) noexcept;
/// Brings the kernel's place in the tx ring to a known frame, giving up what waits to be sent; returns how many packets
/// that were.  Cold.
std::uint32_t realign_tx(af_packet_queue& q) noexcept;
/// Tells the kernel to send what is marked.  One system call; bytes sent, or a negative errno.
[[nodiscard]] long kick_tx(const af_packet_queue& q) noexcept;

/// A socket of the port, with its rings mapped.
struct packet_socket {
  detail::unique_fd fd;
  std::byte* map = nullptr;  // the rx ring, then the tx ring
  std::size_t map_bytes = 0;

  packet_socket() = default;
  packet_socket(packet_socket&& other) noexcept
      : fd(std::move(other.fd)), map(std::exchange(other.map, nullptr)), map_bytes(other.map_bytes) {}
  packet_socket& operator=(packet_socket&&) = delete;
  ~packet_socket();
};

/// What the arguments and the interface ask for; checks both.
[[nodiscard]] af_packet_area plan_af_packet(const devargs& arguments);
/// Opens a socket with rings, bound to the interface, that sends but does not receive yet.
[[nodiscard]] detail::unique_fd open_packet_socket(const af_packet_area& area, bool bypass_qdisc);
[[nodiscard]] packet_socket map_packet_socket(const af_packet_area& area, detail::unique_fd fd);
/// Lets the first `count` sockets receive, a flow on one of them; those that receive already go on.
void receive_on(const af_packet_area& area, std::span<const packet_socket> sockets);

[[nodiscard]] inline std::uint32_t frames_a_block(const af_packet_area& area) noexcept {
  return area.block_bytes / area.frame_bytes;
}

}  // namespace mpnet::nic
