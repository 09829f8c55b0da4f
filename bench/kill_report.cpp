// SPDX-License-Identifier: BSD-3-Clause
#include "kill_report.hpp"

#include <fmt/format.h>

#include "control_bench.hpp"
#include "machine.hpp"

namespace bench {
namespace {

constexpr const char* dpdk_name = "DPDK MP/MC and mempool";
constexpr double bound_us = 1000;  // aimed at, from the death mark

row times_row(const char* what, const std::vector<double>& cycles_taken) {
  row r = duration_row("kill", what, cycles_taken, "", {});
  r.more =
      fmt::format(R"(,"p99_cycles":{},"longest_cycles":{})", quantile(cycles_taken, 0.99), quantile(cycles_taken, 1));
  return r;
}

row kills_row(const char* whose, unsigned kills, const std::string& more) {
  row r = duration_row("kill", whose, {}, "", {});
  r.rounds = kills;
  r.more = fmt::format(R"(,"kills":{}{})", kills, more);
  return r;
}

std::vector<row> rows_of(const kill_results& mpnet, const dpdk_kills& dpdk) {
  std::string more =
      fmt::format(R"(,"wedges":{},"lost":{},"duplicated":{},"unsettled":{},"aimed":{},"reached":{})", mpnet.wedges,
                  mpnet.lost, mpnet.duplicated, mpnet.unsettled, mpnet.aimed, mpnet.reached);
  more += R"(,"repairs":{)";
  for (const auto& kind : mpnet.repairs)
    more += fmt::format(R"({}"{}":{})", more.back() == '{' ? "" : ",", kind.name, kind.count);
  more += "}";
  std::vector<row> rows{kills_row("mpnet", mpnet.kills, more)};
  if (dpdk.kills != 0) {
    rows.push_back(kills_row(dpdk_name, dpdk.kills, fmt::format(R"(,"wedges":{},"lost":{})", dpdk.wedges, dpdk.lost)));
  }
  rows.push_back(times_row("survivor proceeds after the death mark", mpnet.from_mark));
  rows.push_back(times_row("the same, of its own running time", mpnet.running_from_mark));
  rows.push_back(times_row("survivor proceeds after the kill", mpnet.from_kill));
  rows.push_back(times_row("recovered after the death mark", mpnet.to_recovered));
  return rows;
}

void print_times(const char* what, const std::vector<double>& cycles_taken) {
  const double us = cycles_per_us();
  fmt::print("| {} | {:.1f} | {:.1f} | {:.1f} |\n", what, median(cycles_taken) / us, quantile(cycles_taken, 0.99) / us,
             quantile(cycles_taken, 1) / us);
}

void print_tables(const kill_results& mpnet, const dpdk_kills& dpdk) {
  fmt::print("{}\n\n| | kills | wedges | objects lost |\n|---|---|---|---|\n", describe_machine());
  fmt::print("| mpnet | {} | {} | {} (duplicated: {}, unsettled: {}) |\n", mpnet.kills, mpnet.wedges, mpnet.lost,
             mpnet.duplicated, mpnet.unsettled);
  if (dpdk.kills != 0) fmt::print("| {} | {} | {} | {} |\n", dpdk_name, dpdk.kills, dpdk.wedges, dpdk.lost);
  fmt::print("\n{} of {} kills were aimed at a phase of a ring's operation; {} fell there.\n", mpnet.aimed, mpnet.kills,
             mpnet.reached);
  fmt::print("\n| repairs by kind | count |\n|---|---|\n");
  for (const auto& kind : mpnet.repairs) fmt::print("| {} | {} |\n", kind.what, kind.count);
  fmt::print("\n| microseconds until | median | 99 % | longest |\n|---|---|---|---|\n");
  print_times("the survivor proceeds, from the kernel's death mark", mpnet.from_mark);
  print_times("the same, of the survivor's own running time", mpnet.running_from_mark);
  print_times("the survivor proceeds, from the kill", mpnet.from_kill);
  print_times("all is recovered, from the kernel's death mark", mpnet.to_recovered);
  const double longest = quantile(mpnet.from_mark, 1) / cycles_per_us();
  fmt::print("\nThe survivor proceeds within a millisecond of the death mark: {}. Rounds that it took: {} at most.\n",
             longest <= bound_us ? "reached" : "missed", mpnet.tries);
}

}  // namespace

void report_kills(const options& o, const kill_results& mpnet, const dpdk_kills& dpdk) {
  const auto rows = rows_of(mpnet, dpdk);
  save(o, rows);
  if (o.output != format::json) return print_tables(mpnet, dpdk);
  for (const auto& r : rows) fmt::print("{}\n", json_of(r));
}

}  // namespace bench
