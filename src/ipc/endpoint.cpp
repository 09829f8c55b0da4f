// SPDX-License-Identifier: BSD-3-Clause
// The endpoint's public face: start and end, whom a destination means, messages.
#include "ipc/endpoint.hpp"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>

namespace mpnet::ipc {
namespace {

std::atomic<endpoint*> the_endpoint{nullptr};

unsigned number(process_id id) noexcept {
  return static_cast<unsigned>(id);
}

}  // namespace

outcome how_of(connect_status status) noexcept {
  switch (status) {
    case connect_status::connected:
      return outcome::slow;
    case connect_status::absent:
    case connect_status::foreign:
      return outcome::no_handler;
    case connect_status::refused:
      return outcome::died;
    case connect_status::full:
      return outcome::dropped;
  }
  return outcome::no_handler;
}

endpoint::impl::impl(endpoint_options options_in, membership members_in)
    : options(std::move(options_in)), members(std::move(members_in)) {
  // What the slot's former owners left.
  remove_stale_sockets(options.place, options.self.id);
  epoll = tracked_fd{::epoll_create1(EPOLL_CLOEXEC)};
  waker = tracked_fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)};
  timer = tracked_fd{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
  if (!epoll || !waker || !timer) throw system_error_of("start the IPC endpoint");
  watch(waker.get(), tag(tag_kind::waker), EPOLLIN);
  watch(timer.get(), tag(tag_kind::timer), EPOLLIN);
  listening = listen_on(options.place, {options.self.id, options.self.incarnation});
  watch(listening.get(), tag(tag_kind::listening), EPOLLIN);
  try {
    start_threads();
    const std::lock_guard lock{mutex};
    run_later([this] { watch_neighbours(); });
  } catch (...) {
    ::unlink(socket_path(options.place, {options.self.id, options.self.incarnation}).c_str());
    if (!threads.empty()) stop_threads();
    throw;
  }
}

endpoint::impl::~impl() {
  ::unlink(socket_path(options.place, {options.self.id, options.self.incarnation}).c_str());
  {
    const std::lock_guard lock{mutex};
    stopping = true;  // no new connections, calls or requests
    unwatch(listening.get());
    // Refuses who comes now.  A thread may still accept from it, so it is closed only once the threads have ended.
    ::shutdown(listening.get(), SHUT_RDWR);
    for (const auto& [id, p] : peers) hang_up(*p);
    for (const auto& [id, link] : links) ::shutdown(link->socket->get(), SHUT_RDWR);
  }
  cancel_pending();
  stop_threads();
  for (const auto& [id, link] : links) {
    for (const auto& [number_of, socket] : link->channels) ::shutdown(socket->get(), SHUT_RDWR);
    link->owner.reset();
  }
}

void endpoint::impl::check_usable() const {
  if (generation != fork_generation()) {
    throw error{
        errc::invalid_argument,
        "IPC: this process is the child of a plain fork() and no member of the group; fork through the library"};
  }
}

void endpoint::impl::check(const outgoing& what) const {
  check_usable();
  if (!valid_name(what.name)) {
    throw error{errc::invalid_argument, fmt::format("message '{}': a name has 1 to {} bytes and no control characters",
                                                    what.name, max_name_len)};
  }
  check_payload(fmt::format("message '{}'", what.name), what.data, what.fds);
}

bool endpoint::impl::is_primary() const {
  const auto self = members.find(options.self.id);
  return self && self->primary;
}

std::vector<member> endpoint::impl::resolve(const destination& to) {
  using kind = destination::kind;
  const bool to_all = to.which() == kind::everyone || (to.which() == kind::by_role && is_primary());
  if (to_all) {
    std::vector<member> all = members.list();
    std::erase_if(all, [&](const member& m) { return m.id == options.self.id; });
    return all;
  }
  if (to.which() == kind::primary || to.which() == kind::by_role) {
    if (const auto found = members.find_primary()) return {*found};
    throw error{errc::no_primary,
                "message to the primary: the group has none at the moment; start one, or address a process"};
  }
  process_id id{to.id()};
  if (to.which() == kind::lcore) {
    id = members.holder(lcore{to.id()});
    if (id == no_process) {
      throw error{errc::not_found, fmt::format("message to lcore {}: no process holds it", to.id())};
    }
  }
  if (const auto found = members.find(id)) return {*found};
  const std::lock_guard lock{mutex};
  if (number(id) < seen.size() && seen[number(id)]) {
    throw error{errc::peer_died, fmt::format("message to process {}: it is dead, or has left", number(id))};
  }
  throw error{errc::not_found, fmt::format("message to process {}: the group has no such process", number(id))};
}

