// SPDX-License-Identifier: BSD-3-Clause
// Synchronous requests.  The caller gives each peer one end of a socket pair and reads the answer from the other end
// itself, so an answer wakes exactly the thread that waits for it.  Pairs are kept for the next request.
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>

#include "ipc/endpoint.hpp"

namespace mpnet::ipc {
namespace {

/// One peer's part while it is open.
struct wait_part {
  member who;
  std::size_t index = 0;  // in replies::parts
  channel at;
  bool open = true;
  std::optional<clock::time_point> hung_up;  // its end of the channel was closed without an answer
};

bool hung_up_on(int socket) noexcept {
  pollfd p{socket, POLLRDHUP, 0};
  return ::poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/// How long a peer whose end of a channel closed may take to be seen dead; after that it lives, and could not take the
/// channel.
constexpr auto hang_up_grace = std::chrono::milliseconds{250};

class waiting {
 public:
  waiting(endpoint::impl& pool, replies& result, std::vector<wait_part>& parts, std::uint64_t id)
      : pool_(pool), result_(result), parts_(parts), id_(id) {}

  void run(clock::time_point deadline) {
    auto next_look = clock::now() + liveness_period;
    for (;;) {
      for (wait_part& p : parts_) {
        if (p.open && p.hung_up) judge(p);
      }
      const auto open =
          static_cast<std::size_t>(std::count_if(parts_.begin(), parts_.end(), [](auto& p) { return p.open; }));
      if (open == 0) return;
      auto now = clock::now();
      if (now >= deadline) return;
      if (now >= next_look) {
        look_who_lives();
        next_look = now + liveness_period;
        continue;
      }
      wait(std::min(deadline, next_look) - now);
      for (std::size_t i = 0; i < polls_.size(); ++i) {
        if (polls_[i].revents != 0) read(*polled_[i]);
      }
    }
  }

 private:
  void wait(clock::duration limit) {
    polls_.clear();
    polled_.clear();
    for (wait_part& p : parts_) {
      if (!p.open) continue;
      if (p.hung_up) {
        limit = std::min<clock::duration>(limit, std::chrono::milliseconds{1});
      } else {
        polls_.push_back({p.at.socket->get(), POLLIN, 0});
        polled_.push_back(&p);
      }
    }
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(limit).count();
    const timespec t{ns / 1'000'000'000, ns % 1'000'000'000};
    // A signal ends it early: then nothing was found, and the caller's loop waits for the rest.
    const timespec at_once{};
    if (!wait_awhile(clock::now() + std::min<clock::duration>(limit, stay_awake), [&](bool sleep) {
          return ::ppoll(polls_.data(), polls_.size(), sleep ? &t : &at_once, nullptr) > 0;
        })) {
      for (pollfd& p : polls_) p.revents = 0;
    }
  }

  void read(wait_part& p) {
    while (p.open) {
      received in = receive_frame(p.at.socket->get(), thread_buffer());
      if (in.status == receive_status::nothing) return;
      if (in.status == receive_status::closed) {
        p.hung_up = clock::now();
        return judge(p);
      }
      if (in.status == receive_status::malformed) {
        count(pool_.counts->malformed);
        continue;
      }
      if (in.view.kind() != frame_kind::reply || in.view.header.id != id_) {
        count(pool_.counts->late_replies);
        continue;
      }
      count(pool_.counts->received);
      part& out = result_.parts[p.index];
      auto data = in.view.data;
      if (in.status == receive_status::fds_lost) {
        count(pool_.counts->fds_lost);
        out.how = outcome::failed;
        data = bytes_of("this process has too many descriptors open to take those of the answer");
      } else {
        out.how = static_cast<outcome>(in.view.header.status);
        out.reply.fds = std::move(in.fds);
      }
      out.reply.data.assign(data.begin(), data.end());
      p.open = false;
    }
  }

  /// Dead, or merely unable to take the channel's descriptor?
  void judge(wait_part& p) {
    if (hung_up_on(p.at.link->socket->get()) || !pool_.members.alive(p.who.id, p.who.incarnation)) {
      end(p, outcome::died);
    } else if (clock::now() - *p.hung_up > hang_up_grace) {
      end(p, outcome::dropped);
    }
  }

  void look_who_lives() {
    for (wait_part& p : parts_) {
      if (!p.open || p.hung_up || pool_.members.alive(p.who.id, p.who.incarnation)) continue;
      read(p);  // what it sent before it died counts
      if (p.open) end(p, outcome::died);
    }
  }

  void end(wait_part& p, outcome how) {
    result_.parts[p.index].how = how;
    p.open = false;
  }

  endpoint::impl& pool_;
  replies& result_;
  std::vector<wait_part>& parts_;
  std::uint64_t id_;
  std::vector<pollfd> polls_;
  std::vector<wait_part*> polled_;
};

}  // namespace

std::optional<channel> endpoint::impl::take_channel(const std::shared_ptr<connection>& link) {
  channel fresh;
  {
    const std::lock_guard lock{mutex};
    const auto owner = link->owner;
    if (!owner) return std::nullopt;
    for (std::size_t i = owner->idle_channels.size(); i-- > 0;) {
      if (owner->idle_channels[i].link != link) continue;
      channel c = std::move(owner->idle_channels[i]);
      owner->idle_channels.erase(owner->idle_channels.begin() + static_cast<std::ptrdiff_t>(i));
      return c;
    }
    fresh.id = ++last_channel;
  }
  auto [ours, theirs] = socket_pair();
  fresh.socket = std::make_shared<tracked_fd>(std::move(ours));
  fresh.link = link;
  frame_fields announce = fields(frame_kind::channel);
  announce.channel = fresh.id;
  const int fd = theirs.get();
  switch (send_frame(link->socket->get(), announce, {.name = {}, .data = {}, .fds = {&fd, 1}})) {
    case send_status::sent:
      break;
    default:
      return std::nullopt;
  }
  const std::lock_guard lock{mutex};
  if (!link->owner) return std::nullopt;
  link->owner->open_channels.emplace(fresh.id, fresh.socket);
  return fresh;
}

void endpoint::impl::give_back(channel c, bool reusable) {
  {
    const std::lock_guard lock{mutex};
    const auto& owner = c.link->owner;
    if (!owner) return;
    if (reusable && owner->idle_channels.size() < max_idle_channels) {
      owner->idle_channels.push_back(std::move(c));
      return;
    }
    owner->open_channels.erase(c.id);
  }
  frame_fields close = fields(frame_kind::channel_close);
  close.channel = c.id;
  static_cast<void>(send_frame(c.link->socket->get(), close, {}));
}

replies endpoint::impl::request(const outgoing& what, const destination& to, std::chrono::microseconds timeout) {
  check(what);
  const auto deadline = clock::now() + timeout;
  const auto targets = resolve(to);
  replies result;
  result.parts.reserve(targets.size());
  std::vector<wait_part> parts;
  parts.reserve(targets.size());
  std::uint64_t id = 0;
  {
    const std::lock_guard lock{mutex};
    id = ++last_request;
  }
  for (const member& m : targets) {
    part& p = result.parts.emplace_back();
    p.from = m.id;
    p.reply.name = what.name;
    p.reply.from = m.id;
    const auto [status, link] = link_to(m);
    if (!link) {
      p.how = how_of(status);
      continue;
    }
    auto at = take_channel(link);
    frame_fields ask = fields(frame_kind::request);
    ask.id = id;
    ask.channel = at ? at->id : 0;
    const send_status sent = at ? send_frame(link->socket->get(), ask, what) : send_status::full;
    if (sent != send_status::sent) {
      p.how = hung_up_on(link->socket->get()) ? outcome::died : outcome::dropped;
      if (p.how == outcome::dropped) count(counts->dropped_full);
      if (at) give_back(std::move(*at), true);
      continue;
    }
    count(counts->sent);
    ++result.nb_sent;
    parts.push_back({m, result.parts.size() - 1, std::move(*at), true, {}});
  }
  if (!parts.empty()) {
    leave_strand();
    waiting{*this, result, parts, id}.run(deadline);
  }
  for (wait_part& p : parts) give_back(std::move(p.at), !p.open && !p.hung_up);
  result.nb_received = result.who(outcome::answered).size();
  return result;
}

}  // namespace mpnet::ipc
