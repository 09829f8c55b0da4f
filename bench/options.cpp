// SPDX-License-Identifier: BSD-3-Clause
// Reads mpnet-bench's command line.
#include "options.hpp"

#include <fmt/format.h>

#include <charconv>

namespace bench {
namespace {

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto comma = text.find(',');
    if (const auto part = text.substr(0, comma); !part.empty()) parts.emplace_back(part);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
  }
  return parts;
}

unsigned number(std::string_view option, std::string_view text) {
  unsigned value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || end != text.data() + text.size()) {
    throw usage_error{fmt::format("{}: '{}' is not a number", option, text)};
  }
  return value;
}

std::vector<unsigned> numbers(std::string_view option, std::string_view text) {
  std::vector<unsigned> values;
  for (const auto& part : split(text)) values.push_back(number(option, part));
  return values;
}

constexpr std::string_view commands[] = {"ring",    "pool",   "forward", "nic",   "kill",
                                         "recover", "attach", "ipc",     "report"};
constexpr std::string_view placements[] = {"one-core", "two-cores-split", "two-cores-both", "oversubscribed"};

void check_placements(const options& o) {
  for (const auto& wanted : o.placements) {
    bool known = false;
    for (const auto placement : placements) known = known || placement.starts_with(wanted);
    if (!known) {
      throw usage_error{fmt::format("--placement: '{}' is none of {}", wanted, fmt::join(placements, ", "))};
    }
  }
}

void take_value(options& o, std::string_view name, std::string_view value) {
  if (name == "--format") {
    if (value != "json" && value != "table") throw usage_error{"--format: json or table"};
    o.output = value == "json" ? format::json : format::table;
  } else if (name == "--plot") {
    o.plot_dir = value;
  } else if (name == "--save") {
    o.save = value;
  } else if (name == "--rounds") {
    o.rounds = number(name, value);
  } else if (name == "--kills") {
    o.kills = number(name, value);
  } else if (name == "--objects") {
    o.objects = number(name, value);
  } else if (name == "--burst") {
    o.bursts = numbers(name, value);
  } else if (name == "--processors") {
    o.processors = numbers(name, value);
  } else if (name == "--placement") {
    o.placements = split(value);
  } else if (name == "--peers") {
    o.peers = split(value);
  } else if (name == "--modes") {
    o.modes = split(value);
  } else {
    throw usage_error{fmt::format("unknown option {}; see mpnet-bench --help", name)};
  }
}

}  // namespace

bool selected(const std::vector<std::string>& wanted, std::string_view name) {
  if (wanted.empty()) return true;
  for (const auto& w : wanted) {
    if (name.starts_with(w)) return true;
  }
  return false;
}

options parse_options(int argc, char** argv) {
  options o;
  if (argc < 2) throw usage_error{"which benchmark? see mpnet-bench --help"};
  o.command = argv[1];
  if (o.command == "--help" || o.command == "-h") return o;
  bool known = false;
  for (const auto command : commands) known = known || command == o.command;
  if (!known) throw usage_error{fmt::format("'{}' is none of {}", o.command, fmt::join(commands, ", "))};
  for (int i = 2; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      o.command = "--help";
      return o;
    }
    if (o.command == "report" && !argument.starts_with("--")) {
      o.files.emplace_back(argument);
    } else if (argument == "--smoke") {
      o.smoke = true;
    } else if (argument == "--targets") {
      o.targets = true;
    } else if (const auto equals = argument.find('='); equals != std::string_view::npos) {
      take_value(o, argument.substr(0, equals), argument.substr(equals + 1));
    } else if (i + 1 < argc) {
      take_value(o, argument, argv[++i]);
    } else {
      throw usage_error{fmt::format("{}: unknown, or its value is missing; see mpnet-bench --help", argument)};
    }
  }
  for (const auto burst : o.bursts) {
    if (burst == 0 || burst > 256) throw usage_error{"--burst: 1 to 256"};
  }
  check_placements(o);
  return o;
}

void print_help() {
  fmt::print(R"(usage: mpnet-bench COMMAND [OPTIONS]

  ring      rings beside those of DPDK, ck, Boost, moodycamel, atomic_queue and TBB, as far as found when built
  pool      pools beside DPDK's mempool with caches of 256 and 512
  forward   packets per second through null ports and through a server-to-clients pipeline, beside DPDK
  nic       cycles a packet of the igb driver, on a software 82576
  kill      kills a busy process again and again: wedges, objects lost, repairs by kind, time until survivors proceed
  recover   from the kernel's word of a death until all is back, with a pool of a million objects
  attach    how long a process takes to join a group, beside a DPDK secondary
  ipc       round trip of a request between two processes, beside rte_mp
  report    FILES: tables, charts and verdicts of runs that --save wrote; of a cell's rows the one of most rounds

  --format json|table    one JSON object a row, or tables for people (the default)
  --save FILE            also write the JSON rows to FILE
  --plot DIR             write charts as SVG
  --targets              say of each target whether it was reached
  --smoke                a run of seconds that shows that everything works; its figures mean nothing
  --rounds N             rounds of each pair; a pair is one run of mpnet and one of the peer, one after the other
  --burst LIST           objects a call; default 1,8,32,128
  --placement LIST       one-core, two-cores-split (one produces, one consumes), two-cores-both, oversubscribed
  --peers LIST           prefixes of peers' names
  --modes LIST           prefixes of modes' names
  --processors A,B       the processors to run on
  --kills N              kill: how many
  --objects N            recover: the pool's
)");
}

}  // namespace bench
