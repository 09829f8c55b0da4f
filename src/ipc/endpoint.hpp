// SPDX-License-Identifier: BSD-3-Clause
// The inside of an endpoint: peers and their connections, what is under way, and the threads.
//
// One mutex guards all of it; under it nothing waits (every socket call returns at once) and no foreign code runs.
// Threads share one epoll.  One thread at a time reads a connection (reading_turn.hpp); who reads a message runs its
// handler himself, without handing it to another thread, as long as one more thread is left to read.
#pragma once

#include <sched.h>
#include <sys/epoll.h>
#include <mpnet/ipc.hpp>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "ipc/fork_guard.hpp"
#include "ipc/reading_turn.hpp"
#include "ipc/reply.hpp"
#include "ipc/socket.hpp"
#include "ipc/wire.hpp"

namespace mpnet::ipc {

/// How long a thread that just had something to do looks for more before it sleeps.  Waking a sleeper on another
/// processor takes longer than a short request and its answer; whoever wants the processor meanwhile gets it.
inline constexpr std::chrono::microseconds stay_awake{50};

/// Calls poll(false), which must not wait, until it finds something or `until` has come; then poll(true), which may.
template <class Poll>
bool wait_awhile(std::chrono::steady_clock::time_point until, Poll poll) {
  while (std::chrono::steady_clock::now() < until) {
    if (poll(false)) return true;
    ::sched_yield();
  }
  return poll(true);
}

using clock = std::chrono::steady_clock;

/// How often the liveness of those whose answer is awaited is read from their slots: a process that crashes is dead for
/// the group before the kernel has written its core dump and closed its sockets.
inline constexpr auto liveness_period = std::chrono::milliseconds{20};

/// Something for the pool to run: a message for its handler, or a function.
struct job {
  message in;
  std::unique_ptr<reply_route> route;
  std::function<void()> call;
};

/// Jobs that start in order, one at a time.  A peer has one; functions have one each.
struct strand {
  std::deque<job> jobs;
  std::size_t bytes = 0, fds = 0;  // of the messages in `jobs`
  bool running = false;
  bool queued = false;  // in impl::ready
};

/// Bounds of a strand: beyond them messages are dropped and requests answered as dropped.
inline constexpr std::size_t max_backlog_jobs = 1024;
inline constexpr std::size_t max_backlog_bytes = 8 << 20;
inline constexpr std::size_t max_backlog_fds = 1024;

struct peer;

struct connection {
  std::uint64_t id = 0;
  shared_socket socket;
  std::shared_ptr<peer> owner;                      // empty until its hello came
  bool being_read = false;                          // by the thread that has its reading_turn
  std::map<std::uint32_t, shared_socket> channels;  // where the peer waits for replies
};

/// A pair of sockets of which the peer holds the other end: a thread that waits for its answer reads it itself.
struct channel {
  std::uint32_t id = 0;
  shared_socket socket;
  std::shared_ptr<connection> link;  // by which the peer got its end
};

struct peer {
  process_id id = no_process;
  std::uint64_t incarnation = 0;
  std::vector<std::shared_ptr<connection>> links;  // the first one is sent on
  shared_socket pidfd;
  std::vector<channel> idle_channels;
  std::map<std::uint32_t, shared_socket> open_channels;  // idle or waited on
  std::shared_ptr<strand> calls = std::make_shared<strand>();
};
inline constexpr std::uint32_t link_events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT;
inline constexpr std::size_t max_idle_channels = 2;  // a peer
inline constexpr std::size_t max_peer_channels = 1024;

/// An asynchronous request under way.
struct pending {
  message request;
  replies result;
  std::vector<std::uint64_t> links;  // beside result.parts: the connection asked; 0 once the part has ended
  std::vector<std::uint64_t> incarnations;
  std::size_t open = 0;
  clock::time_point deadline;
  endpoint::reply_callback callback;
};

inline constexpr std::size_t base_threads = 2;
inline constexpr std::size_t max_idle_threads = 4;
inline constexpr std::size_t max_threads = 64;

/// Whoever still sends while this process leaves.  Where it ends a callback, nothing is wrong.
struct closing_error : error {
  explicit closing_error(const char* what) : error{errc::not_found, std::string{what} + ": the endpoint is closing"} {}
};

struct endpoint::impl {
  impl(endpoint_options options_in, membership members_in);
  ~impl();

  // endpoint.cpp: whom to address
  [[nodiscard]] std::vector<member> resolve(const destination& to);
  [[nodiscard]] bool is_primary() const;
  void check(const outgoing& what) const;
  void check_usable() const;
  std::size_t send(const outgoing& what, const destination& to);
  void watch_neighbours();

