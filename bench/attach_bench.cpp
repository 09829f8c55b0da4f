// SPDX-License-Identifier: BSD-3-Clause
// mpnet-bench attach: a process enters a living group through EAL and leaves it again, in turn with a DPDK secondary.
#include <fmt/format.h>

#include <atomic>

#include "actors.hpp"
#include "control_bench.hpp"
#include "machine.hpp"
#include "matrix.hpp"
#if defined(MPNET_BENCH_DPDK)
#include "peers/dpdk_control.hpp"
#endif

namespace bench {
namespace {

struct attach_state {
  std::atomic<std::uint32_t> ready;
  std::atomic<std::uint32_t> stop;
  std::uint64_t attached, detached;  // cycles
};

struct library {
  std::function<void(attach_state&)> keep;   // a primary that lives until told to stop
  std::function<void(attach_state&)> visit;  // a secondary that enters and leaves
};

void hold(attach_state& state) {
  state.ready.store(1, std::memory_order_release);
  if (!eventually([&] { return state.stop.load(std::memory_order_acquire) != 0; }, 600'000)) _exit(1);
}

library mpnet_library(const std::string& prefix, unsigned processor) {
  return {[=](attach_state& state) {
            const auto eal = enter_mpnet(prefix, true, 0, processor);
            hold(state);
          },
          [=](attach_state& state) {
            const auto begin = cycles();
            auto eal = enter_mpnet(prefix, false, 1, processor);
            const auto inside = cycles();
            eal.reset();
            state.detached = cycles() - inside;
            state.attached = inside - begin;
          }};
}

#if defined(MPNET_BENCH_DPDK)
library dpdk_library(const std::string& prefix, unsigned processor) {
  return {[=](attach_state& state) {
            enter_dpdk(prefix, true, 0, processor);
            hold(state);
            leave_dpdk();
          },
          [=](attach_state& state) {
            const auto begin = cycles();
            enter_dpdk(prefix, false, 1, processor);
            const auto inside = cycles();
            leave_dpdk();
            state.detached = cycles() - inside;
            state.attached = inside - begin;
          }};
}
#endif

struct durations {
  std::vector<double> attach, detach;
};

void visit_once(const library& lib, attach_state& state, durations& into) {
  actor visitor{[&] { lib.visit(state); }};
  if (!visitor.finish()) throw std::runtime_error{"attach: a process did not get in, or out again"};
  into.attach.push_back(static_cast<double>(state.attached));
  into.detach.push_back(static_cast<double>(state.detached));
}

class keeper {
 public:
  keeper(const library& lib, attach_state& state) : state_(state), actor_([&] { lib.keep(state); }) {
    if (!eventually([&] { return state.ready.load(std::memory_order_acquire) != 0 || actor_.ended(); }) ||
        state.ready.load(std::memory_order_acquire) == 0) {
      throw std::runtime_error{"attach: the primary did not start"};
    }
  }
  ~keeper() {
    state_.stop.store(1, std::memory_order_release);
    static_cast<void>(eventually([&] { return actor_.ended(); }, 5000));
  }

 private:
  attach_state& state_;
  actor actor_;
};

}  // namespace

int run_attach(const options& o) {
  const unsigned rounds = o.rounds != 0 ? o.rounds : o.smoke ? 3 : 51;
  const unsigned processor = (o.processors.empty() ? usable_processors() : o.processors).front();
  arena memory{4096};
  auto* states = ::new (memory.data()) attach_state[2]{};
  durations ours, theirs;
  const std::string prefix = fmt::format("bench-{}", getpid());
  const auto mpnet = mpnet_library(prefix, processor);
  const keeper mpnet_primary{mpnet, states[0]};
#if defined(MPNET_BENCH_DPDK)
  const auto dpdk = dpdk_library(prefix + "-dpdk", processor);
  std::optional<keeper> dpdk_primary;
  if (dpdk_can_share() && selected(o.peers, "DPDK")) dpdk_primary.emplace(dpdk, states[1]);
#endif
  for (unsigned i = 0; i < rounds; ++i) {
    visit_once(mpnet, states[0], ours);
#if defined(MPNET_BENCH_DPDK)
    if (dpdk_primary) visit_once(dpdk, states[1], theirs);
#endif
  }
#if defined(MPNET_BENCH_DPDK)
  dpdk_primary.reset();
  clean_dpdk(prefix + "-dpdk");
#endif
  const std::vector<row> rows{duration_row("attach", "enter", ours.attach, "DPDK secondary", theirs.attach),
                              duration_row("attach", "leave", ours.detach, "DPDK secondary", theirs.detach)};
  publish_durations(o, rows);
  return 0;
}

}  // namespace bench
