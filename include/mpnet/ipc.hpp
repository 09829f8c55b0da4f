// SPDX-License-Identifier: BSD-3-Clause
// Messages and requests between the processes of a group, in any direction.  Follows DPDK's multi-process channel
// (rte_eal.h, rte_mp_*) and goes where that stops: any process reaches any other, a peer's death ends its part of a
// request at once, requests work inside handlers, and a stopped or slow peer delays nobody else.
//
// Handlers and callbacks run in the library's own threads, named "mpnet-ipc": two from the start, one more whenever a
// handler runs while nobody else reads the sockets, at most 64; they are no lcores.  Rings, pools and the heap may be
// used in them.  Calls from one sender start in the order sent, one at a time; while a handler waits in a request of
// its own, the next one starts.  All functions: control, any thread of this process, handlers included.
#pragma once

#include <mpnet/error.hpp>
#include <mpnet/group.hpp>
#include <mpnet/ipc_fds.hpp>
#include <mpnet/types.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mpnet::ipc {

/// What is sent.  Borrowed: copied (descriptors: duplicated by the kernel) before the call returns.
struct outgoing {
  std::string_view name{};            // the handler's, 1 … max_name_len bytes
  std::span<const std::byte> data{};  // up to max_data_bytes
  std::span<const int> fds{};         // up to max_fds; stay the caller's
};

/// A piece of text, or a trivially copyable object, as the bytes to send.
[[nodiscard]] inline std::span<const std::byte> bytes_of(std::string_view text) noexcept {
  return std::as_bytes(std::span{text.data(), text.size()});
}

/// What arrived.  Owns its data and its descriptors.
struct message {
  std::string name;
  std::vector<std::byte> data;
  std::vector<unique_fd> fds;
  process_id from = no_process;

  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(data.data()), data.size()};
  }
};

// ---- Answering -----------------------------------------------------------------------------------------------------

struct reply_route;  // src/ipc/reply.hpp

/// The duty to answer one request; empty for plain messages.  May be moved out of the handler and answered later, from
/// any thread.  Destroyed unanswered it answers "no reply".  Follows rte_mp_reply.
class reply_token {
 public:
  reply_token() noexcept;
  explicit reply_token(std::unique_ptr<reply_route> route) noexcept;
  reply_token(reply_token&&) noexcept;
  reply_token& operator=(reply_token&&) noexcept;
  ~reply_token();

  /// Whether an answer is still owed.
  [[nodiscard]] explicit operator bool() const noexcept { return route_ != nullptr; }
  /// Answers.  False when the requester is gone, gave up, or its queue is full.  Throws limit, having sent nothing and
  /// still owing, and invalid_argument when nothing is owed.
  bool send(std::span<const std::byte> data, std::span<const int> fds = {});
  /// Answers that it went wrong, with a text for people.
  bool fail(std::string_view text) noexcept;

 private:
  friend class endpoint;
  void answer_no_handler() noexcept;
  std::unique_ptr<reply_route> route_;
};

using handler = std::function<void(message&, reply_token&)>;

/// Names what this process does on messages of that name.  Before start-up ends too: the table is the process's.
/// A handler that throws answers with an error that carries the text; one that returns without answering answers
/// "no reply".  Throws exists, invalid_argument.  Follows rte_mp_action_register.
void register_handler(std::string_view name, handler function);
/// Takes the name away and waits for running calls of it (a call in the calling thread itself excepted).  False where
/// there was none.  Follows rte_mp_action_unregister.
bool unregister_handler(std::string_view name);

// ---- Asking --------------------------------------------------------------------------------------------------------

/// Who gets a message.
class destination {
 public:
  enum class kind : std::uint8_t { by_role, primary, process, lcore, everyone };

  /// From the primary: all secondaries.  From a secondary: the primary.  DPDK's rule.
  constexpr destination() noexcept = default;
  constexpr destination(process_id process) noexcept  // NOLINT: send(…, process)
      : kind_(kind::process), id_(static_cast<std::uint16_t>(process)) {}
  constexpr destination(lcore id) noexcept  // NOLINT: the process that holds this lcore
      : kind_(kind::lcore), id_(static_cast<std::uint16_t>(id)) {}
  [[nodiscard]] static constexpr destination primary() noexcept { return destination{kind::primary}; }
  /// Every other member, whatever the sender's role.
  [[nodiscard]] static constexpr destination everyone() noexcept { return destination{kind::everyone}; }

  [[nodiscard]] constexpr kind which() const noexcept { return kind_; }
  [[nodiscard]] constexpr std::uint16_t id() const noexcept { return id_; }

 private:
  constexpr explicit destination(kind k) noexcept : kind_(k) {}
  kind kind_ = kind::by_role;
  std::uint16_t id_ = 0;
};

/// How one peer's part of a request ended.
enum class outcome : std::uint8_t {
  answered,    // part::reply holds it
  failed,      // its handler threw or called fail(): reply.text() says what
  no_reply,    // its handler returned, or dropped the token, without answering
  no_handler,  // it has no handler of that name, or no endpoint yet
  died,        // it died, or left the group, before it answered
  slow,        // no answer in time
  dropped,     // its queue, or the one towards it, is full: not asked
};

