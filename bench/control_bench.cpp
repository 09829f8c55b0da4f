// SPDX-License-Identifier: BSD-3-Clause
// What attach, ipc and kill share.
#include "control_bench.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "machine.hpp"
#include "mpnet_group.hpp"

namespace bench {

std::unique_ptr<mpnet::eal> enter_mpnet(const std::string& prefix, bool primary, unsigned lcore, unsigned processor) {
  std::vector<std::string> arguments{"--file-prefix=" + prefix,
                                     primary ? "--proc-type=primary" : "--proc-type=secondary",
                                     fmt::format("--lcores={}@{}", lcore, processor), "--no-pci", "--log-level=error"};
  if (primary && !use_huge_pages()) arguments.emplace_back("--no-huge");
  if (primary) arguments.insert(arguments.end(), {"-m", "256"});
  return std::make_unique<mpnet::eal>(std::move(arguments));
}

bool dpdk_can_share() {
#if defined(MPNET_BENCH_DPDK)
  if (use_huge_pages()) return true;
  std::fprintf(stderr, "SKIP: DPDK's secondaries need hugepages, and fewer than 160 of 2 MiB are free\n");
#else
  std::fprintf(stderr, "SKIP: DPDK was not found when this program was built\n");
#endif
  return false;
}

row duration_row(std::string structure, std::string mode, const std::vector<double>& mpnet, std::string peer,
                 const std::vector<double>& theirs) {
  row r;
  r.structure = std::move(structure);
  r.mode = std::move(mode);
  r.placement = "processes";
  r.burst = 1;
  r.peer = std::move(peer);
  r.mpnet_cycles = median(mpnet);
  r.peer_cycles = median(theirs);
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(mpnet.size(), theirs.size()); ++i) ratios.push_back(mpnet[i] / theirs[i]);
  r.ratio = median(ratios);
  r.spread = quantile(ratios, 0.75) - quantile(ratios, 0.25);
  r.rounds = static_cast<unsigned>(theirs.empty() ? mpnet.size() : ratios.size());
  return r;
}

void publish_durations(const options& o, const std::vector<row>& rows) {
  save(o, rows);
  if (o.output == format::json) {
    for (const auto& r : rows) fmt::print("{}\n", json_of(r));
    return;
  }
  fmt::print("{}\n\n| median, microseconds | mpnet | peer | | peer / mpnet | rounds |\n|---|---|---|---|---|---|\n",
             describe_machine());
  const double us = cycles_per_us();
  for (const auto& r : rows) {
    fmt::print("| {}, {} | {:.1f} | {} | {} | {} | {} |\n", r.structure, r.mode, r.mpnet_cycles / us,
               r.ratio > 0 ? fmt::format("{:.1f}", r.peer_cycles / us) : "", r.peer,
               r.ratio > 0 ? fmt::format("{:.1f}", 1 / r.ratio) : "", r.rounds);
  }
  if (o.targets) fmt::print("{}", targets_of(rows));
}

}  // namespace bench
