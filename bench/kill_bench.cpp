// SPDX-License-Identifier: BSD-3-Clause
// mpnet-bench kill: a secondary that is busy with a pool and rings is killed, again and again, while the primary works
// on the same pool and rings.  Then the same is done to DPDK.
//
// Half of the kills come at a random moment.  The others are aimed: at a random instruction of one of the phases of a
// ring's operation, each phase as often as the others, because some are too short to be met by chance.  While the
// victim is led there the survivor leaves the ring alone: a victim of which each instruction takes microseconds never
// wins a turn from somebody who does not rest.  In half of these the survivor goes on before the kill, and waits for
// the claim of a stopped process when that dies; in the others it rests until recovery is over, so that the conductor
// finds what there is to repair.
#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <mpnet/detail/lease.hpp>
#include <mpnet/log.hpp>
#include <mpnet/pool.hpp>
#include <mpnet/process.hpp>
#include <mpnet/ring.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <random>

#include "actors.hpp"
#include "control_bench.hpp"
#include "kill_aim.hpp"
#include "kill_dpdk.hpp"
#include "kill_report.hpp"
#include "machine.hpp"
#include "matrix.hpp"

namespace bench {
namespace {

constexpr std::size_t object_total = 4096;
constexpr unsigned burst = 8;
constexpr unsigned victim_lcore = 1;
// The rarest kind, a claim in the pool's backend, is met by one kill in thirty, by chance.
constexpr unsigned extra_kills = 400;

struct kill_object {
  std::uint64_t words[8];
};
using object_ring = mpnet::ring<kill_object*>;

/// What all of a run's processes see.
struct kill_state {
  std::atomic<std::uint32_t> ready;          // the survivor works
  std::atomic<std::uint64_t> victim_rounds;  // of the present victim
  std::atomic<std::uint32_t> kills;          // main: one more before each kill
  std::atomic<std::uint64_t> killed_at;      // cycles
  std::atomic<std::uint32_t> settled;        // survivor: one more once it has dealt with a kill
  std::atomic<std::uint32_t> stop;
  std::atomic<std::uint32_t> rest;     // main: the survivor leaves the shared ring alone …
  std::atomic<std::uint32_t> resting;  // … and says so
  kill_targets targets;                // the victim's, before its first round
  // The survivor's account of the last kill, in cycles, and of all.
  double from_mark, running_from_mark, from_kill, to_recovered;
  std::uint64_t tries;  // rounds until one went through
  std::uint64_t lost, duplicated, unsettled;
  // Repairs by kind.
  std::uint64_t undone_by_waiters, finished_by_waiters, undone_by_recovery, finished_by_recovery, published_late;
  std::uint64_t returned, pool_undone;
};

/// One process's view of pool and rings.
struct work_place {
  mpnet::pool<kill_object> pool;
  object_ring shared;  // many on both sides; both processes do both
  object_ring oneway;  // single on both sides; from the victim to the survivor

  explicit work_place(mpnet::group& g)
      : pool(
            mpnet::pool<kill_object>::create_or_attach(g, "objects", {.object_count = object_total, .cache_size = 16})),
        shared(object_ring::create_or_attach(g, "shared", {.capacity = 1023})),
        oneway(object_ring::create_or_attach(
            g, "oneway",
            {.capacity = 255, .producers = mpnet::ring_sync::single, .consumers = mpnet::ring_sync::single})) {}

  /// Gets, enqueues, dequeues, puts.  Whether all of it went through.
  bool through_shared() noexcept {
    std::array<kill_object*, burst> objects;
    const auto got = pool.get_burst(objects);
    const auto in = shared.enqueue_burst({objects.data(), got});
    if (in != got) pool.put_bulk({objects.data() + in, got - in});
    const auto out = shared.dequeue_burst(objects);
    pool.put_bulk({objects.data(), out});
    return in != 0 && out != 0;
  }
  void send() noexcept {
    std::array<kill_object*, burst> objects;
    const auto got = pool.get_burst(objects);
    const auto in = oneway.enqueue_burst({objects.data(), got});
    pool.put_bulk({objects.data() + in, got - in});
  }
  void receive() noexcept {
    std::array<kill_object*, burst> objects;
    const auto out = oneway.dequeue_burst(objects);
    pool.put_bulk({objects.data(), out});
  }
};

void victim(kill_state& state, const std::string& prefix, unsigned processor) {
  const auto eal = enter_mpnet(prefix, false, victim_lcore, processor);
  work_place place{*eal};
  place.send();  // takes a lease's key, if it has none yet
  state.targets = {place.shared.header(), place.oneway.header(), mpnet::detail::claim_key(*mpnet::detail::this_lease)};
  for (std::uint64_t round = 1;; ++round) {
    place.through_shared();
    place.send();
    state.victim_rounds.store(round, std::memory_order_release);  // the targets come with it
  }
}

/// What the calling thread has spent on a processor, in cycles: without what the scheduler, or the kernel's work for
/// others, kept it waiting.
double own_cycles() noexcept {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3) * cycles_per_us();
}

/// Keeps the calling process, and those that it forks, to one processor for a while.
class stay_on {
 public:
  explicit stay_on(unsigned processor) noexcept {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    sched_getaffinity(0, sizeof before_, &before_);
    sched_setaffinity(0, sizeof set, &set);  // may fail: then the figures hold more of the scheduler
  }
  ~stay_on() { sched_setaffinity(0, sizeof before_, &before_); }
  stay_on(const stay_on&) = delete;
  stay_on& operator=(const stay_on&) = delete;

