// SPDX-License-Identifier: BSD-3-Clause
// Datagrams between processes of a group: one fixed header, a name, data, and descriptors beside them.  Parsing trusts
// nothing: lengths, kinds and counts are checked before anything is used.  Pure functions, then send and receive,
// neither of which ever blocks.
//
// Sockets are SOCK_SEQPACKET: datagrams keep their bounds and order, each pair of processes has a queue of its own (a
// full one harms nobody else; SOCK_DGRAM has one a receiver), and the kernel reports the peer's end by itself.
#pragma once

#include <mpnet/ipc.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace mpnet::ipc {

enum class frame_kind : std::uint8_t {
  hello = 1,      // who the sender is; its pidfd
  note,           // a message without an answer
  request,        // answered on `channel`, or on this connection when that is 0
  reply,          // to the request `id`
  channel,        // the descriptor on which the sender waits for replies that name `channel`
  channel_close,  // it waits no more
  fetch,          // asks for the key `name`
  fetched,        // the answer; status 0: here it is, else: none
};

struct frame_header {
  std::uint32_t magic;
  std::uint8_t version;
  std::uint8_t kind;  // frame_kind
  std::uint8_t name_len;
  std::uint8_t status;  // reply: outcome; fetched: 0 or 1
  std::uint64_t id;
  std::uint64_t incarnation;  // the sender's
  std::uint32_t data_len;
  std::uint32_t channel;
  std::uint16_t sender;  // its slot; no_process: no member
  std::uint16_t fd_count;
  std::uint32_t spare;
};
static_assert(sizeof(frame_header) == 40);

inline constexpr std::uint32_t frame_magic = 0x4370'6d6e;  // "nmpC"
inline constexpr std::uint8_t frame_version = 1;
inline constexpr std::size_t max_frame_bytes = sizeof(frame_header) + max_name_len + max_data_bytes;

/// A datagram that passed all checks; points into the buffer that was parsed.
struct frame_view {
  frame_header header{};
  std::string_view name;
  std::span<const std::byte> data;

  [[nodiscard]] frame_kind kind() const noexcept { return static_cast<frame_kind>(header.kind); }
  [[nodiscard]] process_id sender() const noexcept { return process_id{header.sender}; }
};

/// Empty for anything that this version would not have sent.
[[nodiscard]] std::optional<frame_view> parse_frame(std::span<const std::byte> bytes, std::size_t fd_count) noexcept;

/// Whether `name` can name a handler or a key.
[[nodiscard]] bool valid_name(std::string_view name) noexcept;

/// Header fields of what is sent; lengths are filled in by send_frame().
struct frame_fields {
  frame_kind kind{};
  std::uint8_t status = 0;
  std::uint64_t id = 0;
  std::uint32_t channel = 0;
  process_id sender = no_process;
  std::uint64_t incarnation = 0;
};

enum class send_status : std::uint8_t { sent, full, gone, bad_fd };

[[nodiscard]] send_status send_frame(int socket, const frame_fields& fields, const outgoing& what) noexcept;

/// Where datagrams are received; a thread has one.
struct receive_buffer {
  std::array<std::byte, max_frame_bytes + 1> bytes;
};
[[nodiscard]] receive_buffer& thread_buffer();

enum class receive_status : std::uint8_t { frame, nothing, closed, malformed, fds_lost };

struct received {
  receive_status status = receive_status::nothing;
  frame_view view;             // also where fds_lost: the header tells whom to answer
  std::vector<unique_fd> fds;  // closed with this
};

[[nodiscard]] received receive_frame(int socket, receive_buffer& buffer);

}  // namespace mpnet::ipc
