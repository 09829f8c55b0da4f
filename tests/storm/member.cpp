// SPDX-License-Identifier: BSD-3-Clause
// The processes of a storm: members that work until they are killed, and the auditor that counts in the end.
#include <execinfo.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <mpnet/process.hpp>

#include <algorithm>
#include <cstdio>

#include "mem/control.hpp"
#include "storm/hands.hpp"

namespace storm {

using namespace mpnet;

namespace {

/// The first process: makes what stays, and writes down how much memory that is.
void found(board& b, eal& e) {
  for (unsigned left = 0; left < member_count; ++left) static_cast<void>(world{e, left});
  find_port(e, "net_ring0")->bring_up(port_queues_config());
  const memory_stats memory = e.as_group().memory();
  b.used_bytes = memory.used_bytes;
  b.block_count = memory.block_count;
  b.committed_bytes = memory.committed_bytes;
  b.settled.store(1, std::memory_order_release);
}

/// A member that crashes says where; the library's own handler stands aside for one that was there before.
void tell_crash(int number) {
  void* frames[48];
  const int count = ::backtrace(frames, 48);
  ::backtrace_symbols_fd(frames, count, STDERR_FILENO);
  ::signal(number, SIG_DFL);
  ::raise(number);
}

int guarded(board& b, const char* who, const std::function<void()>& body) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  void* frame = nullptr;
  static_cast<void>(::backtrace(&frame, 1));  // loads what it needs while that is safe
  for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE}) ::signal(number, &tell_crash);
  try {
    body();
    return 0;
  } catch (const std::exception& e) {
    report(b, fmt::format("{}: {}", who, e.what()));
    return 1;
  }
}

// ---- The audit -----------------------------------------------------------------------------------------------------

/// Claims of the dead that anybody repaired in a ring, its lanes' included.
std::uint64_t claims_repaired(detail::ring_header& h) {
  const auto of = [](const detail::ring_repairs& r) {
    // relaxed, all: all is quiet
    return r.undone_by_waiters.load(std::memory_order_relaxed) + r.finished_by_waiters.load(std::memory_order_relaxed) +
           r.undone_by_recovery.load(std::memory_order_relaxed) +
           r.finished_by_recovery.load(std::memory_order_relaxed) + r.published_late.load(std::memory_order_relaxed);
  };
  std::uint64_t sum = of(h.repairs);
  for (std::size_t i = 0; (h.flags & detail::ring_laned) != 0 && i < detail::ring_lane_count; ++i) {
    sum += of(detail::ring_lane(h, i).repairs);
  }
  return sum;
}

class audit {
 public:
  audit(board& b, eal& e) : board_(b), eal_(e), world_(e, 0) {}

  void run() {
    static_cast<void>(recover_dead(eal_));
    check_members();
    empty_rings();
    remove_leftovers();
    check_pool("items", world_.items);
    check_pool("packets", world_.packets);
    world_.packets.for_each([&](mbuf& m) {
      if (m.reference_count() != 1) complain("a packet in its pool has {} references", m.reference_count());
    });
    check_memory();
    read_counters();
  }

 private:
  template <class... A>
  void complain(fmt::format_string<A...> text, A&&... a) {
    report(board_, "audit: " + fmt::format(text, std::forward<A>(a)...));
  }

  void check_members() {
    const auto members = list_processes(eal_);
    if (members.size() != 1) complain("{} members are left, not one", members.size());
    std::size_t leases = 0;
    for (const detail::lease& l : eal_.as_group().control().leases) {
      leases += l.state.load(std::memory_order_relaxed) != detail::lease_free ? 1 : 0;  // relaxed: all is quiet
    }
    // Its two lcores, and threads of the library that used a ring or a pool.
    if (leases > 6) complain("{} leases are taken by nobody", leases - 2);
  }

  void empty(const ring<item*>& r) {
    std::array<item*, 64> items;
    for (std::size_t n = 1; n != 0;) {
      n = r.dequeue_burst(items);
      world_.items.put_bulk(std::span{items}.first(n));
    }
    if (!r.approx_empty()) complain("ring '{}' does not give out what is in it", r.name(eal_));
  }

  void empty_rings() {
    empty(world_.many);
    empty(world_.lanes);
    for (unsigned left = 0; left < member_count; ++left) empty(ring<item*>::attach(eal_, neighbour_ring(left)));
    std::array<mbuf*, 64> packets;
    for (std::size_t n = 1; n != 0; free_mbufs(std::span{packets}.first(n))) n = world_.wire.dequeue_burst(packets);
    const auto p = find_port(eal_, "net_ring0");
    if (!p) return complain("the port is gone");
    for (std::uint16_t q = 0; q < port_queues; ++q) {
      const queue_claim mine = p->take_queue(queue_id{q}, queue_side::rx);
      for (std::size_t n = 1; n != 0; free_mbufs(std::span{packets}.first(n))) n = p->rx_burst(queue_id{q}, packets);
    }
  }

