// SPDX-License-Identifier: BSD-3-Clause
// Kills a busy DPDK secondary and looks whether its primary, which works on the same ring and pool, still gets on.
#include "kill_dpdk.hpp"

#include <fmt/format.h>

#include <atomic>
#include <random>

#include "actors.hpp"
#include "machine.hpp"
#if defined(MPNET_BENCH_DPDK)
#include "peers/dpdk_control.hpp"
#endif

namespace bench {

#if defined(MPNET_BENCH_DPDK)
namespace {

constexpr unsigned object_total = 4095;
constexpr int wedge_ms = 1000;  // a survivor that does nothing for so long hangs

struct dpdk_state {
  std::atomic<std::uint32_t> ready, stop, counted;
  std::atomic<std::uint64_t> victim_rounds, survivor_rounds;
  std::uint32_t lost;
};

void survive(dpdk_state& state, const std::string& prefix, unsigned processor) {
  enter_dpdk(prefix, true, 0, processor);
  make_dpdk_objects(object_total);
  dpdk_worker worker;
  state.ready.store(1, std::memory_order_release);
  while (state.stop.load(std::memory_order_relaxed) == 0) {  // relaxed: nothing comes with it
    worker.round();
    state.survivor_rounds.fetch_add(1, std::memory_order_relaxed);  // relaxed: a sign of life
  }
  state.lost = worker.lost();
  state.counted.store(1, std::memory_order_release);
  leave_dpdk();
}

void perish(dpdk_state& state, const std::string& prefix, unsigned processor) {
  enter_dpdk(prefix, false, 1, processor);
  dpdk_worker worker;
  for (;;) {
    worker.round();
    state.victim_rounds.fetch_add(1, std::memory_order_relaxed);  // relaxed: a sign of life
  }
}

void kill_once(dpdk_state& state, const std::string& prefix, unsigned first, unsigned second, std::mt19937& random,
               dpdk_kills& all) {
  actor primary{[&] { survive(state, prefix, first); }};
  if (!eventually([&] { return state.ready.load(std::memory_order_acquire) != 0 || primary.ended(); }) ||
      primary.ended()) {
    throw std::runtime_error{"kill: DPDK's primary did not start"};
  }
  {
    actor victim{[&] { perish(state, prefix, second); }};
    if (!eventually([&] { return state.victim_rounds.load(std::memory_order_relaxed) > 1000 || victim.ended(); }))
      return;
    const auto moment = cycles() + random() % static_cast<std::uint64_t>(1000 * cycles_per_us());
    while (cycles() < moment) {
    }
    victim.kill_now();
  }
  ++all.kills;
  const auto before = state.survivor_rounds.load(std::memory_order_relaxed);
  if (!eventually([&] { return state.survivor_rounds.load(std::memory_order_relaxed) > before + 2; }, wedge_ms)) {
    ++all.wedges;
    return;
  }
  state.stop.store(1, std::memory_order_relaxed);  // relaxed: nothing comes with it
  if (!eventually([&] { return state.counted.load(std::memory_order_acquire) != 0; }, wedge_ms)) {
    ++all.wedges;
    return;
  }
  all.lost += state.lost;
  static_cast<void>(eventually([&] { return primary.ended(); }, wedge_ms));
}

}  // namespace

dpdk_kills kill_dpdk(const options& o, unsigned kills) {
  const auto processors = o.processors.empty() ? usable_processors() : o.processors;
  dpdk_kills all;
  std::mt19937 random{std::random_device{}()};
  arena memory{sizeof(dpdk_state)};
  for (unsigned i = 0; i < kills; ++i) {
    const auto prefix = fmt::format("bench-{}-{}", getpid(), i);
    auto& state = *::new (memory.data()) dpdk_state{};
    kill_once(state, prefix, processors.front(), processors.back(), random, all);
    clean_dpdk(prefix);
  }
  return all;
}
#else
dpdk_kills kill_dpdk(const options&, unsigned) {
  return {};
}
#endif

}  // namespace bench
