// SPDX-License-Identifier: BSD-3-Clause
// Rows of results: statistics over samples, JSON, tables for people, and whether the targets were reached.
#pragma once

#include "cell.hpp"
#include "options.hpp"

#include <string>
#include <vector>

namespace bench {

/// One line of the report.  `spread` is the distance between the quartiles of the pairwise ratios.
struct row {
  std::string structure, mode, placement;
  unsigned burst = 0;
  double mpnet_cycles = 0;
  std::string peer;
  double peer_cycles = 0;
  double ratio = 0;
  double spread = 0;
  double line_rtt_cycles = 0;  // 0: one processor
  unsigned rounds = 0;
  std::string more{};  // further fields, as they stand in JSON, each after a comma
};

inline constexpr const char* physical_limit = "physical limit";

[[nodiscard]] double quantile(std::vector<double> values, double at);
[[nodiscard]] inline double median(std::vector<double> values) {
  return quantile(std::move(values), 0.5);
}

/// Makes the rows of a cell: one a peer, or two where some rounds were near and others far; and the physical limit's.
void append_rows(std::vector<row>& rows, const cell_plan& plan, std::string_view structure,
                 const std::vector<std::vector<sample>>& samples);

/// "near", "far", or "" where there is one processor.
[[nodiscard]] std::string_view distance_of(const row& r);

[[nodiscard]] std::string json_of(const row& r);
/// Tables, one for each structure, mode, placement and distance.  Markdown, so that they can go into a document.
[[nodiscard]] std::string tables_of(const std::vector<row>& rows);
/// A table of every target that these rows can answer: the bound, what was measured, reached or missed.
[[nodiscard]] std::string targets_of(const std::vector<row>& rows);

/// Prints what the options ask for, saves, plots.
void publish(const options& o, const std::vector<row>& rows);

/// Writes the rows to --save's file and the charts to --plot's directory, where asked.
void save(const options& o, const std::vector<row>& rows);

/// chart.cpp: one SVG for each table.
void write_charts(const std::string& directory, const std::vector<row>& rows);

}  // namespace bench
