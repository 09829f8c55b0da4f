// SPDX-License-Identifier: BSD-3-Clause
// mpnet: looks at groups from outside, and cleans up after dead ones.
#include <fmt/format.h>
#include <mpnet/args.hpp>
#include <mpnet/eal.hpp>
#include <mpnet/error.hpp>
#include <mpnet/group_view.hpp>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr const char* usage =
    "Usage: mpnet COMMAND [OPTION]...\n"
    "  ps       the members of all groups, or of one: id, role, pid, state, lcores, command\n"
    "  info     memory, zones, rings, pools, recoveries of a group\n"
    "  clean    removes what dead groups left; a living one is refused\n"
    "Options:\n"
    "  --file-prefix NAME   one group; default: all (info: rte)\n"
    "  --json               one JSON object a line instead of tables\n"
    "  --help               this text\n";

struct options {
  std::string command;
  std::string prefix;
  bool json = false;
};

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

const char* name_of(mpnet::process_state state) {
  switch (state) {
    case mpnet::process_state::joining:
      return "joining";
    case mpnet::process_state::alive:
      return "alive";
    case mpnet::process_state::leaving:
      return "leaving";
    case mpnet::process_state::recovering:
      return "dead";
  }
  return "?";
}

const char* name_of(mpnet::zone_kind kind) {
  switch (kind) {
    case mpnet::zone_kind::raw:
      return "memzone";
    case mpnet::zone_kind::ring:
      return "ring";
    case mpnet::zone_kind::pool:
      return "pool";
    case mpnet::zone_kind::port_table:
      return "port table";
    case mpnet::zone_kind::port:
      return "port";
    default:
      return "other";
  }
}

void print_members(const std::string& group, const options& o) {
  const mpnet::group_view view{group};
  for (const mpnet::process_info& p : view.processes()) {
    std::vector<unsigned> lcores;
    for (const mpnet::lcore id : p.lcores) lcores.push_back(static_cast<unsigned>(id));
    const char* role = p.primary ? "primary" : "secondary";
    if (o.json) {
      fmt::print(
          "{{\"group\":{},\"id\":{},\"role\":\"{}\",\"pid\":{},\"state\":\"{}\",\"lcores\":[{}],\"started\":{},"
          "\"command\":{}}}\n",
          quoted(group), static_cast<unsigned>(p.id), role, p.pid, name_of(p.state), fmt::join(lcores, ","),
          quoted(p.started), quoted(p.command));
    } else {
      fmt::print("{:<16} {:>3} {:<9} {:>7} {:<8} {:<10} {:<19} {}\n", group, static_cast<unsigned>(p.id), role, p.pid,
                 name_of(p.state), lcores.empty() ? "-" : mpnet::format_list(lcores), p.started, p.command);
    }
  }
}

void ps(const options& o) {
  if (!o.json) {
    fmt::print("{:<16} {:>3} {:<9} {:>7} {:<8} {:<10} {:<19} {}\n", "GROUP", "ID", "ROLE", "PID", "STATE", "LCORES",
               "STARTED", "COMMAND");
  }
  const auto groups = o.prefix.empty() ? mpnet::list_groups() : std::vector{o.prefix};
  for (const std::string& group : groups) print_members(group, o);
}

void info(const options& o) {
  const std::string group = o.prefix.empty() ? "rte" : o.prefix;
  const mpnet::group_view view{group};
  const mpnet::memory_stats m = view.memory();
  const bool lives = view.anyone_lives();
  if (o.json) {
    fmt::print(
        "{{\"group\":{},\"alive\":{},\"base\":{},\"cap_bytes\":{},\"committed_bytes\":{},\"used_bytes\":{},"
        "\"blocks\":{},\"devices\":{}}}\n",
        quoted(group), lives, view.base_address(), m.cap_bytes, m.committed_bytes, m.used_bytes, m.block_count,
        quoted(view.devices()));
  } else {
    fmt::print("group {}: {}, at {:#x}, devices '{}'\nmemory: {} kB committed, {} kB used in {} blocks, cap {}\n",
               group, lives ? "alive" : "dead", view.base_address(), view.devices(), m.committed_bytes >> 10,
               m.used_bytes >> 10, m.block_count, m.cap_bytes == 0 ? "none" : fmt::format("{} MiB", m.cap_bytes >> 20));
  }
  for (const mpnet::segment_info& s : view.segments()) {
    fmt::print(fmt::runtime(o.json ? "{{\"segment\":\"{}\",\"page_bytes\":{},\"socket\":{},\"committed_bytes\":{}}}\n"
                                   : "segment {}: pages of {} bytes on socket {}, {} bytes committed\n"),
               s.path, s.page_bytes, static_cast<int>(s.socket), s.committed_bytes);
  }
  for (const mpnet::zone_info& z : view.zones()) {
    fmt::print(fmt::runtime(o.json ? "{{\"kind\":\"{}\",\"name\":{},\"bytes\":{},\"socket\":{}}}\n"
                                   : "{} {}: {} bytes on socket {}\n"),
               name_of(z.kind), o.json ? quoted(z.name) : z.name, z.size_bytes, static_cast<int>(z.socket));
  }
  for (const mpnet::recovery_info& r : view.recoveries()) {
    fmt::print(
        fmt::runtime(o.json ? "{{\"recovery\":{},\"pid\":{},\"command\":{},\"claims\":{},\"objects\":{},\"zones\":{},"
                              "\"blocks\":{},\"queues\":{},\"microseconds\":{},\"conductor\":{}}}\n"
                            : "recovery {}: process {} ({}): {} claims, {} objects, {} zones, {} blocks, {} queues in "
                              "{} us by process {}\n"),
        r.sequence, r.pid, o.json ? quoted(r.command) : r.command, r.claims_rolled_back + r.claims_finished,
        r.objects_returned, r.zones_freed, r.blocks_freed, r.queues_released, r.duration_ns / 1000, r.conductor_pid);
  }
}

int clean(const options& o) {
  int code = 0;
  for (const std::string& group : o.prefix.empty() ? mpnet::list_groups() : std::vector{o.prefix}) {
    try {
      const bool removed = mpnet::clean_group(group);
      fmt::print("{}: {}\n", group, removed ? "removed" : "nothing there");
    } catch (const mpnet::error& e) {
      if (e.kind() != mpnet::errc::busy) throw;
      if (o.prefix.empty()) continue;  // of all groups the living ones are left alone
      std::fprintf(stderr, "mpnet: %s\n", e.what());
      code = 1;
    }
  }
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  return mpnet::run_main([&] {
    options o;
    std::vector<std::string> arguments(argv + 1, argv + argc);
    if (!arguments.empty() && arguments.front().front() != '-') {
      o.command = arguments.front();
      arguments.erase(arguments.begin());
    }
    mpnet::parse_args(arguments,
                      {{.long_name = "file-prefix",
                        .value_name = "NAME",
                        .help = "one group",
                        .set = [&](std::string_view text) { o.prefix = text; }},
                       {.long_name = "json", .help = "JSON", .set = [&](std::string_view) { o.json = true; }},
                       {.short_name = 'h', .long_name = "help", .help = "help", .set = [](std::string_view) {
                          std::fputs(usage, stdout);
                          throw mpnet::exit_request{0};
                        }}});
    if (o.command == "ps") return ps(o), 0;
    if (o.command == "info") return info(o), 0;
    if (o.command == "clean") return clean(o);
    throw mpnet::error{mpnet::errc::usage,
                       fmt::format("'{}' is no command; one of ps, info, clean\n{}", o.command, usage)};
  });
}
