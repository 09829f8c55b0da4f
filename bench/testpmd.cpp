// SPDX-License-Identifier: BSD-3-Clause
// Starts dpdk-testpmd on two null ports in io mode on one forwarding core, reads "Rx-pps" of its last report, ends it.
#include "testpmd.hpp"

#include "machine.hpp"
#include "matrix.hpp"
#include "mpnet_group.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <utility>

namespace bench {
namespace {

constexpr int reports_wanted = 3;  // one a second; the first covers the start

/// A child process whose output is read line by line.
class program {
 public:
  explicit program(std::vector<std::string> arguments) {
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error{"pipe failed"};
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], 1);
      dup2(ends[1], 2);
      std::vector<char*> pointers;
      for (auto& a : arguments) pointers.push_back(a.data());
      pointers.push_back(nullptr);
      execvp(pointers[0], pointers.data());
      _exit(127);
    }
    close(ends[1]);
    out_ = ends[0];
  }
  ~program() {
    kill(pid_, SIGINT);
    read_until([](const std::string&) { return false; }, 5000);
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(out_);
  }
  program(const program&) = delete;
  program& operator=(const program&) = delete;

  /// Hands lines to `done` until it is satisfied; false at the end of the output or of the time.
  template <class Done>
  bool read_until(Done done, int timeout_ms) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds{timeout_ms};
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      pollfd p{out_, POLLIN, 0};
      if (left.count() <= 0 || poll(&p, 1, static_cast<int>(left.count())) <= 0) return false;
      char c = 0;
      if (read(out_, &c, 1) != 1) return false;
      if (c != '\n') {
        line_ += c;
      } else if (done(std::exchange(line_, {}))) {
        return true;
      }
    }
  }

 private:
  pid_t pid_ = -1;
  int out_ = -1;
  std::string line_;
};

/// Packets per second that testpmd received on both ports together; 0 where it does not run.
double testpmd_rate(unsigned main_processor, unsigned processor, unsigned burst) {
  const auto prefix = fmt::format("bench-testpmd-{}", getpid());
  std::vector<std::string> arguments{"dpdk-testpmd",     fmt::format("--lcores=0@{},1@{}", main_processor, processor),
                                     "--no-pci",         "--no-telemetry",
                                     "--vdev=net_null0", "--vdev=net_null1"};
  if (use_huge_pages()) {
    arguments.emplace_back("--in-memory");
  } else {
    arguments.insert(arguments.end(), {"--no-huge", "-m", "512", "--no-shconf"});
  }
  arguments.insert(arguments.end(), {"--", "--forward-mode=io", "--auto-start", "--stats-period=1", "--no-mlockall",
                                     "--total-num-mbufs=16383", fmt::format("--burst={}", burst)});
  double rates[2] = {0, 0};
  int port = 0, reports = 0;
  {
    program testpmd{arguments};
    testpmd.read_until(
        [&](const std::string& line) {
          if (const auto at = line.find("Rx-pps:"); at != std::string::npos) {
            rates[port] = std::atof(line.c_str() + at + 7);
            if (port == 1) ++reports;
            port = 1 - port;
          }
          return reports == reports_wanted;
        },
        20'000);
  }
  return reports == reports_wanted ? rates[0] + rates[1] : 0;
}

/// Stands for testpmd in cells and rows; runs nothing.
class stand_in final : public contestant {
 public:
  using contestant::contestant;
  void format(void*) override {}
  outcome run(role, const work&) override { return {}; }
};

}  // namespace

void append_testpmd(std::vector<row>& rows, contestant& mpnet, const options& o) {
  const auto processors = o.processors.empty() ? usable_processors() : o.processors;
  const unsigned processor = processors.back();
  stand_in testpmd{"testpmd", mpnet.mode};
  cell_plan plan{
      .mpnet = &mpnet, .peers = {&testpmd}, .where = placement::one_core, .rounds = 3, .processors = {processor}};
  plan.objects = o.smoke ? 1U << 16 : 1U << 22;
  for (const auto burst : o.bursts) {
    plan.burst = burst;
    std::vector<sample> samples;
    const unsigned rounds = o.rounds != 0 ? o.rounds : o.smoke ? 1 : 5;
    for (unsigned round = 0; round < rounds; ++round) {
      std::vector<double> ours;
      const auto cell = run_cell(plan);
      for (const auto& each : cell.front()) ours.push_back(each.mpnet_cycles);
      const double rate = testpmd_rate(processors.front(), processor, burst);
      if (rate == 0) {
        std::fprintf(stderr, "SKIP: dpdk-testpmd is not installed, or it does not run here\n");
        return;
      }
      samples.push_back({.mpnet_cycles = median(ours), .peer_cycles = cycles_per_us() * 1e6 / rate});
    }
    append_rows(rows, plan, "forward", {samples});
  }
}

}  // namespace bench
