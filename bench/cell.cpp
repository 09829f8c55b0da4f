// SPDX-License-Identifier: BSD-3-Clause
// Runs a cell: a host process prepares, starts the workers, and all of them walk through the same schedule, barrier by
// barrier.  A worker that fails or hangs ends the cell, not the benchmark.
#include "cell.hpp"

#include "machine.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>
#include <thread>

namespace bench {
namespace {

struct run_record {
  std::uint64_t begin, end, objects, busy;
};

constexpr unsigned max_workers = 4;
constexpr unsigned lines_ahead = 128;  // of the stream that measures the physical limit

struct pair_record {
  run_record runs[2][max_workers];  // mpnet's, the peer's
  double round_trip[2];             // before, after
  double limit;
};

struct alignas(64) stream_half {
  std::atomic<std::uint64_t> full;  // the producer's count of fillings; the consumer has emptied it when taken is equal
  char pad0[56];
  std::atomic<std::uint64_t> taken;
  char pad1[56];
  std::uint64_t lines[lines_ahead][8];
};

struct shared_state {
  barrier gate;
  ping_line ping;
  stream_half halves[2];
  char error[256];
};

/// How fast lines go from one core to the other when nothing else is done: two halves, one filled while the other is
/// read. Returns this side's cycles a line.
double stream_lines(shared_state& shared, unsigned side, unsigned fillings) {
  std::uint64_t sum = 0;
  const auto begin = cycles();
  for (unsigned i = 0; i < fillings; ++i) {
    auto& half = shared.halves[i & 1];
    const std::uint64_t turn = i / 2 + 1;
    if (side == 0) {
      wait_until([&] { return half.taken.load(std::memory_order_acquire) == turn - 1; });
      for (auto& line : half.lines) {
        for (auto& word : line) word = i;
      }
      half.full.store(turn, std::memory_order_release);
    } else {
      wait_until([&] { return half.full.load(std::memory_order_acquire) == turn; });
      for (const auto& line : half.lines) {
        for (const auto& word : line) sum += word;
      }
      half.taken.store(turn, std::memory_order_release);
    }
  }
  asm volatile("" : : "r"(sum));
  return static_cast<double>(cycles() - begin) / (static_cast<double>(fillings) * lines_ahead);
}

class cell_runner {
 public:
  explicit cell_runner(const cell_plan& plan)
      : plan_(plan),
        workers_(workers_of(plan.where)),
        two_processors_(processors_of(plan.where) == 2),
        control_bytes_((sizeof(shared_state) + sizeof(pair_record) * plan.rounds * plan.peers.size() + slot_bytes) /
                       slot_bytes * slot_bytes),
        memory_(control_bytes_ + slot_bytes * (plan.peers.size() + 1)),
        shared_(*::new (memory_.data()) shared_state{}) {}

  void run() {
    const pid_t host = fork();
    if (host < 0) throw std::runtime_error{"fork failed"};
    if (host == 0) _exit(run_host());
    int status = 0;
    while (waitpid(host, &status, 0) < 0) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      throw std::runtime_error{shared_.error[0] != 0 ? shared_.error : "a worker died or hung"};
    }
  }

  [[nodiscard]] std::vector<std::vector<sample>> samples() const {
    std::vector<std::vector<sample>> all(plan_.peers.size());
    for (std::size_t p = 0; p < plan_.peers.size(); ++p) {
      for (unsigned round = 0; round < plan_.rounds; ++round) {
        const auto& pair = pair_of(round, p);
        sample s;
        s.mpnet_cycles = cycles_per_object(pair.runs[0]);
        s.peer_cycles = cycles_per_object(pair.runs[1]);
        s.line_rtt_cycles = (pair.round_trip[0] + pair.round_trip[1]) / 2;
        s.limit_cycles = pair.limit * 2 / 8;
        all[p].push_back(s);
      }
    }
    return all;
  }

 private:
  [[nodiscard]] pair_record& pair_of(unsigned round, std::size_t peer) const {
    return reinterpret_cast<pair_record*>(&shared_ + 1)[round * plan_.peers.size() + peer];
  }
  [[nodiscard]] void* slot(std::size_t i) const {
    return static_cast<std::byte*>(memory_.data()) + control_bytes_ + i * slot_bytes;
  }

  [[nodiscard]] double cycles_per_object(const run_record (&runs)[max_workers]) const {
    std::uint64_t begin = ~0ULL, end = 0, objects = 0, busy = 0;
    for (unsigned w = 0; w < workers_; ++w) {
      begin = std::min(begin, runs[w].begin);
      end = std::max(end, runs[w].end);
      objects += runs[w].objects;
      busy += runs[w].busy;
    }
    if (plan_.where == placement::split) objects /= 2;  // each object was counted on both sides
    if (objects == 0) return 0;
    if (busy != 0) return static_cast<double>(busy) / static_cast<double>(objects);  // getting and putting, summed
    return static_cast<double>((end - begin) * processors_of(plan_.where)) / static_cast<double>(objects);
  }

  int run_host() {
    try {
      plan_.mpnet->prepare();
      for (auto* peer : plan_.peers) peer->prepare();
    } catch (const std::exception& e) {
      std::snprintf(shared_.error, sizeof shared_.error, "%s", e.what());
      return 1;
    }
    alarm(600);
    const bool forked = plan_.mpnet->across_processes &&
                        std::ranges::all_of(plan_.peers, [](const auto* peer) { return peer->across_processes; });
    return forked ? run_forked() : run_threaded();
  }