std::size_t endpoint::impl::send(const outgoing& what, const destination& to) {
  check(what);
  const auto targets = resolve(to);
  const bool one = to.which() != destination::kind::everyone && targets.size() == 1;
  std::size_t reached = 0;
  for (const member& m : targets) {
    const auto [status, link] = link_to(m);
    const send_status sent = link ? send_frame(link->socket->get(), fields(frame_kind::note), what) : send_status::gone;
    if (sent == send_status::sent) {
      count(counts->sent);
      ++reached;
    } else if (sent == send_status::full || status == connect_status::full) {
      count(counts->dropped_full);
    } else if (one && (link || status == connect_status::refused)) {
      throw error{errc::peer_died, fmt::format("message '{}' to process {}: it died", what.name, number(m.id))};
    } else if (one && to.which() != destination::kind::by_role) {
      throw error{errc::not_found,
                  fmt::format("message '{}' to process {}: it has no endpoint", what.name, number(m.id))};
    }
  }
  return reached;
}

void endpoint::impl::watch_neighbours() {
  constexpr std::size_t neighbours = 4;
  auto all = members.list();
  std::sort(all.begin(), all.end(), [](const member& a, const member& b) { return a.id < b.id; });
  const auto next = std::find_if(all.begin(), all.end(), [&](const member& m) { return m.id > options.self.id; });
  std::rotate(all.begin(), next, all.end());
  std::size_t watched = 0;
  for (const member& m : all) {
    if (m.id == options.self.id || (watched >= neighbours && !m.primary)) continue;
    const std::lock_guard lock{mutex};  // for both, or the end may come in between
    if (stopping) return;
    if (linked(m).link) ++watched;
  }
}

endpoint::endpoint(endpoint_options options, membership members)
    : impl_(std::make_unique<impl>(std::move(options), std::move(members))) {
  // [R-endpoint] publishes the object; pairs with [A-endpoint] in current_endpoint()
  the_endpoint.store(this, std::memory_order_release);
}

endpoint::~endpoint() {
  endpoint* self = this;
  // relaxed: taking it away publishes nothing; who still uses it had to be stopped before
  the_endpoint.compare_exchange_strong(self, nullptr, std::memory_order_relaxed);
  // In the child of a fork the threads are not there, and the descriptors closed: nothing to end.
  if (impl_->generation != fork_generation()) static_cast<void>(impl_.release());
}

endpoint* current_endpoint() noexcept {
  // [A-endpoint] pairs with [R-endpoint] in endpoint's constructor
  return the_endpoint.load(std::memory_order_acquire);
}

std::size_t endpoint::send(const outgoing& what, destination to) {
  return impl_->send(what, to);
}

replies endpoint::request(const outgoing& what, destination to, std::chrono::microseconds timeout) {
  return impl_->request(what, to, timeout);
}

message endpoint::call(const outgoing& what, destination to, std::chrono::microseconds timeout) {
  if (to.which() == destination::kind::everyone || (to.which() == destination::kind::by_role && impl_->is_primary())) {
    throw error{errc::invalid_argument, fmt::format("call '{}': it asks one process; use request()", what.name)};
  }
  replies all = impl_->request(what, to, timeout);
  part& answer = all.parts.at(0);
  const std::string text = fmt::format("call '{}' of process {}: ", what.name, number(answer.from));
  switch (answer.how) {
    case outcome::answered:
      return std::move(answer.reply);
    case outcome::failed:
      throw error{errc::system, text + std::string{answer.reply.text()}};
    case outcome::no_reply:
      throw error{errc::not_found, text + "its handler gave no reply"};
    case outcome::no_handler:
      throw error{errc::no_handler, text + "it has no handler of that name"};
    case outcome::died:
      throw error{errc::peer_died, text + "it died, or left the group, before it answered"};
    case outcome::dropped:
      throw error{errc::busy, text + "its queue is full"};
    case outcome::slow:
      break;
  }
  throw error{errc::timed_out, text + fmt::format("no answer within {} us; is it stopped?", timeout.count())};
}

void endpoint::request_async(const outgoing& what, destination to, std::chrono::microseconds timeout,
                             reply_callback callback) {
  impl_->request_async(what, to, timeout, std::move(callback));
}

void endpoint::peer_dead(process_id id, std::uint64_t incarnation) {
  const std::lock_guard lock{impl_->mutex};
  const auto found = impl_->peers.find(id);
  if (found != impl_->peers.end() && found->second->incarnation == incarnation) impl_->hang_up(*found->second);
}

endpoint_stats endpoint::stats() const {
  const counters& c = *impl_->counts;
  const auto get = [](const std::atomic<std::uint64_t>& v) { return v.load(std::memory_order_relaxed); };  // statistics
  const std::lock_guard lock{impl_->mutex};
  return {get(c.sent),      get(c.received), get(c.dropped_full), get(c.dropped_backlog), get(c.dropped_no_handler),
          get(c.malformed), get(c.foreign),  get(c.fds_lost),     get(c.late_replies),    impl_->live};
}

const socket_place& endpoint::place() const noexcept {
  return impl_->options.place;
}

}  // namespace mpnet::ipc