 private:
  cpu_set_t before_{};
};

class survivor {
 public:
  survivor(kill_state& state, const std::string& prefix, unsigned processor)
      : state_(state), eal_(enter_mpnet(prefix, true, 0, processor)), place_(*eal_) {}

  void work() {
    state_.ready.store(1, std::memory_order_release);
    std::uint32_t dealt_with = 0;
    while (state_.stop.load(std::memory_order_relaxed) == 0) {  // relaxed: nothing comes with it
      const bool rests = state_.rest.load(std::memory_order_acquire) != 0;
      if (!rests) place_.through_shared();
      place_.receive();
      state_.resting.store(rests ? 1 : 0, std::memory_order_release);
      if (state_.kills.load(std::memory_order_acquire) == dealt_with) continue;
      if (!rests) after_kill();
      wait_for_recovery();
      if (!rests) state_.to_recovered = static_cast<double>(cycles() - last_alive_);
      account();
      state_.settled.store(++dealt_with, std::memory_order_release);
    }
  }

 private:
  /// Works on, and takes the time until a whole round went through that began after the kernel's word.  That word fell
  /// between two looks: the earlier look counts, so the figure is an upper bound.
  void after_kill() {
    const auto& lease = mpnet::detail::lease_table[victim_lcore];
    last_alive_ = cycles();
    double own = own_cycles();
    // The event thread may have recovered and freed the lease, mark and all, between two looks.
    while (!mpnet::detail::is_dead(lease) && lease.state.load(std::memory_order_acquire) != mpnet::detail::lease_free) {
      last_alive_ = cycles();
      own = own_cycles();
      place_.through_shared();
      place_.receive();
    }
    state_.tries = 1;
    while (!place_.through_shared()) ++state_.tries, place_.receive();
    const auto now = cycles();
    state_.from_mark = static_cast<double>(now - last_alive_);
    state_.running_from_mark = own_cycles() - own;
    const auto killed_at = state_.killed_at.load(std::memory_order_relaxed);  // relaxed: came with `kills`
    state_.from_kill = static_cast<double>(now - killed_at);
  }

  void wait_for_recovery() {
    auto& g = eal_->as_group();
    static_cast<void>(eventually([&] { return mpnet::list_processes(g).size() == 1; }));
    for (const auto& r : mpnet::list_recoveries(g)) {
      if (r.sequence <= seen_) continue;
      seen_ = r.sequence;
      state_.returned += r.objects_returned;
    }
    // relaxed: statistics
    state_.pool_undone = place_.pool.header()->claims_undone.load(std::memory_order_relaxed);
    const auto& many = place_.shared.header()->repairs;
    state_.undone_by_waiters = many.undone_by_waiters.load(std::memory_order_relaxed);
    state_.finished_by_waiters = many.finished_by_waiters.load(std::memory_order_relaxed);
    state_.undone_by_recovery = many.undone_by_recovery.load(std::memory_order_relaxed);
    state_.finished_by_recovery = many.finished_by_recovery.load(std::memory_order_relaxed);
    state_.published_late = place_.oneway.header()->repairs.published_late.load(std::memory_order_relaxed);
  }

  void account() {
    for (unsigned i = 0; i < 64; ++i) place_.receive();  // what the victim had sent
    const auto audit = place_.pool.audit(*eal_);
    state_.lost += audit.lost;
    state_.duplicated += audit.duplicated;
    state_.unsettled += audit.held_elsewhere + audit.in_claims;
  }

