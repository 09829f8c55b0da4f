// SPDX-License-Identifier: BSD-3-Clause
// What comes in: each datagram is checked, then handed to whom it is for.  What does not fit is counted and dropped.
#include <algorithm>

#include "ipc/endpoint.hpp"
#include "ipc/fd_store.hpp"

namespace mpnet::ipc {

reading_turn::reading_turn(endpoint::impl& pool, std::shared_ptr<connection> link, reason why) noexcept : pool_(&pool) {
  if (link->being_read) return;
  link_ = std::move(link);
  link_->being_read = true;
  if (why == reason::read_on) pool.arm(*link_, EPOLLONESHOT);  // no event; a hang-up once
}

std::shared_ptr<connection> reading_turn::end() noexcept {
  if (!link_) return nullptr;
  {
    const std::lock_guard lock{pool_->mutex};
    link_->being_read = false;  // before epoll is told: who gets the next event takes the turn
  }
  pool_->arm(*link_, link_events);
  return std::exchange(link_, nullptr);
}

reading_turn endpoint::impl::turn_of(std::uint64_t link_id) {
  const std::lock_guard lock{mutex};
  const auto found = links.find(link_id);
  if (found == links.end()) return {};
  return {*this, found->second, reading_turn::reason::event};
}

endpoint::impl::look endpoint::impl::read_link(const std::shared_ptr<connection>& link) {
  look result = look::nothing;
  constexpr int burst = 8;  // then other connections have their turn
  for (int n = 0; n < burst; ++n) {
    received in = receive_frame(link->socket->get(), thread_buffer());
    if (in.status == receive_status::nothing) break;
    result = look::frames;
    if (in.status == receive_status::closed) {
      drop_link(link);
      return look::ended;
    }
    if (in.status == receive_status::malformed) {
      count(counts->malformed);
      continue;
    }
    if (in.status == receive_status::fds_lost) {
      count(counts->fds_lost);
      if (in.view.kind() == frame_kind::request) {
        reply_token token{route_of(*link, in.view)};
        token.fail("the process asked has too many descriptors open to take those of the request");
      }
      if (in.view.kind() != frame_kind::hello && in.view.kind() != frame_kind::reply) continue;
    }
    count(counts->received);
    accept_frame(link, in);
    const std::lock_guard lock{mutex};
    if (!ready.empty()) return look::call;
  }
  return result;
}

void endpoint::impl::accept_frame(const std::shared_ptr<connection>& link, received& in) {
  const frame_kind kind = in.view.kind();
  if (kind == frame_kind::fetch) return answer_fetch(link, in);
  if (kind == frame_kind::hello) return accept_hello(link, in);
  if (kind == frame_kind::reply) return accept_reply(link, in);
  const std::lock_guard lock{mutex};
  if (!link->owner || kind == frame_kind::fetched) {
    count(counts->malformed);  // nobody knows who that is, or nobody asked
    return;
  }
  if (kind == frame_kind::channel) {
    if (link->channels.size() >= max_peer_channels) {
      count(counts->malformed);
      return;
    }
    link->channels[in.view.header.channel] = std::make_shared<tracked_fd>(in.fds.front().release());
  } else if (kind == frame_kind::channel_close) {
    link->channels.erase(in.view.header.channel);
  } else {
    accept_call(link, in);
  }
}

void endpoint::impl::accept_hello(const std::shared_ptr<connection>& link, received& in) {
  bool answer = false;
  const process_id id = in.view.sender();
  const std::uint64_t incarnation = in.view.header.incarnation;
  if (!members.alive(id, incarnation)) {
    count(counts->malformed);  // from a former owner of the slot, or from nobody
    return;
  }
  const std::lock_guard lock{mutex};
  if (!links.contains(link->id)) return;
  if (!link->owner) {
    add_peer_link(link, id, incarnation);
    answer = true;
  } else if (link->owner->id != id || link->owner->incarnation != incarnation) {
    count(counts->malformed);
    return;
  }
  if (!in.fds.empty()) set_pidfd(*link->owner, std::move(in.fds.front()));
  if (answer) say_hello(link->socket->get());
}

std::unique_ptr<reply_route> endpoint::impl::route_of(const connection& link, const frame_view& view) {
  auto route = std::make_unique<reply_route>();
  route->socket = link.socket;
  if (view.header.channel != 0) {
    const auto found = link.channels.find(view.header.channel);
    if (found != link.channels.end()) route->socket = found->second;
  }
  route->id = view.header.id;
  route->self = options.self.id;
  route->incarnation = options.self.incarnation;
  route->counts = counts;
  return route;
}

void endpoint::impl::accept_call(const std::shared_ptr<connection>& link, received& in) {
  strand& calls = *link->owner->calls;
  job j;
  if (in.view.kind() == frame_kind::request) j.route = route_of(*link, in.view);
  const bool full = calls.jobs.size() >= max_backlog_jobs || calls.bytes + in.view.data.size() > max_backlog_bytes ||
                    calls.fds + in.fds.size() > max_backlog_fds;
  if (full || stopping) {
    count(counts->dropped_backlog);
    if (j.route) {
      j.route->answer(outcome::dropped, {}, {});
    }
    return;
  }
  j.in.name = in.view.name;
  j.in.data.assign(in.view.data.begin(), in.view.data.end());
  j.in.fds = std::move(in.fds);
  j.in.from = link->owner->id;
  calls.bytes += j.in.data.size();
  calls.fds += j.in.fds.size();
  calls.jobs.push_back(std::move(j));
  make_ready(link->owner->calls, false);  // this thread looks at what is ready next
}

void endpoint::impl::accept_reply(const std::shared_ptr<connection>& link, received& in) {
  const std::lock_guard lock{mutex};
  const std::uint64_t id = in.view.header.id;
  if (const auto found = pendings.find(id); found != pendings.end()) {
    const auto part_of_link = std::find(found->second.links.begin(), found->second.links.end(), link->id);
    if (part_of_link != found->second.links.end()) {
      message reply;
      reply.data.assign(in.view.data.begin(), in.view.data.end());
      reply.fds = std::move(in.fds);
      outcome how = static_cast<outcome>(in.view.header.status);
      if (in.status == receive_status::fds_lost) {
        how = outcome::failed;
        const auto text = bytes_of("this process has too many descriptors open to take those of the answer");
        reply.data.assign(text.begin(), text.end());
      }
      return end_part(id, static_cast<std::size_t>(part_of_link - found->second.links.begin()), how, std::move(reply));
    }
  }
  count(counts->late_replies);
}

void endpoint::impl::answer_fetch(const std::shared_ptr<connection>& link, const received& in) {
  frame_fields answer = fields(frame_kind::fetched);
  const auto bundle = find_bundle(in.view.name);
  if (!bundle) {
    answer.status = 1;
    static_cast<void>(send_frame(link->socket->get(), answer, {}));
    return;
  }
  const auto numbers = numbers_of(bundle->fds);
  static_cast<void>(send_frame(link->socket->get(), answer, {.name = {}, .data = bundle->data, .fds = numbers}));
}

}  // namespace mpnet::ipc