  // link.cpp: connections and peers
  struct link_result {
    connect_status status = connect_status::absent;
    std::shared_ptr<connection> link;
  };
  [[nodiscard]] link_result link_to(const member& to);  // connects where there is none
  [[nodiscard]] link_result linked(const member& to);   // the same; `mutex` is held
  std::shared_ptr<connection> add_link(tracked_fd fd);
  void add_peer_link(const std::shared_ptr<connection>& link, process_id id, std::uint64_t incarnation);
  void drop_link(const std::shared_ptr<connection>& link);
  void hang_up(peer& p);  // the peer is dead: its sockets read as ended once they are drained
  void set_pidfd(peer& p, unique_fd fd);
  void accept_links();
  void say_hello(int socket) const;
  [[nodiscard]] frame_fields fields(frame_kind kind) const noexcept {
    return {.kind = kind,
            .status = 0,
            .id = 0,
            .channel = 0,
            .sender = options.self.id,
            .incarnation = options.self.incarnation};
  }

  // receive.cpp: what comes in
  enum class look : std::uint8_t { nothing, frames, call, ended };  // call: a handler may run
  [[nodiscard]] look read_link(const std::shared_ptr<connection>& link);
  [[nodiscard]] reading_turn turn_of(std::uint64_t link_id);
  void accept_frame(const std::shared_ptr<connection>& link, received& in);
  void accept_hello(const std::shared_ptr<connection>& link, received& in);
  void accept_call(const std::shared_ptr<connection>& link, received& in);
  void accept_reply(const std::shared_ptr<connection>& link, received& in);
  void answer_fetch(const std::shared_ptr<connection>& link, const received& in);
  [[nodiscard]] std::unique_ptr<reply_route> route_of(const connection& link, const frame_view& view);
  void pid_ended(process_id id);

  // request.cpp: synchronous
  [[nodiscard]] replies request(const outgoing& what, const destination& to, std::chrono::microseconds timeout);
  [[nodiscard]] std::optional<channel> take_channel(const std::shared_ptr<connection>& link);
  void give_back(channel c, bool reusable);

  // async.cpp
  void request_async(const outgoing& what, const destination& to, std::chrono::microseconds timeout,
                     endpoint::reply_callback callback);
  void end_part(std::uint64_t id, std::size_t index, outcome how, message reply);  // `mutex` is held
  void end_parts_of(std::uint64_t link_id, outcome how);                           // `mutex` is held
  void timer_fired();
  void arm_timer();  // `mutex` is held
  void cancel_pending();

  // pool.cpp: the threads
  void start_threads();
  void stop_threads();
  bool spawn();             // `mutex` is held
  bool may_stop_reading();  // `mutex` is held
  void run_thread(std::uint64_t key);
  [[nodiscard]] look read_turn(reading_turn& turn);
  [[nodiscard]] bool look_around(reading_turn& turn, bool sleep);  // whether something came
  void run_ready(std::unique_lock<std::mutex>& lock);
  void run_strand(std::unique_lock<std::mutex>& lock, const std::shared_ptr<strand>& s);
  void execute(job& j);
  void make_ready(const std::shared_ptr<strand>& s, bool wake);  // `mutex` is held
  void run_later(std::function<void()> call);                    // `mutex` is held
  void leave_strand();  // the calling handler is about to wait: its sender's next call may start
  void arm(const connection& link, std::uint32_t events) const noexcept;
  void watch(int fd, std::uint64_t tag, std::uint32_t events) const;
  void unwatch(int fd) const noexcept;
  void wake(std::uint64_t threads) const noexcept;

  endpoint_options options;
  membership members;
  const std::uint32_t generation = fork_generation();
  const std::shared_ptr<counters> counts = std::make_shared<counters>();

  mutable std::mutex mutex;
  tracked_fd listening, epoll, waker, timer;
  std::unordered_map<std::uint64_t, std::shared_ptr<connection>> links;
  std::map<process_id, std::shared_ptr<peer>> peers;
  std::array<bool, max_processes> seen{};  // slots that a peer was known in
  std::uint64_t last_link = 0;
  std::uint32_t last_channel = 0;
  std::map<std::uint64_t, pending> pendings;
  std::uint64_t last_request = 0;

  std::deque<std::shared_ptr<strand>> ready;
  std::unordered_map<std::uint64_t, std::thread> threads;
  std::vector<std::uint64_t> ended;  // threads to join
  std::condition_variable all_ended;
  std::uint64_t last_thread = 0;
  std::size_t live = 0;     // threads that have not ended
  std::size_t reading = 0;  // of these, in or on their way to epoll_wait
  bool stopping = false;
};

/// How a part ends whose peer could not be connected to.
[[nodiscard]] outcome how_of(connect_status status) noexcept;

/// What an epoll event is about: in the upper byte of its tag.
enum class tag_kind : std::uint8_t { listening = 1, waker, timer, link, pid };
[[nodiscard]] constexpr std::uint64_t tag(tag_kind kind, std::uint64_t id = 0) noexcept {
  return (static_cast<std::uint64_t>(kind) << 56) | id;
}

}  // namespace mpnet::ipc
