// SPDX-License-Identifier: BSD-3-Clause
// mpnet-bench kill: a secondary that is busy with a pool and rings is killed at a random moment, again and again, while
// the primary works on the same pool and rings.  Then the same is done to DPDK.
#include <fmt/format.h>
#include <sys/resource.h>
#include <mpnet/detail/lease.hpp>
#include <mpnet/log.hpp>
#include <mpnet/pool.hpp>
#include <mpnet/process.hpp>
#include <mpnet/ring.hpp>

#include <array>
#include <atomic>
#include <random>

#include "actors.hpp"
#include "control_bench.hpp"
#include "kill_dpdk.hpp"
#include "machine.hpp"
#include "matrix.hpp"

namespace bench {
namespace {

constexpr std::size_t object_total = 4096;
constexpr unsigned burst = 8;
constexpr unsigned victim_lcore = 1;

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
  // The survivor's account of the last kill, in cycles, and of all.
  double from_mark, from_kill, to_recovered;
  std::uint64_t lost, duplicated, unsettled, rolled_back, finished, returned, pool_undone;
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
  for (std::uint64_t round = 1;; ++round) {
    place.through_shared();
    place.send();
    state.victim_rounds.store(round, std::memory_order_relaxed);  // relaxed: a sign of life
  }
}

class survivor {
 public:
  survivor(kill_state& state, const std::string& prefix, unsigned processor)
      : state_(state), eal_(enter_mpnet(prefix, true, 0, processor)), place_(*eal_) {}

  void work() {
    state_.ready.store(1, std::memory_order_release);
    std::uint32_t dealt_with = 0;
    while (state_.stop.load(std::memory_order_relaxed) == 0) {  // relaxed: nothing comes with it
      place_.through_shared();
      place_.receive();
      if (state_.kills.load(std::memory_order_acquire) == dealt_with) continue;
      after_kill();
      state_.settled.store(++dealt_with, std::memory_order_release);
    }
  }

 private:
  /// Works on, and takes the time until a whole round went through that began after the kernel's word.  That word fell
  /// between two looks: the earlier look counts, so the figure is an upper bound.
  void after_kill() {
    const auto& lease = mpnet::detail::lease_table[victim_lcore];
    std::uint64_t last_alive = cycles();
    // The event thread may have recovered and freed the lease, mark and all, between two looks.
    while (!mpnet::detail::is_dead(lease) && lease.state.load(std::memory_order_acquire) != mpnet::detail::lease_free) {
      last_alive = cycles();
      place_.through_shared();
      place_.receive();
    }
    while (!place_.through_shared()) place_.receive();
    const auto now = cycles();
    state_.from_mark = static_cast<double>(now - last_alive);
    const auto killed_at = state_.killed_at.load(std::memory_order_relaxed);  // relaxed: came with `kills`
    state_.from_kill = static_cast<double>(now - killed_at);
    wait_for_recovery();
    state_.to_recovered = static_cast<double>(cycles() - last_alive);
    account();
  }

