// SPDX-License-Identifier: BSD-3-Clause
// Walks through all cells of a structure.
#include "matrix.hpp"

#include "machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace bench {
namespace {

std::vector<unsigned> processors_for(const options& o) {
  auto processors = o.processors.empty() ? usable_processors() : o.processors;
  return processors;
}

/// Peers that share memory between processes run so; the others run in threads, mpnet beside them too.
void run_both_kinds(const matrix& m, cell_plan plan, const std::vector<contestant*>& peers, std::vector<row>& rows) {
  for (const bool across : {true, false}) {
    plan.peers.clear();
    std::ranges::copy_if(peers, std::back_inserter(plan.peers), [&](auto* p) { return p->across_processes == across; });
    if (plan.peers.empty()) continue;
    plan.measure_limit = m.limit && across && plan.where != placement::oversubscribed;
    try {
      append_rows(rows, plan, m.structure, run_cell(plan));
    } catch (const std::exception& e) {
      throw std::runtime_error{fmt::format("{}, {}, {}, burst {}: {}", m.structure, plan.mpnet->mode,
                                           name_of(plan.where), plan.burst, e.what())};
    }
  }
}

}  // namespace

std::vector<row> run_matrix(const matrix& m, const options& o) {
  std::vector<row> rows;
  const std::vector<unsigned> all_bursts = o.smoke ? std::vector<unsigned>{8} : std::vector<unsigned>{1, 8, 32, 128};
  cell_plan plan;
  plan.processors = processors_for(o);
  plan.rounds = o.rounds != 0 ? o.rounds : o.smoke ? 1 : m.rounds;
  plan.duration_us = o.smoke ? 1000 : m.duration_us;
  for (const auto& ours : m.ours) {
    if (!selected(o.modes, ours->mode)) continue;
    plan.mpnet = ours.get();
    std::vector<contestant*> peers;
    for (const auto& p : m.peers) {
      if (m.pairs(*ours, *p) && selected(o.peers, p->name)) peers.push_back(p.get());
    }
    for (const auto where : {placement::one_core, placement::split, placement::both, placement::oversubscribed}) {
      if (!m.fits(*ours, where) || !selected(o.placements, name_of(where))) continue;
      if (processors_of(where) > plan.processors.size()) {
        std::fprintf(stderr, "SKIP: %s needs two processors\n", std::string{name_of(where)}.c_str());
        continue;
      }
      plan.where = where;
      // Two cores take longer an object, up to a thousand times, and their lines are never warm anyway.
      plan.objects = (o.smoke ? m.objects / 64 : m.objects) / (where == placement::one_core ? 1 : 4);
      for (const auto burst : o.bursts.empty() ? all_bursts : o.bursts) {
        plan.burst = burst;
        run_both_kinds(m, plan, peers, rows);
      }
    }
  }
  return rows;
}

}  // namespace bench
