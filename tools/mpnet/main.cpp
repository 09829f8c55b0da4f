// SPDX-License-Identifier: BSD-3-Clause
// mpnet: looks at groups from outside, and cleans up after dead ones.
#include <fmt/format.h>
#include <mpnet/args.hpp>
#include <mpnet/eal.hpp>
#include <mpnet/error.hpp>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "command.hpp"

namespace {

constexpr const char* usage =
    "Usage: mpnet COMMAND [OPTION]...\n"
    "  ps       members of all groups or one: id, role, pid, state, lcores, pool objects held, command\n"
    "  info     a group's memory, zones, rings, pools and who holds their objects, ports, queues and who\n"
    "           drives them, recoveries\n"
    "  clean    removes what dead groups left; a living one is refused\n"
    "Options:\n"
    "  --file-prefix NAME   one group; without it all groups (info: rte)\n"
    "  --json               one JSON object a line instead of text\n"
    "  -h, --help           this text\n"
    "Exit code: 0, or 1 where the machine or the group refused, or 2 for a wrong command line.\n"
    "ps and info map a group's config read-only and read its files: nobody notices, and a dead group can be\n"
    "looked at too.\n";

struct command {
  std::string_view name;
  int (*run)(const tool::options&);
};
constexpr command commands[] = {{"ps", tool::ps}, {"info", tool::info}, {"clean", tool::clean}};

int run(std::vector<std::string> arguments) {
  std::string name;
  if (!arguments.empty() && !arguments.front().starts_with('-')) {
    name = arguments.front();
    arguments.erase(arguments.begin());
  }
  tool::options o;
  const std::size_t read = mpnet::parse_args(
      arguments, {{.long_name = "file-prefix",
                   .value_name = "NAME",
                   .help = "one group",
                   .set =
                       [&](std::string_view text) {
                         if (text.empty()) throw mpnet::error{mpnet::errc::usage, "a name is missing; give a prefix"};
                         o.prefix = text;
                       }},
                  {.long_name = "json", .help = "JSON", .set = [&](std::string_view) { o.json = true; }},
                  {.short_name = 'h', .long_name = "help", .help = "help", .set = [](std::string_view) {
                     std::fputs(usage, stdout);
                     throw mpnet::exit_request{0};
                   }}});
  if (read != arguments.size()) {
    throw mpnet::error{mpnet::errc::usage, fmt::format("'{}' is no option; see mpnet --help", arguments[read])};
  }
  for (const command& c : commands) {
    if (c.name != name) continue;
    try {
      return c.run(o);
    } catch (const mpnet::error& e) {
      if (e.kind() != mpnet::errc::invalid_argument) throw;
      throw mpnet::error{mpnet::errc::usage, e.what()};  // the prefix is the only argument there is
    }
  }
  throw mpnet::error{mpnet::errc::usage, fmt::format("'{}' is no command; one of ps, info, clean\n{}", name, usage)};
}

}  // namespace

int main(int argc, char** argv) {
  return mpnet::run_main([&] { return run({argv + 1, argv + argc}); });
}
