// SPDX-License-Identifier: BSD-3-Clause
// net_pcap: packets from capture files and live interfaces through libpcap.  Follows DPDK's net_pcap; docs/ports.md
// lists the arguments.  Each rx_pcap, tx_pcap, rx_iface, rx_iface_in, tx_iface makes one queue; iface makes one of each
// side.
//
// How far a file was read or written stands in the queue's shared words, so that the next driver of the queue goes on
// there.  A capture is read into memory when its queue is taken: bursts make no system call.  A file is written with
// one system call a burst, at the offset that the shared word says; what a death left behind that offset is cut off.
#pragma once

#include <pcap/pcap.h>

#include <memory>
#include <string>
#include <vector>

#include "nic/vdev/vdev.hpp"

namespace mpnet::nic {

struct pcap_closer {
  void operator()(pcap_t* p) const noexcept { ::pcap_close(p); }
};
using pcap_handle = std::unique_ptr<pcap_t, pcap_closer>;

/// In a queue's shared words: packets read so far; bytes of the file that are whole records.
inline constexpr std::size_t pcap_word = 0;

/// A capture in memory.
struct capture {
  std::vector<std::byte> bytes;
  std::vector<std::size_t> starts;  // one more than packets
  [[nodiscard]] std::size_t count() const noexcept { return starts.size() - 1; }
};
/// Reads a capture file whole.  Throws not_found, permission, corrupt (truncated, say), unsupported (no Ethernet).
[[nodiscard]] capture read_capture(const std::string& device, const std::string& path);

struct pcap_queue {
  mbuf_pool pool;
  detail::queue_counters* counters = nullptr;
  std::atomic<std::uint64_t>* shared_word = nullptr;
  std::uint16_t port = 0;
  capture packets;               // rx from a file
  bool infinite = false;         // rx from a file
  int fd = -1;                   // tx
  pcap_handle live;              // rx and tx on an interface
  std::vector<std::byte> arena;  // tx: frames of a burst
};

[[nodiscard]] std::size_t pcap_file_rx(void* queue, mbuf** packets, std::size_t count) noexcept;
[[nodiscard]] std::size_t pcap_live_rx(void* queue, mbuf** packets, std::size_t count) noexcept;
[[nodiscard]] std::size_t pcap_file_tx(void* queue, mbuf** packets, std::size_t count) noexcept;
[[nodiscard]] std::size_t pcap_live_tx(void* queue, mbuf** packets, std::size_t count) noexcept;
/// Frees what it is given: a port without a tx side.
[[nodiscard]] std::size_t pcap_drop_tx(void* queue, mbuf** packets, std::size_t count) noexcept;

/// The head of a capture file, and of each record in it (libpcap's format, microseconds, this machine's byte order).
struct capture_head {
  std::uint32_t magic = 0xa1b2c3d4;
  std::uint16_t major = 2, minor = 4;
  std::uint32_t zone = 0, accuracy = 0, snap_len = 262'144, link_type = 1;
};
static_assert(sizeof(capture_head) == 24);
struct record_head {
  std::uint32_t seconds, microseconds, captured, length;
};
static_assert(sizeof(record_head) == 16);
inline constexpr std::size_t pcap_arena_bytes = 1 << 20;

}  // namespace mpnet::nic
