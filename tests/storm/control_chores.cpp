// SPDX-License-Identifier: BSD-3-Clause
// The chores that change what the group is made of: heap, zones, objects that come and go, ports, messages, locks, and
// threads that end without a word.
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "storm/hands.hpp"

namespace storm {

using namespace mpnet;
using namespace std::chrono_literals;

void hands::tolerate(std::initializer_list<errc> kinds, const std::function<void()>& f) {
  try {
    f();
  } catch (const error& e) {
    if (std::find(kinds.begin(), kinds.end(), e.kind()) == kinds.end()) {
      broken(fmt::format("{} in chore '{}'", e.what(),
                         chore_names[board_.positions[at_].doing[thread_].load(std::memory_order_relaxed)]));
    }
  }
}

namespace {

/// A block's contents: its size, then words made from it.
void fill(void* block, std::size_t words) {
  auto* w = static_cast<std::uint64_t*>(block);
  w[0] = words;
  for (std::size_t i = 1; i < words; ++i) w[i] = mixed(words, i);
}

bool is_whole(const void* block) {
  const auto* w = static_cast<const std::uint64_t*>(block);
  for (std::size_t i = 1; i < w[0]; ++i) {
    if (w[i] != mixed(w[0], i)) return false;
  }
  return true;
}

}  // namespace

void hands::do_heap() {
  begin(chore::heap);
  tolerate({errc::no_memory}, [&] {
    if (own_blocks_.size() < 6) {
      const std::size_t words = 2 + any(any(4) == 0 ? 20'000 : 200);
      void* block = allocate(eal_, words * 8, {.life = lifetime::process});
      fill(block, words);
      own_blocks_.emplace_back(block, words);
    } else {
      const std::size_t i = any(static_cast<unsigned>(own_blocks_.size()));
      if (!is_whole(own_blocks_[i].first)) broken("a heap block of one process was written to by another");
      deallocate(eal_, own_blocks_[i].first);
      own_blocks_.erase(own_blocks_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  });
  if (any(4) == 0) {  // makes the region grow, and shrink again
    tolerate({errc::no_memory}, [&] { deallocate(eal_, allocate(eal_, 5 << 20, {.life = lifetime::process})); });
  }
  do_shelf();
}

/// Blocks that the group owns, put on a shelf and taken from it under a mutex.
void hands::do_shelf() {
  desk& d = *world_.table;
  const last_owner before = d.shelf_lock.lock();
  if (before == last_owner::died) {
    board_.mutexes_inherited.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
    d.shelf_after = d.shelf_before;  // mends what the dead one may have left half done
  } else if (d.shelf_before != d.shelf_after) {
    broken("a mutex did not exclude, or did not tell of its owner's death");
  }
  ++d.shelf_before;
  tolerate({errc::no_memory}, [&] {
    void*& place = d.shelf[any(shelf_slots)];
    if (place == nullptr) {
      const std::size_t words = 2 + any(2000);
      void* block = allocate(eal_, words * 8, {.life = lifetime::process});
      fill(block, words);
      publish_block(eal_, block, &place);
    } else {
      if (!is_whole(place)) broken("a heap block of the group lost its contents");
      deallocate_at(eal_, &place);
    }
  });
  ++d.shelf_after;
  d.shelf_lock.unlock();
}

void hands::do_locks() {
  begin(chore::locks);
  desk& d = *world_.table;
  const auto before = d.quick_lock.lock();
  if (!before) return;  // its holder is stopped, or has no processor
  if (*before == last_owner::died) {
    board_.spinlocks_inherited.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
    d.quick_after = d.quick_before;
  } else if (d.quick_before != d.quick_after) {
    broken("a spinlock did not exclude, or did not tell of its owner's death");
  }
  ++d.quick_before;
  for (int i = 0; i < 5000; ++i) cpu_relax();
  ++d.quick_after;
  d.quick_lock.unlock();
}

void hands::do_zone() {
  begin(chore::zone);
  if (any(3) == 0) {  // anybody makes and frees it, nobody looks inside
    const std::string name = common_zone(any(4));
    tolerate({errc::no_memory, errc::not_found, errc::exists}, [&] {
      const zone_info zone =
          find_or_reserve_zone(eal_, {.name = name, .size_bytes = 4096 + any(60'000)}, [&](void* memory) {
            fill(memory, 500);
            nap_or_not();  // what takes a while may be cut off half-way
          });
      free_zone(eal_, zone);
    });
    return;
  }
  const unsigned k = any(named_zones);
  const auto before = world_.table->zone_locks[k].try_lock_for(50ms);
  if (!before) return;
  if (*before == last_owner::died)
    board_.mutexes_inherited.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
  // exists: the dead one that made it is still on its way out
  tolerate({errc::no_memory, errc::exists}, [&] {
    if (const auto zone = find_zone(eal_, zone_kind::raw, named_zone(k)); zone) {
      if (!is_whole(zone->address)) broken("a zone lost its contents");
      free_zone(eal_, *zone);
    } else {
      const std::size_t words = 1000 + any(100'000);
      zone_builder made = reserve_zone(eal_, {.name = named_zone(k), .size_bytes = words * 8});
      fill(made.address(), words);
      if (any(2) == 0) ::usleep(500);  // what takes a while may be cut off half-way
      made.publish();
    }
  });
  world_.table->zone_locks[k].unlock();
}

/// A pool and a ring of this position's own, made, used and destroyed; a dead predecessor's are destroyed first.
void hands::do_temporary() {
  begin(chore::temporary);
  const std::string name = temporary_name(at_);
  tolerate({errc::no_memory}, [&] {
    if (pool<item>::lookup(eal_, name)) pool<item>::destroy(eal_, name);
    if (const auto old = ring<item*>::lookup(eal_, name)) ring<item*>::destroy(eal_, *old);
    const auto objects = pool<item>::create(eal_, name, {.object_count = 64 + any(64), .cache_size = 8});
    const auto r = ring<item*>::create(eal_, name, {.capacity = 1 + any(64)});
    std::array<item*, 16> some;
    const std::size_t got = objects.get_burst(some);
    const std::size_t in = r.enqueue_burst(std::span<item* const>{some.data(), got});
    objects.put_bulk(std::span{some}.subspan(in, got - in));
    const std::size_t out = r.dequeue_burst(some);
    if (out != in) broken("a ring of one user lost an object");
    objects.put_bulk(std::span{some}.first(out));
    ring<item*>::destroy(eal_, r);
    pool<item>::destroy(eal_, name);
  });
}

/// Drives a queue for a while, then another.
void hands::do_port() {
  begin(chore::port);
  tolerate({errc::busy, errc::not_found, errc::no_memory}, [&] {
    if (!driven_ || any(8) == 0) {
      driven_ = {};
      port_ = find_port(eal_, "net_ring0");
      if (!port_) return broken("the port is gone");
      port_->bring_up(port_queues_config());
      driven_ = port_->take_queue(queue_id{static_cast<std::uint16_t>(any(port_queues))},
                                  any(2) == 0 ? queue_side::rx : queue_side::tx);
    }
    std::array<mbuf*, 16> packets;
    for (int round = 0; round < 20; ++round) {
      if (driven_.side() == queue_side::rx) {
        free_mbufs(std::span{packets}.first(port_->rx_burst(driven_.queue(), packets)));
      } else {
        const std::size_t got = world_.packets.alloc_burst(packets);
        const std::size_t sent = port_->tx_burst(driven_.queue(), std::span{packets}.first(got));
        free_mbufs(std::span{packets}.subspan(sent, got - sent));
      }
    }
  });
}

void hands::check_replies(const ipc::replies& got, std::span<const std::byte> sent) {
  std::size_t answered = 0;
  for (const ipc::part& part : got.parts) {
    if (part.how == ipc::outcome::died) board_.parts_died.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
    if (part.how != ipc::outcome::answered) continue;
    ++answered;
    if (!std::equal(sent.begin(), sent.end(), part.reply.data.begin(), part.reply.data.end())) {
      broken("an answer belongs to another question");
    }
  }
  if (answered != got.nb_received || got.nb_received > got.nb_sent || got.nb_sent > got.parts.size()) {
    broken("the counts of a reply contradict each other");
  }
}

void hands::do_message() {
  begin(chore::message);
  std::array<std::uint64_t, 256> words;
  for (std::uint64_t& w : words) w = random_();
  words[0] = any(member_count);
  const auto data = std::as_bytes(std::span{words}.first(1 + any(words.size())));
  const ipc::destination to = any(4) == 0   ? ipc::destination::primary()
                              : any(3) == 0 ? ipc::destination::everyone()
                                            : lcore{static_cast<std::uint16_t>(2 * any(member_count))};
  const int fds[] = {STDIN_FILENO};
  tolerate({errc::no_primary, errc::not_found, errc::peer_died, errc::invalid_argument}, [&] {
    switch (any(4)) {
      case 0:
        static_cast<void>(eal_.messages().send({.name = "note", .data = data, .fds = fds}, to));
        break;
      case 1:
        static_cast<void>(eal_.messages().request({.name = "pass on", .data = data, .fds = {}}, to, 200ms));
        break;
      default:
        check_replies(eal_.messages().request({.name = "echo", .data = data, .fds = {}}, to, 200ms), data);
    }
  });
}

/// A thread that is an lcore, has objects and a turn at a ring behind it, and ends without telling anybody.
void hands::do_thread_death() {
  begin(chore::thread_death);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  std::array<item*, 8> left{};
  std::size_t count = 0;
  std::thread mortal{[&] {
    // NOLINTNEXTLINE: never destroyed, that is the point
    static_cast<void>(
        new lcore_registration{eal_, {.id = lcore{static_cast<std::uint16_t>(100 + at_)}, .processors = {}}});
    count = world_.items.get_burst(left);
    const auto turn = world_.lanes.reserve(4);
    if (!turn.empty()) broken("lanes have no zero-copy calls");
    static_cast<void>(world_.many.peek(1));  // a claim that stands for ever
    ::syscall(SYS_exit, 0);
  }};
  mortal.join();
  world_.items.put_bulk(std::span{left}.first(count));  // the application's to know
#endif
}

void hands::control_chore() {
  switch (any(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
      return do_heap();
    case 5:
    case 6:
    case 7:
    case 8:
      return do_zone();
    case 9:
      return do_temporary();
    case 10:
    case 11:
      return do_port();
    case 12:
      return do_message();
    case 13:
    case 14:
      return do_locks();
    default:
      return any(4) == 0 ? do_thread_death() : data_chore();
  }
}

void hands::work_on_control() {
  while (board_.stop.load(std::memory_order_acquire) == 0) {
    control_chore();
    nap_or_not();
  }
  begin(chore::leaving);
  driven_ = {};
  for (const auto& [block, words] : own_blocks_) deallocate(eal_, block);
  put(kept_);
  kept_.clear();
}

// ---- What others may ask -------------------------------------------------------------------------------------------

void register_handlers(world& w) {
  ipc::register_handler("note", [](ipc::message&, ipc::reply_token&) {});
  ipc::register_handler("echo", [&w](ipc::message& m, ipc::reply_token& reply) {
    item* i = w.items.get();  // pools and heap may be used here
    void* block = nullptr;
    try {
      block = allocate(this_group(), 100, {.life = lifetime::process});
    } catch (const error&) {
      // used up for the moment
    }
    reply.send(m.data);
    deallocate(this_group(), block);
    if (i != nullptr) w.items.put(i);
  });
  ipc::register_handler("pass on", [](ipc::message& m, ipc::reply_token& reply) {
    std::uint64_t whom = 0;
    std::memcpy(&whom, m.data.data(), std::min(m.data.size(), sizeof whom));
    const auto answer =
        ipc::current_endpoint()->request({.name = "echo", .data = m.data, .fds = {}},
                                         lcore{static_cast<std::uint16_t>(2 * (whom % member_count))}, 100ms);
    for (const ipc::part& part : answer.parts) {
      if (part.how == ipc::outcome::answered) reply.send(part.reply.data);
    }
  });
}

void unregister_handlers() {
  for (const char* name : {"note", "echo", "pass on"}) ipc::unregister_handler(name);
}

}  // namespace storm
