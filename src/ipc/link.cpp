// SPDX-License-Identifier: BSD-3-Clause
// Connections and peers.  One connection serves both directions; when two processes connect to each other at the same
// moment there are two, and each side sends on the one that it has first.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "ipc/endpoint.hpp"

namespace mpnet::ipc {

void endpoint::impl::say_hello(int socket) const {
  // The pidfd works in other PID namespaces too, where our pid means nothing.
  const unique_fd self{static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0))};
  const int fd = self.get();
  outgoing what;
  if (self) what.fds = {&fd, 1};
  // A connection's first datagram: there is room.
  static_cast<void>(send_frame(socket, fields(frame_kind::hello), what));
}

std::shared_ptr<connection> endpoint::impl::add_link(tracked_fd fd) {
  auto link = std::make_shared<connection>();
  link->id = ++last_link;
  link->socket = std::make_shared<tracked_fd>(std::move(fd));
  watch(link->socket->get(), tag(tag_kind::link, link->id), link_events);
  links.emplace(link->id, link);
  return link;
}

void endpoint::impl::add_peer_link(const std::shared_ptr<connection>& link, process_id id, std::uint64_t incarnation) {
  auto& known = peers[id];
  if (known && known->incarnation != incarnation) {
    hang_up(*known);  // another process had this slot
    known.reset();
  }
  if (!known) {
    known = std::make_shared<peer>();
    known->id = id;
    known->incarnation = incarnation;
  }
  seen[static_cast<std::size_t>(id)] = true;
  known->links.push_back(link);
  link->owner = known;
}

endpoint::impl::link_result endpoint::impl::link_to(const member& to) {
  const std::lock_guard lock{mutex};
  if (stopping) throw closing_error{"message"};
  return linked(to);
}

endpoint::impl::link_result endpoint::impl::linked(const member& to) {
  if (const auto found = peers.find(to.id);
      found != peers.end() && found->second->incarnation == to.incarnation && !found->second->links.empty()) {
    return {connect_status::connected, found->second->links.front()};
  }
  auto made = connect_to(options.place, {to.id, to.incarnation});
  if (made.status != connect_status::connected) return {made.status, nullptr};
  say_hello(made.fd.get());
  auto link = add_link(std::move(made.fd));
  add_peer_link(link, to.id, to.incarnation);
  return {connect_status::connected, link};
}

void endpoint::impl::accept_links() {
  std::uint64_t foreign = 0;
  while (auto fd = accept_from(listening.get(), foreign)) {
    const std::lock_guard lock{mutex};
    if (stopping) break;
    add_link(std::move(fd));
  }
  count(counts->foreign, foreign);
}

void endpoint::impl::hang_up(peer& p) {
  for (const auto& link : p.links) ::shutdown(link->socket->get(), SHUT_RDWR);
  for (const auto& [id, socket] : p.open_channels) ::shutdown(socket->get(), SHUT_RDWR);
  if (p.pidfd) {
    unwatch(p.pidfd->get());
    p.pidfd.reset();
  }
}

void endpoint::impl::set_pidfd(peer& p, unique_fd fd) {
  if (p.pidfd || p.id == options.self.id) return;
  p.pidfd = std::make_shared<tracked_fd>(fd.release());
  epoll_event event{};
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.u64 = tag(tag_kind::pid, static_cast<std::uint64_t>(p.id));
  // What cannot be polled is no pidfd; the connection's end tells as well.
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, p.pidfd->get(), &event) != 0) p.pidfd.reset();
}

void endpoint::impl::drop_link(const std::shared_ptr<connection>& link) {
  const std::lock_guard lock{mutex};
  if (links.erase(link->id) == 0) return;
  unwatch(link->socket->get());
  ::shutdown(link->socket->get(), SHUT_RDWR);
  for (const auto& [id, socket] : link->channels) ::shutdown(socket->get(), SHUT_RDWR);
  end_parts_of(link->id, outcome::died);
  const auto owner = std::exchange(link->owner, nullptr);
  if (!owner) return;
  std::erase(owner->links, link);
  std::erase_if(owner->idle_channels, [&](const channel& c) { return c.link == link; });
  if (!owner->links.empty()) return;
  hang_up(*owner);
  owner->idle_channels.clear();
  if (const auto found = peers.find(owner->id); found != peers.end() && found->second == owner) peers.erase(found);
  if (stopping || owner->id == options.self.id) return;
  run_later([this, id = owner->id, incarnation = owner->incarnation] {
    watch_neighbours();
    if (options.on_peer_lost) options.on_peer_lost(id, incarnation);
  });
}

void endpoint::impl::pid_ended(process_id id) {
  const std::lock_guard lock{mutex};
  const auto found = peers.find(id);
  if (found == peers.end() || !found->second->pidfd) return;
  // The event may have been on its way when another process took the slot: only this one's own descriptor tells.
  pollfd own{found->second->pidfd->get(), POLLIN, 0};
  // Its connections read as ended once what it had sent has been read; that does the rest.
  if (::poll(&own, 1, 0) == 1) hang_up(*found->second);
}

}  // namespace mpnet::ipc
