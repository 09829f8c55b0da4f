// SPDX-License-Identifier: BSD-3-Clause
#include "ipc/reply.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include "ipc/wire.hpp"

namespace mpnet::ipc {

void check_payload(std::string_view what, std::span<const std::byte> data, std::span<const int> fds) {
  if (data.size() > max_data_bytes) {
    throw error{errc::limit, fmt::format("{}: {} bytes of data; a message carries at most {}, share a memzone instead",
                                         what, data.size(), max_data_bytes)};
  }
  if (fds.size() > max_fds) {
    throw error{errc::limit, fmt::format("{}: {} descriptors; a message carries at most {}, send several", what,
                                         fds.size(), max_fds)};
  }
  for (const int fd : fds) {
    if (::fcntl(fd, F_GETFD) < 0) {
      throw error{errc::invalid_argument, fmt::format("{}: descriptor {} is not open", what, fd)};
    }
  }
}

bool reply_route::answer(outcome how, std::span<const std::byte> data, std::span<const int> fds) const noexcept {
  const frame_fields fields{.kind = frame_kind::reply,
                            .status = static_cast<std::uint8_t>(how),
                            .id = id,
                            .channel = 0,
                            .sender = self,
                            .incarnation = incarnation};
  switch (send_frame(socket->get(), fields, {.name = {}, .data = data, .fds = fds})) {
    case send_status::sent:
      count(counts->sent);
      return true;
    case send_status::full:
      count(counts->dropped_full);
      return false;
    default:
      return false;
  }
}

reply_token::reply_token() noexcept = default;
reply_token::reply_token(std::unique_ptr<reply_route> route) noexcept : route_(std::move(route)) {}
reply_token::reply_token(reply_token&&) noexcept = default;

reply_token& reply_token::operator=(reply_token&& other) noexcept {
  if (this != &other) {
    if (route_) route_->answer(outcome::no_reply, {}, {});
    route_ = std::move(other.route_);
  }
  return *this;
}

reply_token::~reply_token() {
  if (route_) route_->answer(outcome::no_reply, {}, {});
}

bool reply_token::send(std::span<const std::byte> data, std::span<const int> fds) {
  if (!route_) throw error{errc::invalid_argument, "reply: no answer is owed; it was sent, or nobody asked"};
  check_payload("reply", data, fds);
  const auto route = std::move(route_);
  return route->answer(outcome::answered, data, fds);
}

bool reply_token::fail(std::string_view text) noexcept {
  if (!route_) return false;
  const auto route = std::move(route_);
  return route->answer(outcome::failed, bytes_of(text.substr(0, 4096)), {});
}

void reply_token::answer_no_handler() noexcept {
  if (const auto route = std::move(route_)) route->answer(outcome::no_handler, {}, {});
}

std::vector<process_id> replies::who(outcome how) const {
  std::vector<process_id> ids;
  for (const part& p : parts) {
    if (p.how == how) ids.push_back(p.from);
  }
  return ids;
}

}  // namespace mpnet::ipc
