// SPDX-License-Identifier: BSD-3-Clause
// Command lines of applications, for what follows "--": short and long options, each bad one with a message of its own.
// EAL's options are read by the same code.  Control; any thread.
//
//   unsigned ports = 0;
//   mpnet::parse_args(eal.args(), {
//       {.short_name = 'p', .value_name = "PORTMASK", .help = "ports to use", .required = true,
//        .set = [&](std::string_view text) { ports = mpnet::parse_mask(text); }},
//   });
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mpnet {

struct option {
  char short_name = 0;            // 'p' for -p; 0: none
  std::string_view long_name{};   // "num-procs" for --num-procs; empty: none
  std::string_view value_name{};  // empty: the option takes no value
  std::string_view help{};        // one line
  bool required = false;
  bool repeatable = false;
  // Called for each occurrence; what it throws gains the name of the option.
  std::function<void(std::string_view value)> set{};
};

/// Calls the options' set() in the order of the command line.  "--opt=value" and "--opt value", "-o value" and
/// "-ovalue". Throws error{usage}: unknown option, value missing or not expected, given twice, required one missing, an
/// argument that is no option.  `after` names what may follow a "--" for the message; at a "--" parsing ends. Returns
/// the index after the last argument read.
std::size_t parse_args(std::span<const std::string> arguments, std::span<const option> options);
inline std::size_t parse_args(std::span<const std::string> arguments, std::initializer_list<option> options) {
  return parse_args(arguments, std::span<const option>{options.begin(), options.size()});
}

/// One line for each option, for help texts.
[[nodiscard]] std::string describe_options(std::span<const option> options);

/// A decimal number, or hexadecimal after 0x, in [least, most].  Throws error{usage} that says what is wrong with it.
[[nodiscard]] std::uint64_t parse_number(std::string_view text, std::uint64_t least = 0,
                                         std::uint64_t most = std::numeric_limits<std::uint64_t>::max());
/// A hexadecimal mask, with or without 0x, of at most 64 bits, not 0.  Throws error{usage}.
[[nodiscard]] std::uint64_t parse_mask(std::string_view text);
/// A list such as "0-3,7" of numbers up to `most`: ascending, without duplicates.  Throws error{usage}.
[[nodiscard]] std::vector<unsigned> parse_list(std::string_view text, unsigned most);
/// The reverse: "0-3,7".
[[nodiscard]] std::string format_list(std::span<const unsigned> numbers);

}  // namespace mpnet