  /// What members that were killed in the middle of a chore left by name.
  void remove_leftovers() {
    desk& d = *world_.table;
    static_cast<void>(d.shelf_lock.lock());
    for (void*& place : d.shelf) deallocate_at(eal_, &place);
    d.shelf_lock.unlock();
    const auto free_if_there = [&](const std::string& name) {
      if (const auto zone = find_zone(eal_, zone_kind::raw, name)) free_zone(eal_, *zone);
    };
    for (unsigned k = 0; k < named_zones; ++k) free_if_there(named_zone(k));
    for (unsigned k = 0; k < 4; ++k) free_if_there(common_zone(k));
    for (unsigned at = 0; at < member_count; ++at) {
      const std::string name = temporary_name(at);
      if (const auto old = ring<item*>::lookup(eal_, name)) ring<item*>::destroy(eal_, *old);
      if (pool<item>::lookup(eal_, name)) pool<item>::destroy(eal_, name);
    }
  }

  template <class Pool>
  void check_pool(const char* name, const Pool& pool) {
    const pool_audit a = pool.audit(eal_);
    std::printf(
        "pool %-8s %zu objects: backend %zu, caches %zu, rings %zu, claims %zu, held %zu, lost %zu, twice %zu\n", name,
        a.object_count, a.in_backend, a.in_caches_here, a.in_rings, a.in_claims, a.held_elsewhere, a.lost,
        a.duplicated);
    if (!a.sound() || a.in_backend + a.in_caches_here != a.object_count) complain("pool {} is not whole", name);
    board_.claims_undone_in_pools += pool.header()->claims_undone.load(std::memory_order_relaxed);  // relaxed: quiet
  }

  void check_memory() {
    const memory_stats memory = eal_.as_group().memory();
    std::printf("memory in use: %llu bytes in %llu blocks, %llu in %llu before the storm; %llu taken from the system\n",
                static_cast<unsigned long long>(memory.used_bytes), static_cast<unsigned long long>(memory.block_count),
                static_cast<unsigned long long>(board_.used_bytes), static_cast<unsigned long long>(board_.block_count),
                static_cast<unsigned long long>(memory.committed_bytes));
    if (memory.committed_bytes > board_.committed_bytes + (8U << 20)) {
      complain("memory taken from the system grew from {} to {} bytes", board_.committed_bytes, memory.committed_bytes);
    }
    if (memory.used_bytes == board_.used_bytes && memory.block_count == board_.block_count) return;
    for (const zone_info& z : list_zones(eal_)) {
      std::printf("  zone '%s' of kind %u: %zu bytes\n", z.name.c_str(), static_cast<unsigned>(z.kind), z.size_bytes);
    }
    complain("memory in use grew from {} to {} bytes, from {} to {} blocks", board_.used_bytes, memory.used_bytes,
             board_.block_count, memory.block_count);
  }

  void read_counters() {
    const mem::control& c = eal_.as_group().control();
    // relaxed, both: all is quiet
    board_.control_locks_inherited = c.locks_inherited.load(std::memory_order_relaxed);
    board_.journals_undone = c.journals_undone.load(std::memory_order_relaxed);
    for (const zone_info& z : list_zones(eal_, zone_kind::ring)) {
      board_.claims_repaired_in_rings += claims_repaired(*static_cast<detail::ring_header*>(z.address));
    }
  }

  board& board_;
  eal& eal_;
  world world_;
};

}  // namespace

int run_member(board& b, const std::string& prefix, unsigned at) {
  return guarded(b, "member", [&] {
    // relaxed: signs of life
    for (auto& doing : b.positions[at].doing) doing.store(0, std::memory_order_relaxed);
    eal e{eal_arguments(prefix, at)};
    b.entries.fetch_add(1, std::memory_order_relaxed);
    if (e.as_group().created() && b.settled.load(std::memory_order_acquire) != 0) {
      b.roles_taken_over.fetch_add(1, std::memory_order_relaxed);
    }
    if (b.settled.load(std::memory_order_acquire) == 0) found(b, e);
    world w{e, at};
    register_handlers(w);
    const auto likes = static_cast<temper>(std::random_device{}() % 3);
    e.launch(e.workers()[0], [&] { hands{b, e, w, at, 1, likes}.work_on_data(); });
    hands{b, e, w, at, 0, likes}.work_on_control();
    e.wait_all();
    unregister_handlers();
  });
}

int run_auditor(board& b, const std::string& prefix) {
  return guarded(b, "auditor", [&] {
    eal e{eal_arguments(prefix, member_count)};
    b.entries.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
    const timespec nap{0, 1'000'000};
    while (b.audit.load(std::memory_order_acquire) == 0) nanosleep(&nap, nullptr);
    audit{b, e}.run();
    std::fflush(stdout);
  });
}

}  // namespace storm
