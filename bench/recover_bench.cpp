// SPDX-License-Identifier: BSD-3-Clause
// mpnet-bench recover: how long from the kernel's word that a thread is dead until all that its process held is back,
// where the group has a pool of a million objects.  Once the dead one held a handful of them, once half.
#include <fmt/format.h>
#include <sys/resource.h>
#include <mpnet/detail/lease.hpp>
#include <mpnet/pool.hpp>
#include <mpnet/process.hpp>

#include <atomic>
#include <vector>

#include "actors.hpp"
#include "control_bench.hpp"
#include "machine.hpp"
#include "matrix.hpp"

namespace bench {
namespace {

constexpr unsigned victim_lcore = 1;

struct recover_object {
  std::uint64_t words[8];
};

/// What the processes of a run see.
struct recover_state {
  std::atomic<std::uint32_t> ready;    // survivor: the pool is there
  std::atomic<std::uint32_t> holding;  // the present victim: it has got its objects
  std::atomic<std::uint32_t> rounds;   // survivor: one more once a death has been dealt with
  std::uint64_t taken[256];            // cycles, a round each; survivor: w
  std::uint64_t missing;               // objects that did not come back; survivor: w
};

class survivor {
 public:
  survivor(recover_state& state, const std::string& prefix, unsigned processor, std::size_t objects)
      : state_(state),
        eal_(enter_mpnet(prefix, true, 0, processor)),
        pool_(mpnet::pool<recover_object>::create(*eal_, "million", {.object_count = objects, .cache_size = 0})) {}

  void watch(unsigned rounds) {
    state_.ready.store(1, std::memory_order_release);
    for (unsigned round = 0; round < rounds; ++round) {
      const auto& lease = mpnet::detail::lease_table[victim_lcore];
      while (state_.holding.load(std::memory_order_acquire) == 0) usleep(100);
      std::uint64_t last_alive = cycles();
      while (!mpnet::detail::is_dead(lease) &&
             lease.state.load(std::memory_order_acquire) != mpnet::detail::lease_free) {
        last_alive = cycles();
      }
      while (mpnet::list_processes(*eal_).size() != 1) {
      }
      state_.taken[round] = cycles() - last_alive;
      state_.missing += pool_.object_count() - pool_.stats().available;
      state_.holding.store(0, std::memory_order_relaxed);  // relaxed: published by the next line
      state_.rounds.store(round + 1, std::memory_order_release);
    }
  }

 private:
  recover_state& state_;
  std::unique_ptr<mpnet::eal> eal_;
  mpnet::pool<recover_object> pool_;
};

void victim(recover_state& state, const std::string& prefix, unsigned processor, std::size_t count) {
  const auto eal = enter_mpnet(prefix, false, victim_lcore, processor);
  const auto pool = mpnet::pool<recover_object>::attach(*eal, "million");
  std::vector<recover_object*> held(count);
  if (pool.get_bulk(held) != count) throw std::runtime_error{"recover: the pool is not whole"};
  state.holding.store(1, std::memory_order_release);
  for (;;) pause();
}

std::vector<double> recover(const options& o, std::size_t objects, std::size_t held, unsigned rounds) {
  const auto processors = o.processors.empty() ? usable_processors() : o.processors;
  arena memory{sizeof(recover_state)};
  auto& state = *::new (memory.data()) recover_state{};
  const std::string prefix = fmt::format("bench-{}", getpid());
  actor primary{[&] { survivor{state, prefix, processors.front(), objects}.watch(rounds); }};
  const auto reaches = [&](const std::atomic<std::uint32_t>& word, std::uint32_t value) {
    return eventually([&] { return word.load(std::memory_order_acquire) == value || primary.ended(); }, 60'000) &&
           word.load(std::memory_order_acquire) == value;
  };
  if (!reaches(state.ready, 1)) throw std::runtime_error{"recover: the survivor did not start"};
  for (unsigned round = 0; round < rounds; ++round) {
    actor one{[&] { victim(state, prefix, processors.back(), held); }};
    if (!reaches(state.holding, 1)) throw std::runtime_error{"recover: a victim did not get its objects"};
    usleep(2000);  // so that the survivor looks when it dies
    one.kill_now();
    if (!reaches(state.rounds, round + 1)) throw std::runtime_error{"recover: a death was not dealt with"};
  }
  if (!primary.finish()) throw std::runtime_error{"recover: the survivor ended badly"};
  if (state.missing != 0) throw std::runtime_error{fmt::format("recover: {} objects are missing", state.missing)};
  return {state.taken, state.taken + rounds};
}

}  // namespace

int run_recover(const options& o) {
  const std::size_t objects = o.objects != 0 ? o.objects : o.smoke ? 10'000 : 1'000'000;
  const unsigned rounds = std::min(o.rounds != 0 ? o.rounds : o.smoke ? 3U : 51U, 256U);
  std::vector<row> rows;
  for (const std::size_t held : {std::size_t{32}, objects / 2}) {
    rows.push_back(duration_row(fmt::format("recover, {} objects", objects), fmt::format("the dead one held {}", held),
                                recover(o, objects, held, rounds), "", {}));
  }
  publish_durations(o, rows);
  return 0;
}

}  // namespace bench