  kill_state& state_;
  std::unique_ptr<mpnet::eal> eal_;
  work_place place_;
  std::uint64_t seen_ = 0;
  std::uint64_t last_alive_ = 0;
};

/// Where the next kill falls.
struct shot {
  bool aimed, rests;
  explicit shot(unsigned index) : aimed(index % 2 == 1), rests(index % 4 == 3) {}
};

/// Has the survivor leave the shared ring alone, or work on it again, and waits until it does.
void let_rest(kill_state& state, bool rests) {
  const std::uint32_t wanted = rests ? 1 : 0;
  state.rest.store(wanted, std::memory_order_release);
  if (!eventually([&] { return state.resting.load(std::memory_order_acquire) == wanted; }))
    throw std::runtime_error{"kill: the survivor hangs before a kill"};
}

void kill_one(kill_state& state, const std::string& prefix, unsigned processor, std::mt19937& random,
              kill_results& all) {
  const shot next{all.kills};
  state.victim_rounds.store(0, std::memory_order_relaxed);  // relaxed: the fork orders it
  actor one{[&] { victim(state, prefix, processor); }};
  if (!eventually([&] { return state.victim_rounds.load(std::memory_order_acquire) > 200 || one.ended(); }) ||
      one.ended()) {
    throw std::runtime_error{"kill: a victim did not get to work"};
  }
  let_rest(state, next.aimed);
  if (next.aimed) {
    ++all.aimed;
    const auto phase = static_cast<kill_phase>(random() % kill_phases);
    if (lead_to(one.pid(), state.targets, phase, random)) ++all.reached;
    let_rest(state, next.rests);
  } else {
    const auto moment = cycles() + random() % static_cast<std::uint64_t>(200 * cycles_per_us());
    while (cycles() < moment) {
    }
  }
  state.killed_at.store(cycles(), std::memory_order_relaxed);  // relaxed: published by `kills`
  kill(one.pid(), SIGKILL);
  state.kills.fetch_add(1, std::memory_order_release);
}

std::vector<repair_kind> repairs_of(const kill_state& state) {
  return {{"ring_undone_by_survivor", "ring's claim undone, by a survivor on the spot", state.undone_by_waiters},
          {"ring_finished_by_survivor", "ring's claim finished, by a survivor on the spot", state.finished_by_waiters},
          {"ring_undone_by_conductor", "ring's claim undone, by the conductor", state.undone_by_recovery},
          {"ring_finished_by_conductor", "ring's claim finished, by the conductor", state.finished_by_recovery},
          {"single_published_late", "single side published late, by the conductor", state.published_late},
          {"pool_undone", "pool's claim undone, by anyone", state.pool_undone},
          {"objects_returned", "object returned to its pool", state.returned}};
}

/// A kind that never occurred was not tested.
bool every_kind_occurred(const kill_results& all) {
  return std::ranges::all_of(all.repairs, [](const repair_kind& kind) { return kind.count != 0; });
}

/// What the survivor has found so far; the times of the last kill where it has `timed` them.
void take_account(const kill_state& state, bool timed, kill_results& all) {
  all.lost = state.lost;
  all.duplicated = state.duplicated;
  all.unsettled = state.unsettled;
  all.repairs = repairs_of(state);
  if (!timed) return;
  all.tries = std::max(all.tries, state.tries);
  all.from_mark.push_back(state.from_mark);
  all.running_from_mark.push_back(state.running_from_mark);
  all.from_kill.push_back(state.from_kill);
  all.to_recovered.push_back(state.to_recovered);
}

/// `kills` of them, and more until each kind of repair has occurred; a smoke run is not for that.
kill_results kill_mpnet(kill_state& state, const options& o, unsigned kills) {
  const auto processors = o.processors.empty() ? usable_processors() : o.processors;
  const std::string prefix = fmt::format("bench-{}", getpid());
  kill_results all;
  std::mt19937 random{std::random_device{}()};
  actor primary{[&] {
    setpriority(PRIO_PROCESS, 0, -5);  // may be refused: then the figures hold more of the scheduler
    survivor{state, prefix, processors.front()}.work();
  }};
  if (!eventually([&] { return state.ready.load(std::memory_order_acquire) != 0 || primary.ended(); }) ||
      primary.ended()) {
    throw std::runtime_error{"kill: the survivor did not start"};
  }
  // From here on, so that the survivor has its processor for itself: a victim's own service threads keep off the
  // victim's lcores, and would end on the survivor's processor, with all that the kernel takes apart for the last one.
  const stay_on away_from_survivor{processors.back()};
  const unsigned most = o.smoke ? kills : kills + extra_kills;
  while (all.kills < kills || (all.kills < most && !every_kind_occurred(all))) {
    const bool rests = shot{all.kills}.rests;
    kill_one(state, prefix, processors.back(), random, all);
    ++all.kills;
    if (!eventually([&] { return state.settled.load(std::memory_order_acquire) == all.kills || primary.ended(); },
                    30'000) ||
        primary.ended()) {
      ++all.wedges;
      return all;  // a wedged survivor proves the point; there is nothing left to measure
    }
    take_account(state, !rests, all);
  }
  state.stop.store(1, std::memory_order_relaxed);  // relaxed: nothing comes with it
  if (!primary.finish()) throw std::runtime_error{"kill: the survivor ended badly"};
  return all;
}

}  // namespace

int run_kill(const options& o) {
  const unsigned kills = o.kills != 0 ? o.kills : o.smoke ? 20 : 1000;
  arena memory{sizeof(kill_state)};
  auto& state = *::new (memory.data()) kill_state{};
  const auto mpnet = kill_mpnet(state, o, kills);
  dpdk_kills dpdk;
  if (selected(o.peers, "DPDK") && dpdk_can_share()) dpdk = kill_dpdk(o, o.smoke ? 1 : 20);
  report_kills(o, mpnet, dpdk);
  for (const auto& kind : mpnet.repairs) {
    if (o.smoke || kind.count != 0) continue;
    std::fprintf(stderr, "mpnet-bench: a kind of repair never occurred (%s): more --kills\n", kind.what);
  }
  if (!mpnet.sound()) std::fprintf(stderr, "mpnet-bench: wedges, or objects lost, duplicated or unsettled\n");
  return mpnet.sound() && (o.smoke || every_kind_occurred(mpnet)) ? 0 : 1;
}

}  // namespace bench
