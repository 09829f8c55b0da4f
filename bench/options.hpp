// SPDX-License-Identifier: BSD-3-Clause
// mpnet-bench's command line.  Every subcommand takes the same options; what one does not use it refuses.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

enum class format { table, json };

/// A wrong command line: exit code 2.
struct usage_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct options {
  std::string command;
  format output = format::table;
  std::string plot_dir;                 // empty: no charts
  bool smoke = false;                   // seconds instead of minutes, and no figure means anything
  unsigned rounds = 0;                  // 0: the subcommand's default
  unsigned kills = 0;                   // kill: 0 means its default
  unsigned objects = 0;                 // recover: 0 means a million
  std::vector<unsigned> bursts;         // empty: 1, 8, 32, 128
  std::vector<std::string> placements;  // empty: all
  std::vector<std::string> peers;       // empty: all that were found
  std::vector<std::string> modes;       // empty: all
  std::vector<unsigned> processors;     // empty: the first two that this process may use
  bool targets = false;                 // ring, pool: say of each target cell whether it was reached
  std::vector<std::string> files;       // report: what --save wrote
  std::string save;                     // also write the rows as JSON to this file
};

/// True where `wanted` is empty or has a prefix of `name` in it.
[[nodiscard]] bool selected(const std::vector<std::string>& wanted, std::string_view name);

[[nodiscard]] options parse_options(int argc, char** argv);
void print_help();

}  // namespace bench
