// SPDX-License-Identifier: BSD-3-Clause
// EAL's command line: what each option asks for, before anything is done about it.  Pure functions of their text, so
// that tests and the fuzzer can call them anywhere.  Options and grammar follow the DPDK guide, "EAL parameters".
#pragma once

#include <mpnet/group.hpp>
#include <mpnet/log.hpp>
#include <mpnet/types.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mpnet::eal_detail {

inline constexpr unsigned max_processors = 1024;  // CPU_SETSIZE

/// An lcore and the processors that its thread may run on.
struct lcore_place {
  unsigned id = 0;
  std::vector<unsigned> processors;  // ascending
};

struct parsed_options {
  std::vector<lcore_place> lcores;  // ascending by id; empty: one for each processor that the process may use
  std::string lcores_option;        // as written, "-l 0-3"; for messages
  std::optional<unsigned> main_lcore;
  group_options group;                        // .devices is filled from the lists below
  std::vector<std::string> vdevs;             // "net_null0,size=64"
  std::vector<std::string> allowed, blocked;  // PCI addresses "0000:01:00.0", then arguments if any
  bool no_pci = false;
  std::vector<std::pair<std::string, log_level>> log_levels;  // glob (empty: all), level
  bool show_version = false;
  bool show_help = false;
  std::vector<std::string> application;  // what follows "--"
};

/// Throws error{usage}.  After -h the rest is not checked.
[[nodiscard]] parsed_options parse_options(std::span<const std::string> arguments);

/// The text that -h prints.
[[nodiscard]] std::string help_text(std::string_view program);

/// The value of -c, of any length up to max_lcores bits.
[[nodiscard]] std::vector<lcore_place> parse_core_mask(std::string_view text);
/// The value of -l.
[[nodiscard]] std::vector<lcore_place> parse_core_list(std::string_view text);
/// The value of --lcores: LCORES[@PROCESSORS],… where both are N, N-M or (N,M-O,…).
[[nodiscard]] std::vector<lcore_place> parse_core_map(std::string_view text);
/// "0000:01:00.0" from "[DOMAIN:]BUS:DEVICE.FUNCTION", with what follows a comma kept.
[[nodiscard]] std::string parse_pci_address(std::string_view text);
/// The name in "net_null0,size=64"; checked.
[[nodiscard]] std::string vdev_name(std::string_view text);

/// Hexadecimal digits of the mask with those bits set.
[[nodiscard]] std::string format_mask(std::span<const lcore_place> lcores);

}  // namespace mpnet::eal_detail
