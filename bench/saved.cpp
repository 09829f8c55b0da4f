// SPDX-License-Identifier: BSD-3-Clause
// mpnet-bench report: tables, charts and verdicts of runs that were saved with --save.  A machine that is not one's own
// for half an hour is measured placement by placement.
#include "matrix.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

namespace bench {
namespace {

/// What follows `"name":` in a row, quotes taken off; empty where there is none.
std::string_view field(std::string_view line, std::string_view name) {
  const std::string key = fmt::format("\"{}\":", name);
  const auto at = line.find(key);
  if (at == std::string_view::npos) return {};
  line.remove_prefix(at + key.size());
  if (line.starts_with('"')) {
    line.remove_prefix(1);
    return line.substr(0, line.find('"'));
  }
  return line.substr(0, line.find_first_of(",}"));
}

double number(std::string_view line, std::string_view name) {
  return std::strtod(std::string{field(line, name)}.c_str(), nullptr);  // null, of one processor: 0
}

row parse_row(std::string_view line) {
  row r;
  r.structure = field(line, "structure");
  r.mode = field(line, "mode");
  r.placement = field(line, "placement");
  r.peer = field(line, "peer");
  r.burst = static_cast<unsigned>(number(line, "burst"));
  r.mpnet_cycles = number(line, "mpnet_cycles");
  r.peer_cycles = number(line, "peer_cycles");
  r.ratio = number(line, "ratio");
  r.spread = number(line, "spread");
  r.line_rtt_cycles = number(line, "line_rtt_cycles");
  r.rounds = static_cast<unsigned>(number(line, "rounds"));
  return r;
}

bool same_cell(const row& a, const row& b) {
  return a.structure == b.structure && a.mode == b.mode && a.placement == b.placement && a.burst == b.burst &&
         a.peer == b.peer && distance_of(a) == distance_of(b);
}

}  // namespace

int run_report(const options& o) {
  if (o.files.empty()) throw usage_error{"report: which files? see --save"};
  std::vector<row> rows;
  for (const auto& name : o.files) {
    std::ifstream file{name};
    if (!file) throw usage_error{fmt::format("report: cannot read {}", name)};
    for (std::string line; std::getline(file, line);) {
      const row r = parse_row(line);
      if (r.structure.empty()) throw usage_error{fmt::format("report: {} is no file that --save wrote", name)};
      const auto known = std::ranges::find_if(rows, [&](const row& k) { return same_cell(k, r); });
      if (known == rows.end())
        rows.push_back(r);
      else if (r.rounds > known->rounds)  // measured more often counts
        *known = r;
    }
  }
  publish(o, rows);
  return 0;
}

}  // namespace bench