  void wait_for_recovery() {
    auto& g = eal_->as_group();
    static_cast<void>(eventually([&] { return mpnet::list_processes(g).size() == 1; }));
    for (const auto& r : mpnet::list_recoveries(g)) {
      if (r.sequence <= seen_) continue;
      seen_ = r.sequence;
      state_.rolled_back += r.claims_rolled_back;
      state_.finished += r.claims_finished;
      state_.returned += r.objects_returned;
    }
    state_.pool_undone = place_.pool.header()->claims_undone.load(std::memory_order_relaxed);  // relaxed: a statistic
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
};

struct results {
  std::vector<double> from_mark, from_kill, to_recovered;
  unsigned kills = 0, wedges = 0;
};

void kill_one(kill_state& state, const std::string& prefix, unsigned processor, std::mt19937& random) {
  state.victim_rounds.store(0, std::memory_order_relaxed);  // relaxed: the fork orders it
  actor one{[&] { victim(state, prefix, processor); }};
  if (!eventually([&] { return state.victim_rounds.load(std::memory_order_relaxed) > 200 || one.ended(); }) ||
      one.ended()) {
    throw std::runtime_error{"kill: a victim did not get to work"};
  }
  const auto moment = cycles() + random() % static_cast<std::uint64_t>(200 * cycles_per_us());
  while (cycles() < moment) {
  }
  state.killed_at.store(cycles(), std::memory_order_relaxed);  // relaxed: published by `kills`
  kill(one.pid(), SIGKILL);
  state.kills.fetch_add(1, std::memory_order_release);
}

results kill_mpnet(kill_state& state, const options& o, unsigned kills) {
  const auto processors = o.processors.empty() ? usable_processors() : o.processors;
  const std::string prefix = fmt::format("bench-{}", getpid());
  results all;
  std::mt19937 random{std::random_device{}()};
  actor primary{[&] {
    setpriority(PRIO_PROCESS, 0, -5);  // may be refused: then the figures hold more of the scheduler
    survivor{state, prefix, processors.front()}.work();
  }};
  if (!eventually([&] { return state.ready.load(std::memory_order_acquire) != 0 || primary.ended(); }) ||
      primary.ended()) {
    throw std::runtime_error{"kill: the survivor did not start"};
  }
  while (all.kills < kills) {
    kill_one(state, prefix, processors.back(), random);
    ++all.kills;
    if (!eventually([&] { return state.settled.load(std::memory_order_acquire) == all.kills || primary.ended(); },
                    30'000) ||
        primary.ended()) {
      ++all.wedges;
      return all;  // a wedged survivor proves the point; there is nothing left to measure
    }
    all.from_mark.push_back(state.from_mark);
    all.from_kill.push_back(state.from_kill);
    all.to_recovered.push_back(state.to_recovered);
  }
  state.stop.store(1, std::memory_order_relaxed);  // relaxed: nothing comes with it
  if (!primary.finish()) throw std::runtime_error{"kill: the survivor ended badly"};
  return all;
}

void print_times(const char* what, const std::vector<double>& cycles_taken) {
  const double us = cycles_per_us();
  fmt::print("| {} | {:.1f} | {:.1f} | {:.1f} |\n", what, median(cycles_taken) / us, quantile(cycles_taken, 0.99) / us,
             quantile(cycles_taken, 1) / us);
}

void print_tables(const kill_state& state, const results& mpnet, const dpdk_kills& dpdk) {
  fmt::print("{}\n\n| | kills | wedges | objects lost |\n|---|---|---|---|\n", describe_machine());
  fmt::print("| mpnet | {} | {} | {} (duplicated: {}, unsettled: {}) |\n", mpnet.kills, mpnet.wedges, state.lost,
             state.duplicated, state.unsettled);
  if (dpdk.kills != 0) fmt::print("| DPDK MP/MC and mempool | {} | {} | {} |\n", dpdk.kills, dpdk.wedges, dpdk.lost);
  fmt::print("\n| repairs by kind | count |\n|---|---|\n");
  fmt::print("| claims undone, pool, by anyone | {} |\n| claims undone, by the conductor | {} |\n", state.pool_undone,
             state.rolled_back);
  fmt::print("| claims finished, by the conductor | {} |\n| objects returned | {} |\n", state.finished, state.returned);
  fmt::print("\n| microseconds until | median | 99 % | longest |\n|---|---|---|---|\n");
  print_times("the survivor proceeds, from the kernel's death mark", mpnet.from_mark);
  print_times("the survivor proceeds, from the kill", mpnet.from_kill);
  print_times("all is recovered, from the kernel's death mark", mpnet.to_recovered);
}

}  // namespace

int run_kill(const options& o) {
  const unsigned kills = o.kills != 0 ? o.kills : o.smoke ? 20 : 1000;
  arena memory{sizeof(kill_state)};
  auto& state = *::new (memory.data()) kill_state{};
  const auto mpnet = kill_mpnet(state, o, kills);
  dpdk_kills dpdk;
  if (selected(o.peers, "DPDK") && dpdk_can_share()) dpdk = kill_dpdk(o, o.smoke ? 1 : 20);
  const std::vector<row> rows{duration_row("kill", "survivor proceeds after the death mark", mpnet.from_mark, "", {}),
                              duration_row("kill", "survivor proceeds after the kill", mpnet.from_kill, "", {}),
                              duration_row("kill", "recovered after the death mark", mpnet.to_recovered, "", {})};
  save(o, rows);
  if (o.output == format::json) {
    for (const auto& r : rows) fmt::print("{}\n", json_of(r));
  } else {
    print_tables(state, mpnet, dpdk);
  }
  // A kind that never occurred was not tested; a smoke run is too short to tell.
  const bool every_kind = o.smoke || (state.pool_undone != 0 && state.rolled_back != 0 && state.returned != 0);
  if (!every_kind) std::fprintf(stderr, "mpnet-bench: a kind of repair never occurred: more --kills\n");
  const bool sound = mpnet.wedges == 0 && state.lost == 0 && state.duplicated == 0 && state.unsettled == 0;
  if (!sound) std::fprintf(stderr, "mpnet-bench: wedges, or objects lost, duplicated or unsettled\n");
  return sound && every_kind ? 0 : 1;
}

}  // namespace bench
