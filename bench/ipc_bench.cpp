// SPDX-License-Identifier: BSD-3-Clause
// mpnet-bench ipc: a secondary asks the primary and gets 64 bytes back, in turn with DPDK's rte_mp_request_sync.
#include <mpnet/ipc.hpp>

#include <fmt/format.h>

#include <array>
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

constexpr unsigned requests_a_round = 100;

struct ipc_state {
  std::atomic<std::uint32_t> ready;            // primary, then secondary
  std::atomic<std::uint32_t> turn;             // rounds asked for; all ones: stop
  std::atomic<std::uint32_t> done;             // rounds answered
  std::array<double, requests_a_round> taken;  // cycles, of the last round
};
constexpr std::uint32_t stop_turn = ~0U;

/// The two processes of one library.
class pair_of_processes {
 public:
  pair_of_processes(ipc_state& state, const std::function<void()>& enter_primary,
                    const std::function<void()>& enter_secondary, const std::function<void()>& request)
      : state_(state), primary_([&state, enter_primary] {
          enter_primary();
          state.ready.store(1, std::memory_order_release);
          for (;;) pause();
        }) {
    await(1, primary_);
    secondary_.emplace([&state, enter_secondary, request] {
      enter_secondary();
      request();
      state.ready.store(2, std::memory_order_release);
      for (std::uint32_t round = 0;; ++round) {
        while (state.turn.load(std::memory_order_acquire) == round) usleep(100);
        for (auto& each : state.taken) {
          const auto begin = cycles();
          request();
          each = static_cast<double>(cycles() - begin);
        }
        state.done.store(round + 1, std::memory_order_release);
      }
    });
    await(2, *secondary_);
  }

  /// The median of a round, in cycles.
  double round() {
    const auto wanted = state_.turn.fetch_add(1, std::memory_order_acq_rel) + 1;
    if (!eventually([&] { return state_.done.load(std::memory_order_acquire) == wanted || secondary_->ended(); }) ||
        state_.done.load(std::memory_order_acquire) != wanted) {
      throw std::runtime_error{"ipc: the requester ended or hung"};
    }
    return median({state_.taken.begin(), state_.taken.end()});
  }

 private:
  void await(std::uint32_t step, actor& who) {
    if (!eventually([&] { return state_.ready.load(std::memory_order_acquire) >= step || who.ended(); }) ||
        state_.ready.load(std::memory_order_acquire) < step) {
      throw std::runtime_error{step == 1 ? "ipc: the primary did not start"
                                         : "ipc: the secondary did not get an answer"};
    }
  }

  ipc_state& state_;
  actor primary_;
  std::optional<actor> secondary_;
};

/// The processes of mpnet stay in the group until they are killed; the last one's death leaves files to clean, so the
/// benchmark enters once more at the end.
std::unique_ptr<pair_of_processes> start_mpnet(ipc_state& state, const std::string& prefix, unsigned first,
                                               unsigned second) {
  static std::unique_ptr<mpnet::eal> eal;  // of the child
  return std::make_unique<pair_of_processes>(
      state,
      [=] {
        pin_to(first);
        mpnet::ipc::register_handler(
            "bench", [](mpnet::ipc::message& m, mpnet::ipc::reply_token& reply) { reply.send(m.data); });
        eal = enter_mpnet(prefix, true, 0, first);
      },
      [=] {
        pin_to(second);
        eal = enter_mpnet(prefix, false, 1, second);
      },
      [] {
        static const std::array<std::byte, 64> data{};
        auto* endpoint = mpnet::ipc::current_endpoint();
        if (endpoint == nullptr) throw std::runtime_error{"ipc: this process has no endpoint"};
        static_cast<void>(endpoint->call({.name = "bench", .data = data, .fds = {}}, mpnet::ipc::destination::primary(),
                                         std::chrono::seconds{1}));
      });
}

#if defined(MPNET_BENCH_DPDK)
std::unique_ptr<pair_of_processes> start_dpdk_pair(ipc_state& state, const std::string& prefix, unsigned first,
                                                   unsigned second) {
  return std::make_unique<pair_of_processes>(
      state,
      [=] {
        pin_to(first);
        enter_dpdk(prefix, true, 0, first);
        answer_dpdk_requests();
      },
      [=] {
        pin_to(second);
        enter_dpdk(prefix, false, 1, second);
      },
      [] { make_dpdk_request(); });
}
#endif

}  // namespace

int run_ipc(const options& o) {
  const unsigned rounds = o.rounds != 0 ? o.rounds : o.smoke ? 2 : 25;
  const auto processors = o.processors.empty() ? usable_processors() : o.processors;
  const unsigned first = processors.front(), second = processors.back();
  const std::string prefix = fmt::format("bench-{}", getpid());
  arena memory{2 * sizeof(ipc_state)};
  auto* states = ::new (memory.data()) ipc_state[2]{};
  std::vector<double> ours, theirs;
  auto mpnet = start_mpnet(states[0], prefix, first, second);
#if defined(MPNET_BENCH_DPDK)
  std::unique_ptr<pair_of_processes> dpdk;
  if (dpdk_can_share() && selected(o.peers, "DPDK")) dpdk = start_dpdk_pair(states[1], prefix + "-dpdk", first, second);
#endif
  for (unsigned i = 0; i < rounds; ++i) {
    ours.push_back(mpnet->round());
#if defined(MPNET_BENCH_DPDK)
    if (dpdk) theirs.push_back(dpdk->round());
#endif
  }
  mpnet.reset();
  static_cast<void>(
      actor{[&] { enter_mpnet(prefix, true, 0, first).reset(); }}.finish());  // removes the dead group's files
#if defined(MPNET_BENCH_DPDK)
  dpdk.reset();
  clean_dpdk(prefix + "-dpdk");
#endif
  publish_durations(o, {duration_row("ipc", "request", ours, "rte_mp_request_sync", theirs)});
  return 0;
}

}  // namespace bench
