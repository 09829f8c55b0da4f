// SPDX-License-Identifier: BSD-3-Clause
// The asking side of the descriptor store.  Needs no endpoint and no thread: a process that is still attaching asks
// through sockets of its own.
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <deque>

#include "ipc/socket.hpp"
#include "ipc/wire.hpp"

namespace mpnet::ipc {
namespace {

using clock = std::chrono::steady_clock;

/// Members that are asked at once.  Those that stay silent must not keep the others from being asked, so the window
/// grows by as many with each patience that passes.
constexpr std::size_t window = 16;
constexpr auto patience = std::chrono::milliseconds{20};

class search {
 public:
  search(const socket_place& place, std::string_view key, std::chrono::milliseconds timeout)
      : place_(place), key_(key), start_(clock::now()), deadline_(start_ + timeout) {
    const auto names = list_sockets(place);
    waiting_.assign(names.begin(), names.end());
  }

  std::optional<fd_bundle> run() {
    while (!waiting_.empty() || !asked_.empty()) {
      ask();
      if (asked_.empty() && waiting_.empty()) break;
      wait();
      for (std::size_t i = 0; i < asked_.size();) {
        if (auto found = read(asked_[i])) return found;
        if (asked_[i].fd) {
          ++i;
        } else {
          asked_.erase(asked_.begin() + static_cast<std::ptrdiff_t>(i));
        }
      }
      if (clock::now() >= deadline_) throw_silent();
    }
    return std::nullopt;
  }

 private:
  struct asked {
    socket_name name;
    tracked_fd fd;
  };

  void ask() {
    const auto patiences = static_cast<std::size_t>((clock::now() - start_) / patience);
    for (std::size_t tries = waiting_.size(); tries > 0 && asked_.size() < window * (1 + patiences); --tries) {
      const socket_name name = waiting_.front();
      waiting_.pop_front();
      auto link = connect_to(place_, name);
      if (link.status == connect_status::full) {
        waiting_.push_back(name);  // it accepts nothing at the moment: again later
      } else if (link.status == connect_status::connected) {
        if (send_frame(link.fd.get(), {.kind = frame_kind::fetch}, {.name = key_, .data = {}, .fds = {}}) ==
            send_status::sent) {
          asked_.push_back({name, std::move(link.fd)});
        }
      }
    }
  }

  void wait() const {
    std::vector<pollfd> polls;
    for (const asked& a : asked_) polls.push_back({a.fd.get(), POLLIN, 0});
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - clock::now());
    const auto limit = waiting_.empty() ? left : std::min(left, std::chrono::milliseconds{5});
    // EINTR: as if nothing had come; the caller looks again.
    ::poll(polls.data(), polls.size(), static_cast<int>(std::clamp<std::int64_t>(limit.count(), 0, 1 << 30)));
  }

  /// What this member answered, if it has the key; closes its socket where it has ended.
  std::optional<fd_bundle> read(asked& from) const {
    received answer = receive_frame(from.fd.get(), thread_buffer());
    if (answer.status == receive_status::nothing) return std::nullopt;
    from.fd.reset();
    if (answer.status == receive_status::fds_lost) {
      throw error{errc::limit, fmt::format("fetch descriptors '{}': this process has too many open; raise its limit "
                                           "(ulimit -n)",
                                           key_)};
    }
    if (answer.status != receive_status::frame || answer.view.kind() != frame_kind::fetched ||
        answer.view.header.status != 0) {
      return std::nullopt;
    }
    fd_bundle bundle;
    bundle.fds = std::move(answer.fds);
    bundle.data.assign(answer.view.data.begin(), answer.view.data.end());
    bundle.from = from.name.id;
    return bundle;
  }

  [[noreturn]] void throw_silent() const {
    std::string silent;
    for (const asked& a : asked_) silent += fmt::format(" {}", static_cast<unsigned>(a.name.id));
    for (const socket_name& name : waiting_) silent += fmt::format(" {}", static_cast<unsigned>(name.id));
    throw error{
        errc::timed_out,
        fmt::format("fetch descriptors '{}': no member that answered has them, and these processes of the group "
                    "stayed silent:{}; are they stopped?",
                    key_, silent)};
  }

  const socket_place& place_;
  std::string_view key_;
  clock::time_point start_;
  clock::time_point deadline_;
  std::deque<socket_name> waiting_;
  std::vector<asked> asked_;
};

}  // namespace

std::optional<fd_bundle> fetch_fds(const socket_place& place, std::string_view key, std::chrono::milliseconds timeout) {
  if (!valid_name(key)) throw error{errc::invalid_argument, fmt::format("fetch descriptors '{}': not a key", key)};
  return search{place, key, timeout}.run();
}

}  // namespace mpnet::ipc
