// SPDX-License-Identifier: BSD-3-Clause
// The targets that mpnet set itself, and the verdict on each from a run's rows.
#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace bench {
namespace {

/// A bound on the ratio mpnet / peer.  A ring made `apart` is the same mode: the better of the two counts, cell by
/// cell. `best_of_peers`: the peer is whichever of the prefix was fastest in that cell. `best_of_modes`: it is enough
/// that one of mpnet's modes of the prefix reaches it.
struct target {
  const char* structure;
  const char* mode;
  const char* placement;
  unsigned burst;  // 0: every burst
  const char* peer;
  double bound;
  bool best_of_peers = false;
  bool best_of_modes = false;
  bool others = false;  // every peer whose name does not begin with `peer`
};

constexpr target targets[] = {
    {"ring", "single", "one-core", 8, "DPDK SP/SC", 0.8},
    {"ring", "single", "one-core", 32, "DPDK SP/SC", 0.5},
    {"ring", "single", "two-cores-split", 8, "DPDK SP/SC", 0.4},
    {"ring", "single", "two-cores-split", 32, "DPDK SP/SC", 0.5},
    {"ring", "many", "one-core", 8, "DPDK MP/MC", 0.9},
    {"ring", "many", "one-core", 32, "DPDK MP/MC", 0.6},
    {"ring", "many", "two-cores-split", 8, "DPDK MP/MC", 0.5},
    {"ring", "many", "two-cores-split", 32, "DPDK MP/MC", 0.7},
    {"ring", "many", "two-cores-both", 8, "DPDK MP/MC", 1.0},
    {"ring", "many", "two-cores-both", 32, "DPDK MP/MC", 1.0},
    {"ring", "many", "two-cores-both", 8, "DPDK MP/MC", 0.9, false, true},
    {"ring", "many", "two-cores-both", 32, "DPDK MP/MC", 0.9, false, true},
    {"ring", "many", "oversubscribed", 8, "DPDK", 0.5, true},
    {"ring", "many", "oversubscribed", 32, "DPDK", 0.5, true},
    {"ring", "single", "", 0, "DPDK", 1.0, false, false, true},
    {"ring", "many", "", 0, "DPDK", 1.0, false, false, true},
    {"ring", "many", "", 0, "DPDK", 1.0, false, true, true},
    {"pool", "cache", "one-core", 1, "DPDK", 0.9},
    {"pool", "cache", "one-core", 8, "DPDK", 0.8},
    {"pool", "cache", "one-core", 32, "DPDK", 0.9},
    {"pool", "cache", "two-cores-split", 8, "DPDK", 0.8},
    {"pool", "cache", "two-cores-split", 32, "DPDK", 0.8},
    {"pool", "cache", "two-cores-both", 8, "DPDK", 0.9},
    {"pool", "cache", "two-cores-both", 32, "DPDK", 0.9},
    {"pool", "cache", "oversubscribed", 8, "DPDK", 0.8, true},
    {"pool", "cache", "oversubscribed", 32, "DPDK", 0.8, true},
    {"forward", "null ports", "one-core", 32, "testpmd", 1 / 1.2},
    {"forward", "pipeline", "two-cores-split", 32, "DPDK", 1 / 1.2},
    {"attach", "enter", "", 1, "DPDK", 1 / 8.0},
    {"ipc", "request", "", 1, "rte_mp", 1 / 3.0},
};

bool applies(const target& t, const row& r) {
  if (r.peer == physical_limit || r.rounds == 0 || r.structure != t.structure) return false;
  if (t.placement[0] != 0 && r.placement != t.placement) return false;
  if (t.burst != 0 && r.burst != t.burst) return false;
  // A mode with a further word in its name ("many concurrent") counts only where any mode may.
  const bool exact = r.mode == t.mode || r.mode == std::string{t.mode} + " apart" ||
                     (std::string_view{t.structure} == "pool" && r.mode.starts_with(t.mode));
  if (!exact && !(t.best_of_modes && r.mode.starts_with(t.mode))) return false;
  return std::string_view{r.peer}.starts_with(t.peer) != t.others;
}

struct verdict {
  const row* worst = nullptr;
  double ratio = 0;
};

/// Of the rows that a target is about, the one that decides: per cell the fastest peer where asked, then the best of
/// mpnet's modes, and then the worst cell.
verdict judge(const target& t, const std::vector<const row*>& rows) {
  const auto same_cell = [&](const row* a, const row* b) {
    return a->burst == b->burst && a->placement == b->placement && (t.best_of_peers || a->peer == b->peer);
  };
  std::vector<const row*> of_modes;
  for (const auto* r : rows) {
    const auto rival =
        std::ranges::find_if(of_modes, [&](const row* d) { return d->mode == r->mode && same_cell(d, r); });
    if (rival == of_modes.end())
      of_modes.push_back(r);
    else if (r->peer_cycles < (*rival)->peer_cycles)
      *rival = r;
  }
  std::vector<const row*> deciding;
  for (const auto* r : of_modes) {
    // The modes of pools are sizes of caches, not choices.
    const bool choice = std::string_view{t.structure} != "pool";
    const auto rival =
        std::ranges::find_if(deciding, [&](const row* d) { return same_cell(d, r) && (choice || d->mode == r->mode); });
    if (rival == deciding.end())
      deciding.push_back(r);
    else if (r->ratio < (*rival)->ratio)
      *rival = r;
  }
  verdict v;
  for (const auto* r : deciding) {
    if (v.worst == nullptr || r->ratio > v.ratio) v = {r, r->ratio};
  }
  return v;
}

}  // namespace

std::string targets_of(const std::vector<row>& rows) {
  std::string text =
      "\n| target | placement | distance | n | against | bound | measured | decided by | verdict "
      "|\n|---|---|---|---|---|---|---|---|---|\n";
  for (const auto& t : targets) {
    for (const std::string_view distance : {"", "near", "far"}) {
      std::vector<const row*> matching;
      for (const auto& r : rows) {
        if (applies(t, r) && distance_of(r) == distance) matching.push_back(&r);
      }
      if (matching.empty()) continue;
      const auto v = judge(t, matching);
      const bool reached = t.others ? v.ratio < t.bound : v.ratio <= t.bound;
      text +=
          fmt::format("| {}, {}{} | {} | {} | {} | {} | {} {} | {:.2f} | {} {}, n = {}: {} | {} |\n", t.structure,
                      t.mode, t.best_of_modes ? " (any mode)" : "", t.placement[0] != 0 ? t.placement : "all",
                      distance.empty() ? "–" : distance, t.burst != 0 ? std::to_string(t.burst) : "all",
                      t.others ? "every other peer" : fmt::format("{}{}", t.best_of_peers ? "best of " : "", t.peer),
                      t.others ? "<" : "≤", fmt::format("{:.3g}", t.bound), v.ratio, v.worst->mode, v.worst->placement,
                      v.worst->burst, v.worst->peer, reached ? "reached" : "**missed**");
    }
  }
  return text;
}

}  // namespace bench
