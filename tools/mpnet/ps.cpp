// SPDX-License-Identifier: BSD-3-Clause
// mpnet ps: the members of groups.
#include <fmt/format.h>
#include <mpnet/args.hpp>
#include <mpnet/error.hpp>

#include <cstdio>
#include <vector>

#include "command.hpp"

namespace tool {
namespace {

constexpr const char* row = "{:<16} {:>3} {:<9} {:>7} {:<10} {:<10} {:>8} {:<19} {}\n";

const char* name_of(mpnet::process_state state) {
  switch (state) {
    case mpnet::process_state::joining:
      return "joining";
    case mpnet::process_state::alive:
      return "alive";
    case mpnet::process_state::leaving:
      return "leaving";
    case mpnet::process_state::dead:
      return "dead";
    case mpnet::process_state::recovering:
      return "recovering";
  }
  return "?";
}

/// The role of a dead process went with it.
const char* role_of(const mpnet::process_info& p) {
  if (p.primary) return "primary";
  const bool dead = p.state == mpnet::process_state::dead || p.state == mpnet::process_state::recovering;
  return dead ? "-" : "secondary";
}

struct holding {
  std::string pool;
  std::size_t objects = 0;
};

struct holdings {
  std::vector<holding> pools;
  std::size_t sum = 0;
  bool known = true;  // all pools could be read
};

holdings held_by(const std::vector<mpnet::pool_snapshot>& pools, mpnet::process_id id) {
  holdings found;
  for (const mpnet::pool_snapshot& pool : pools) {
    found.known = found.known && pool.readable;
    for (const auto& holder : pool.holders) {
      if (holder.process != id) continue;
      found.pools.push_back({pool.name, holder.objects});
      found.sum += holder.objects;
    }
  }
  return found;
}

std::string json_of(const holdings& held) {
  std::string list;
  for (const holding& h : held.pools)
    list += fmt::format("{}{}:{}", list.empty() ? "" : ",", quoted(h.pool), h.objects);
  return "{" + list + "}";
}

void print_members(const std::string& group, const options& o) {
  const mpnet::group_view view{group};
  const std::vector<mpnet::pool_snapshot> pools = list_pools(view);
  for (const mpnet::process_info& p : view.processes()) {
    std::vector<unsigned> lcores;
    for (const mpnet::lcore id : p.lcores) lcores.push_back(static_cast<unsigned>(id));
    const holdings held = held_by(pools, p.id);
    const std::string sum = held.known ? fmt::format("{}", held.sum) : "?";
    if (o.json) {
      fmt::print(
          "{{\"group\":{},\"id\":{},\"incarnation\":{},\"role\":\"{}\",\"pid\":{},\"state\":\"{}\",\"lcores\":[{}],"
          "\"objects\":{},\"pools\":{},\"started\":{},\"command\":{}}}\n",
          quoted(group), static_cast<unsigned>(p.id), p.incarnation, role_of(p), p.pid, name_of(p.state),
          fmt::join(lcores, ","), held.known ? sum : "null", json_of(held), quoted(p.started), quoted(p.command));
    } else {
      fmt::print(row, group, static_cast<unsigned>(p.id), role_of(p), p.pid, name_of(p.state),
                 lcores.empty() ? "-" : mpnet::format_list(lcores), sum, p.started, p.command);
    }
  }
}

}  // namespace

int ps(const options& o) {
  if (!o.json) fmt::print(row, "GROUP", "ID", "ROLE", "PID", "STATE", "LCORES", "OBJECTS", "STARTED", "COMMAND");
  if (!o.prefix.empty()) return print_members(o.prefix, o), 0;
  int code = 0;
  for (const std::string& group : mpnet::list_groups()) {
    try {
      print_members(group, o);
    } catch (const mpnet::error& e) {
      if (e.kind() == mpnet::errc::not_found) continue;  // its last member left meanwhile, or it is of another boot
      std::fprintf(stderr, "mpnet: %s\n", e.what());
      code = e.exit_code();
    }
  }
  return code;
}

}  // namespace tool
