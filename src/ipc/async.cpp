// SPDX-License-Identifier: BSD-3-Clause
// Asynchronous requests: their answers come by the connections and end the parts of what is pending.  The end of the
// last part makes the callback ready, whichever way it came.
#include <sys/timerfd.h>

#include <algorithm>

#include "ipc/endpoint.hpp"
#include "ipc/fd_store.hpp"

namespace mpnet::ipc {

void endpoint::impl::request_async(const outgoing& what, const destination& to, std::chrono::microseconds timeout,
                                   endpoint::reply_callback callback) {
  check(what);
  if (!callback) throw error{errc::invalid_argument, "asynchronous request: it has no callback"};
  pending p;
  p.deadline = clock::now() + timeout;
  p.callback = std::move(callback);
  p.request.name = what.name;
  p.request.data.assign(what.data.begin(), what.data.end());
  p.request.fds = duplicate_all(what.fds);
  p.request.from = options.self.id;

  std::vector<std::pair<std::size_t, std::shared_ptr<connection>>> asked;
  for (const member& m : resolve(to)) {
    const auto [status, link] = link_to(m);
    part& one = p.result.parts.emplace_back();
    one.from = m.id;
    one.reply.name = what.name;
    one.reply.from = m.id;
    one.how = how_of(status);
    p.links.push_back(link ? link->id : 0);
    p.incarnations.push_back(m.incarnation);
    if (link) asked.emplace_back(p.result.parts.size() - 1, link);
  }
  p.open = asked.size() + 1;  // one more, so that it cannot end before all are asked
  std::uint64_t id = 0;
  {
    const std::lock_guard lock{mutex};
    if (stopping) throw closing_error{"asynchronous request"};
    id = ++last_request;
    pendings.emplace(id, std::move(p));
    arm_timer();
  }
  frame_fields ask = fields(frame_kind::request);
  ask.id = id;
  std::size_t sent_to = 0;
  std::vector<std::pair<std::size_t, outcome>> failed;
  for (const auto& [index, link] : asked) {
    const send_status sent = send_frame(link->socket->get(), ask, what);
    if (sent == send_status::sent) {
      count(counts->sent);
      ++sent_to;
    } else {
      if (sent == send_status::full) count(counts->dropped_full);
      failed.emplace_back(index, sent == send_status::gone ? outcome::died : outcome::dropped);
    }
  }
  const std::lock_guard lock{mutex};
  const auto found = pendings.find(id);
  if (found == pendings.end()) return;
  found->second.result.nb_sent = sent_to;
  for (const auto& [index, how] : failed) {
    if (found->second.links[index] != 0) end_part(id, index, how, {});
  }
  // Connections that were dropped before it was pending: nobody else will say so.
  for (const auto& [index, link] : asked) {
    if (found->second.links[index] != 0 && !links.contains(link->id)) end_part(id, index, outcome::died, {});
  }
  end_part(id, found->second.links.size(), outcome::answered, {});
}

void endpoint::impl::end_part(std::uint64_t id, std::size_t index, outcome how, message reply) {
  const auto found = pendings.find(id);
  pending& p = found->second;
  if (index < p.links.size()) {
    part& one = p.result.parts[index];
    p.links[index] = 0;
    one.how = how;
    reply.name = p.request.name;
    reply.from = one.from;
    one.reply = std::move(reply);
    if (how == outcome::answered) ++p.result.nb_received;
  }
  if (--p.open != 0) return;
  auto done = std::make_shared<pending>(std::move(p));
  pendings.erase(found);
  run_later([done] { done->callback(done->request, done->result); });
}

void endpoint::impl::end_parts_of(std::uint64_t link_id, outcome how) {
  std::vector<std::pair<std::uint64_t, std::size_t>> parts;
  for (const auto& [id, p] : pendings) {
    for (std::size_t i = 0; i < p.links.size(); ++i) {
      if (p.links[i] == link_id) parts.emplace_back(id, i);
    }
  }
  for (const auto& [id, i] : parts) end_part(id, i, how, {});
}

void endpoint::impl::arm_timer() {
  itimerspec when{};
  if (!pendings.empty()) {
    auto next = clock::now() + liveness_period;
    for (const auto& [id, p] : pendings) next = std::min(next, p.deadline);
    const auto left = std::max<clock::duration>(next - clock::now(), std::chrono::microseconds{1});
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
    when.it_value = {ns / 1'000'000'000, ns % 1'000'000'000};
  }
  ::timerfd_settime(timer.get(), 0, &when, nullptr);
}

void endpoint::impl::timer_fired() {
  std::uint64_t ticks = 0;
  [[maybe_unused]] const auto n = ::read(timer.get(), &ticks, sizeof ticks);
  struct open_part {
    std::uint64_t id;
    std::size_t index;
    process_id who;
    std::uint64_t incarnation;
    bool late;
  };
  std::vector<open_part> open;
  const auto now = clock::now();
  {
    const std::lock_guard lock{mutex};
    for (const auto& [id, p] : pendings) {
      for (std::size_t i = 0; i < p.links.size(); ++i) {
        if (p.links[i] != 0) open.push_back({id, i, p.result.parts[i].from, p.incarnations[i], p.deadline <= now});
      }
    }
  }
  for (const open_part& o : open) {
    const bool dead = !members.alive(o.who, o.incarnation);  // not under the mutex: it is the group's code
    if (dead) {
      // What it sent before it died counts: its connection is read to its end, which ends its part.
      const std::lock_guard lock{mutex};
      const auto found = peers.find(o.who);
      if (found != peers.end() && found->second->incarnation == o.incarnation) hang_up(*found->second);
    }
    if (!o.late) continue;
    const std::lock_guard lock{mutex};
    const auto found = pendings.find(o.id);
    if (found == pendings.end() || found->second.links[o.index] == 0) continue;
    end_part(o.id, o.index, dead ? outcome::died : outcome::slow, {});
  }
  const std::lock_guard lock{mutex};
  arm_timer();
}

void endpoint::impl::cancel_pending() {
  const std::lock_guard lock{mutex};
  std::vector<std::pair<std::uint64_t, std::size_t>> parts;
  for (const auto& [id, p] : pendings) {
    for (std::size_t i = 0; i < p.links.size(); ++i) {
      if (p.links[i] != 0) parts.emplace_back(id, i);
    }
  }
  for (const auto& [id, i] : parts) end_part(id, i, outcome::died, {});
}

}  // namespace mpnet::ipc
