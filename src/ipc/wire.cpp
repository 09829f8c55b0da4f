// SPDX-License-Identifier: BSD-3-Clause
#include "ipc/wire.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace mpnet::ipc {
namespace {

/// What each kind may carry.
bool fits_kind(const frame_header& h) noexcept {
  const bool named = h.name_len != 0;
  switch (static_cast<frame_kind>(h.kind)) {
    case frame_kind::hello:
      return !named && h.data_len == 0 && h.fd_count <= 1 && h.sender < max_processes;
    case frame_kind::note:
    case frame_kind::request:
      return named;
    case frame_kind::reply:
      return !named && h.status <= static_cast<std::uint8_t>(outcome::dropped);
    case frame_kind::channel:
      return !named && h.data_len == 0 && h.fd_count == 1 && h.channel != 0;
    case frame_kind::channel_close:
      return !named && h.data_len == 0 && h.fd_count == 0 && h.channel != 0;
    case frame_kind::fetch:
      return named && h.data_len == 0 && h.fd_count == 0;
    case frame_kind::fetched:
      return !named && h.status <= 1;
  }
  return false;
}

}  // namespace

bool valid_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= max_name_len &&
         std::all_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x20; });
}

std::optional<frame_view> parse_frame(std::span<const std::byte> bytes, std::size_t fd_count) noexcept {
  if (bytes.size() < sizeof(frame_header) || bytes.size() > max_frame_bytes) return std::nullopt;
  frame_view view;
  std::memcpy(&view.header, bytes.data(), sizeof(frame_header));
  const frame_header& h = view.header;
  if (h.magic != frame_magic || h.version != frame_version) return std::nullopt;
  if (h.name_len > max_name_len || h.data_len > max_data_bytes || h.fd_count > max_fds) return std::nullopt;
  if (bytes.size() != sizeof(frame_header) + h.name_len + h.data_len || h.fd_count != fd_count) return std::nullopt;
  const auto tail = bytes.subspan(sizeof(frame_header));
  view.name = {reinterpret_cast<const char*>(tail.data()), h.name_len};
  view.data = tail.subspan(h.name_len);
  if (h.name_len != 0 && !valid_name(view.name)) return std::nullopt;
  if (!fits_kind(h)) return std::nullopt;
  return view;
}

send_status send_frame(int socket, const frame_fields& fields, const outgoing& what) noexcept {
  frame_header h{};
  h.magic = frame_magic;
  h.version = frame_version;
  h.kind = static_cast<std::uint8_t>(fields.kind);
  h.name_len = static_cast<std::uint8_t>(what.name.size());
  h.status = fields.status;
  h.id = fields.id;
  h.incarnation = fields.incarnation;
  h.data_len = static_cast<std::uint32_t>(what.data.size());
  h.channel = fields.channel;
  h.sender = static_cast<std::uint16_t>(fields.sender);
  h.fd_count = static_cast<std::uint16_t>(what.fds.size());

  std::array<iovec, 3> parts{iovec{&h, sizeof h}, iovec{const_cast<char*>(what.name.data()), what.name.size()},
                             iovec{const_cast<std::byte*>(what.data.data()), what.data.size()}};
  msghdr m{};
  m.msg_iov = parts.data();
  m.msg_iovlen = parts.size();
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(max_fds * sizeof(int))> control;
  if (!what.fds.empty()) {
    m.msg_control = control.data();
    m.msg_controllen = CMSG_SPACE(what.fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(what.fds.size_bytes());
    std::memcpy(CMSG_DATA(c), what.fds.data(), what.fds.size_bytes());
  }
  ssize_t n = 0;
  do n = ::sendmsg(socket, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n >= 0) return send_status::sent;
  switch (errno) {
    case EPIPE:
    case ECONNRESET:
    case ECONNREFUSED:
    case ENOTCONN:
      return send_status::gone;
    case EBADF:
      return send_status::bad_fd;
    default:
      return send_status::full;  // EAGAIN, ENOBUFS, ETOOMANYREFS (descriptors in flight), EMSGSIZE
  }
}

receive_buffer& thread_buffer() {
  thread_local const auto buffer = std::make_unique<receive_buffer>();
  return *buffer;
}

received receive_frame(int socket, receive_buffer& buffer) {
  received result;
  iovec part{buffer.bytes.data(), buffer.bytes.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(max_fds * sizeof(int)) + 64> control;
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control.data();
  m.msg_controllen = control.size();
  ssize_t n = 0;
  do n = ::recvmsg(socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0) {
    if (errno != EAGAIN && errno != ENOMEM && errno != ENOBUFS) result.status = receive_status::closed;
    return result;
  }
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      result.fds.emplace_back(fd);
    }
  }
  const std::span<const std::byte> bytes{buffer.bytes.data(), static_cast<std::size_t>(n)};
  if (n == 0) {
    // The end of the connection, or a datagram without a byte.
    pollfd p{socket, POLLRDHUP, 0};
    const bool ended = ::poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
    result.status = ended ? receive_status::closed : receive_status::malformed;
  } else if ((m.msg_flags & MSG_TRUNC) != 0) {
    result.status = receive_status::malformed;
  } else if ((m.msg_flags & MSG_CTRUNC) != 0) {
    // This process is out of descriptors; the kernel has closed what it could not hand over.
    frame_header h{};
    if (bytes.size() >= sizeof h) std::memcpy(&h, bytes.data(), sizeof h);
    const auto view = parse_frame(bytes, h.fd_count);
    result.status = view ? receive_status::fds_lost : receive_status::malformed;
    if (view) result.view = *view;
    result.fds.clear();
  } else if (const auto view = parse_frame(bytes, result.fds.size())) {
    result.status = receive_status::frame;
    result.view = *view;
  } else {
    result.status = receive_status::malformed;
  }
  return result;
}

}  // namespace mpnet::ipc