struct part {
  process_id from = no_process;
  outcome how = outcome::slow;
  message reply;
};

/// What became of a request.  A partial reply is a result, not an error.  Follows rte_mp_reply.
struct replies {
  std::size_t nb_sent = 0;      // who was asked
  std::size_t nb_received = 0;  // of these, who answered
  std::vector<part> parts;      // one for each peer addressed, in no particular order

  [[nodiscard]] std::vector<process_id> who(outcome how) const;
};

struct endpoint_stats {
  std::uint64_t sent = 0;                // datagrams handed to the kernel
  std::uint64_t received = 0;            // well-formed ones that arrived
  std::uint64_t dropped_full = 0;        // not sent: the peer's queue in the kernel was full
  std::uint64_t dropped_backlog = 0;     // arrived, but too many from that sender wait for their handlers
  std::uint64_t dropped_no_handler = 0;  // messages (not requests) of a name that nobody registered
  std::uint64_t malformed = 0;           // dropped: truncated, oversized, wrong magic, wrong place
  std::uint64_t foreign = 0;             // connections refused: another user
  std::uint64_t fds_lost = 0;            // dropped: this process is out of descriptors
  std::uint64_t late_replies = 0;        // answers that came after their request had ended
  std::uint64_t threads = 0;             // at the moment
};

// ---- The endpoint --------------------------------------------------------------------------------------------------

struct member {
  process_id id = no_process;
  std::uint64_t incarnation = 0;
  bool primary = false;
};

/// What the endpoint must know of the group.  Called from any thread; what it returns is alive.
struct membership {
  std::function<std::vector<member>()> list;              // all, the caller included
  std::function<std::optional<member>(process_id)> find;  // one
  std::function<std::optional<member>()> find_primary;
  std::function<bool(process_id, std::uint64_t)> alive;  // is that incarnation?  A few loads: called often
  std::function<process_id(lcore)> holder;               // no_process where nobody holds it
};

struct endpoint_options {
  socket_place place;
  member self;
  std::function<void()> on_thread_start;  // first in each thread of the endpoint: its affinity
  /// A peer's death, or its leaving, as soon as the kernel tells.  In one of the endpoint's threads.  Every process is
  /// watched by the primary and up to four more.
  std::function<void(process_id, std::uint64_t)> on_peer_lost;
};

/// This process's socket and threads.  One a process; made by eal (eal.messages()).
class endpoint {
 public:
  /// Listens, then starts the threads.  Throws exists, permission, system.
  endpoint(endpoint_options options, membership members);
  /// The same for a member of a group; also offers the group's memory ("segment:N") to processes that cannot open it.
  explicit endpoint(group& g, std::function<void()> on_thread_start = {},
                    std::function<void(process_id, std::uint64_t)> on_peer_lost = {});
  /// Ends what is under way: requests end as `died`, callbacks run, running handlers are waited for, tokens answered
  /// later are lost.
  ~endpoint();
  endpoint(const endpoint&) = delete;
  endpoint& operator=(const endpoint&) = delete;

  /// Sends without waiting.  Returns how many peers it reached, that is, into whose queue it was put; the rest is
  /// counted.  Throws no_primary, not_found (no such process, or this one is just leaving), peer_died (of the one
  /// addressed), limit, invalid_argument.  Follows rte_mp_sendmsg.
  std::size_t send(const outgoing& what, destination to = {});

  /// Asks and waits until every peer asked has answered, failed, died, or time is up.  Throws as send() does, before
  /// anything is sent; what becomes of a peer is its part.  Follows rte_mp_request_sync.
  [[nodiscard]] replies request(const outgoing& what, destination to, std::chrono::microseconds timeout);

  /// Asks one peer and returns its answer.  Throws, beyond the above, peer_died, no_handler, timed_out, busy (full),
  /// not_found ("no reply"), and system with the peer's text where its handler failed.
  message call(const outgoing& what, destination to, std::chrono::microseconds timeout);

  /// Asks without waiting.  `callback` runs exactly once, with a copy of the request, in the endpoint's threads, even
  /// where nobody was to be asked; never before this returns an exception.  Follows rte_mp_request_async.
  using reply_callback = std::function<void(const message& request, replies& result)>;
  void request_async(const outgoing& what, destination to, std::chrono::microseconds timeout, reply_callback callback);

  /// Tells what somebody else learned: that incarnation is dead.  Ends its parts at once.
  void peer_dead(process_id id, std::uint64_t incarnation);
  [[nodiscard]] endpoint_stats stats() const;
  [[nodiscard]] const socket_place& place() const noexcept;

  struct impl;

 private:
  std::unique_ptr<impl> impl_;
};

/// The process's endpoint, or null.
[[nodiscard]] endpoint* current_endpoint() noexcept;

/// Lets groups that this process enters from now on get what they cannot open (hugepage files where no hugetlbfs is
/// mounted) from a living member.  Called by eal before it enters.
void fetch_memory_from_members();

/// Removes the socket files of dead incarnations: of `slot`, or of all that no longer listen.  For who cleans up.
void remove_stale_sockets(const socket_place& place, process_id slot = no_process) noexcept;

}  // namespace mpnet::ipc