  int run_threaded() {
    std::vector<std::thread> threads;
    for (unsigned w = 1; w < workers_; ++w) {
      threads.emplace_back([this, w] {
        if (guarded_worker(w) != 0) _exit(1);
      });
    }
    const int result = guarded_worker(0);
    if (result != 0) _exit(result);
    for (auto& t : threads) t.join();
    return 0;
  }

  int run_forked() {
    std::vector<pid_t> children;
    for (unsigned w = 0; w < workers_; ++w) {
      const pid_t child = fork();
      if (child == 0) {
        alarm(600);
        _exit(guarded_worker(w));
      }
      children.push_back(child);
    }
    int result = 0;
    for (std::size_t left = children.size(); left > 0; --left) {
      int status = 0;
      const pid_t ended = wait(&status);
      std::erase(children, ended);
      if (result == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
        result = 1;
        for (const pid_t other : children) kill(other, SIGKILL);
      }
    }
    return result;
  }

  int guarded_worker(unsigned worker) {
    try {
      worker_main(worker);
      return 0;
    } catch (const std::exception& e) {
      if (shared_.error[0] == 0) std::snprintf(shared_.error, sizeof shared_.error, "worker %u: %s", worker, e.what());
      return 1;
    }
  }

  void worker_main(unsigned worker) {
    pin_to(plan_.processors[worker % processors_of(plan_.where)]);
    std::vector<contestant*> all{plan_.mpnet};
    all.insert(all.end(), plan_.peers.begin(), plan_.peers.end());
    for (auto* c : all) c->enter(worker);
    for (std::size_t i = 0; worker == 0 && i < all.size(); ++i) all[i]->format(slot(i));
    meet();
    for (std::size_t i = 0; i < all.size(); ++i) all[i]->join(slot(i), worker, workers_);
    for (std::size_t i = 0; i < all.size(); ++i) timed(*all[i], worker, 8);  // warms up
    for (unsigned round = 0; round < plan_.rounds; ++round) {
      for (std::size_t p = 0; p < plan_.peers.size(); ++p) run_pair(worker, pair_of(round, p), *plan_.peers[p]);
    }
    meet();
    if (worker != 0) {
      for (auto* c : all) c->leave(worker);
    }
    meet();
    if (worker == 0) {
      for (auto* c : all) c->leave(worker);
    }
  }

  void meet() noexcept { shared_.gate.wait(workers_, workers_ > processors_of(plan_.where) ? 50 : 20'000); }

  void run_pair(unsigned worker, pair_record& pair, contestant& peer) {
    round_trip(worker, pair.round_trip[0]);
    pair.runs[0][worker] = timed(*plan_.mpnet, worker, 1);
    pair.runs[1][worker] = timed(peer, worker, 1);
    round_trip(worker, pair.round_trip[1]);
    if (plan_.measure_limit && two_processors_) limit(worker, pair);
  }

  void round_trip(unsigned worker, double& result) {
    if (!two_processors_) return;
    meet();
    if (worker >= 2) return;
    const double cycles_taken = line_round_trip(shared_.ping, worker);
    if (worker == 0) result = cycles_taken;
  }

  void limit(unsigned worker, pair_record& pair) {
    meet();
    if (worker == 0) {
      for (auto& half : shared_.halves) {
        half.full.store(0, std::memory_order_relaxed);  // relaxed: the gate orders it
        half.taken.store(0, std::memory_order_relaxed);
      }
    }
    meet();
    if (worker >= 2) return;
    const double per_line = stream_lines(shared_, worker, 64);
    if (worker == 0) pair.limit = per_line;
  }

  run_record timed(contestant& c, unsigned worker, unsigned fraction) {
    work w{.burst = plan_.burst};
    if (plan_.where == placement::oversubscribed) {
      w.duration = static_cast<std::uint64_t>(static_cast<double>(plan_.duration_us) * cycles_per_us()) / fraction;
      w.patience = 64;
    } else {
      w.objects = std::max<std::uint64_t>(plan_.objects / fraction / plan_.burst, 1) * plan_.burst;
    }
    auto r = role::alternate;
    if (plan_.where == placement::split) r = worker == 0 ? role::produce : role::consume;
    meet();
    run_record record{};
    record.begin = cycles();
    const auto done = c.run(r, w);
    record.end = cycles();
    record.objects = done.objects;
    record.busy = done.busy;
    return record;
  }

  const cell_plan& plan_;
  unsigned workers_;
  bool two_processors_;
  std::size_t control_bytes_;
  arena memory_;
  shared_state& shared_;
};

}  // namespace

std::string_view name_of(placement p) noexcept {
  switch (p) {
    case placement::one_core:
      return "one-core";
    case placement::split:
      return "two-cores-split";
    case placement::both:
      return "two-cores-both";
    case placement::oversubscribed:
      break;
  }
  return "oversubscribed";
}

unsigned workers_of(placement p) noexcept {
  return p == placement::one_core ? 1 : p == placement::oversubscribed ? 4 : 2;
}

unsigned processors_of(placement p) noexcept {
  return p == placement::one_core ? 1 : 2;
}

std::vector<std::vector<sample>> run_cell(const cell_plan& plan) {
  static_cast<void>(cycles_per_us());  // measured before workers share the processors
  cell_runner runner{plan};
  runner.run();
  return runner.samples();
}

}  // namespace bench
