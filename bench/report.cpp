// SPDX-License-Identifier: BSD-3-Clause
// Statistics over samples, JSON and tables.
#include "report.hpp"

#include "machine.hpp"
#include "peers/peers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <stdexcept>

namespace bench {
namespace {

row summarise(const cell_plan& plan, std::string_view structure, const std::string& peer,
              const std::vector<sample>& samples, bool limit) {
  std::vector<double> ours, theirs, ratios, round_trips;
  for (const auto& s : samples) {
    const double other = limit ? s.limit_cycles : s.peer_cycles;
    if (other <= 0) continue;
    ours.push_back(s.mpnet_cycles);
    theirs.push_back(other);
    ratios.push_back(s.mpnet_cycles / other);
    round_trips.push_back(s.line_rtt_cycles);
  }
  row r;
  r.structure = structure;
  r.mode = plan.mpnet->mode;
  r.placement = name_of(plan.where);
  r.burst = plan.burst;
  r.peer = peer;
  r.rounds = static_cast<unsigned>(ratios.size());
  if (ratios.empty()) return r;
  r.mpnet_cycles = median(ours);
  r.peer_cycles = median(theirs);
  r.ratio = median(ratios);
  r.spread = quantile(ratios, 0.75) - quantile(ratios, 0.25);
  r.line_rtt_cycles = median(round_trips);
  return r;
}

std::string table_key(const row& r) {
  return fmt::format("{}/{}/{}/{}", r.structure, r.mode, r.placement, distance_of(r));
}

std::string table_of(const std::vector<const row*>& rows) {
  std::vector<unsigned> bursts;
  std::vector<std::string> peers;
  std::vector<double> round_trips;
  for (const auto* r : rows) {
    if (std::ranges::find(bursts, r->burst) == bursts.end()) bursts.push_back(r->burst);
    if (std::ranges::find(peers, r->peer) == peers.end()) peers.push_back(r->peer);
    round_trips.push_back(r->line_rtt_cycles);
  }
  std::ranges::sort(bursts);
  const auto& first = *rows.front();
  std::string text = fmt::format("\n#### {}, {}, {}", first.structure, first.mode, first.placement);
  if (!distance_of(first).empty()) {
    text += fmt::format(" ({}: line round trip {:.0f} cycles)", distance_of(first), median(round_trips));
  }
  text += "\n\n| cycles an object (mpnet / peer, spread) |";
  for (const auto n : bursts) text += fmt::format(" n = {} |", n);
  text += "\n|---|";
  for (std::size_t i = 0; i < bursts.size(); ++i) text += "---|";
  text += "\n| **mpnet** |";
  const auto find = [&](const std::string& peer, unsigned burst) -> const row* {
    const auto found = std::ranges::find_if(
        rows, [&](const row* r) { return r->burst == burst && (peer.empty() || r->peer == peer) && r->rounds > 0; });
    return found == rows.end() ? nullptr : *found;
  };
  for (const auto n : bursts) {
    const auto* r = find("", n);
    text += r != nullptr ? fmt::format(" **{:.2f}** |", r->mpnet_cycles) : std::string{" |"};
  }
  text += "\n";
  for (const auto& peer : peers) {
    text += fmt::format("| {} |", peer);
    for (const auto n : bursts) {
      const auto* r = find(peer, n);
      text += r != nullptr ? fmt::format(" {:.2f} ({:.2f} ± {:.2f}) |", r->peer_cycles, r->ratio, r->spread / 2)
                           : std::string{" |"};
    }
    text += "\n";
  }
  return text;
}

}  // namespace

double quantile(std::vector<double> values, double at) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const double place = at * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const auto above = std::min(below + 1, values.size() - 1);
  return values[below] + (values[above] - values[below]) * (place - static_cast<double>(below));
}

void append_rows(std::vector<row>& rows, const cell_plan& plan, std::string_view structure,
                 const std::vector<std::vector<sample>>& samples) {
  for (const bool far : {false, true}) {
    std::vector<sample> for_limit;
    for (std::size_t p = 0; p < samples.size(); ++p) {
      std::vector<sample> of_class;
      std::ranges::copy_if(samples[p], std::back_inserter(of_class),
                           [&](const sample& s) { return (s.line_rtt_cycles >= far_round_trip_cycles) == far; });
      for_limit.insert(for_limit.end(), of_class.begin(), of_class.end());
      if (!of_class.empty()) rows.push_back(summarise(plan, structure, plan.peers[p]->name, of_class, false));
    }
    if (!for_limit.empty() && for_limit.front().limit_cycles > 0) {
      rows.push_back(summarise(plan, structure, physical_limit, for_limit, true));
    }
  }
}

std::string_view distance_of(const row& r) {
  if (r.line_rtt_cycles == 0) return "";
  return r.line_rtt_cycles >= far_round_trip_cycles ? "far" : "near";
}

/// The values to their last bit: a rounded one, read back and rounded once more for a table, may differ by a digit.
std::string json_of(const row& r) {
  const std::string round_trip = r.line_rtt_cycles == 0 ? "null" : fmt::format("{}", r.line_rtt_cycles);
  return fmt::format(
      R"({{"structure":"{}","mode":"{}","placement":"{}","burst":{},"mpnet_cycles":{},"peer":"{}","peer_cycles":{},)"
      R"("ratio":{},"spread":{},"line_rtt_cycles":{},"rounds":{}{}}})",
      r.structure, r.mode, r.placement, r.burst, r.mpnet_cycles, r.peer, r.peer_cycles, r.ratio, r.spread, round_trip,
      r.rounds, r.more);
}

std::string tables_of(const std::vector<row>& rows) {
  std::vector<std::string> order;
  std::map<std::string, std::vector<const row*>> tables;
  for (const auto& r : rows) {
    auto& table = tables[table_key(r)];
    if (table.empty()) order.push_back(table_key(r));
    table.push_back(&r);
  }
  std::string text;
  for (const auto& key : order) text += table_of(tables[key]);
  return text;
}

void publish(const options& o, const std::vector<row>& rows) {
  if (o.output == format::json) {
    for (const auto& r : rows) fmt::print("{}\n", json_of(r));
  } else {
    fmt::print("{}\n", describe_machine());
    if (const auto missing = missing_peers(); !missing.empty()) fmt::print("not found when built: {}\n", missing);
    fmt::print("{}", tables_of(rows));
    if (o.targets) fmt::print("{}", targets_of(rows));
  }
  save(o, rows);
}

void save(const options& o, const std::vector<row>& rows) {
  if (!o.save.empty()) {
    std::ofstream file{o.save};
    for (const auto& r : rows) file << json_of(r) << '\n';
    if (!file.flush()) throw std::runtime_error{fmt::format("--save: cannot write {}", o.save)};
  }
  if (!o.plot_dir.empty()) write_charts(o.plot_dir, rows);
}

}  // namespace bench
