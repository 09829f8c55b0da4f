// SPDX-License-Identifier: BSD-3-Clause
// mpnet clean: removes what dead groups left.
#include <fmt/format.h>
#include <mpnet/error.hpp>

#include <cstdio>
#include <vector>

#include "command.hpp"

namespace tool {
namespace {

void say(const options& o, const std::string& group, const char* what) {
  fmt::print(fmt::runtime(o.json ? "{{\"group\":{},\"result\":\"{}\"}}\n" : "{}: {}\n"), o.json ? quoted(group) : group,
             what);
}

}  // namespace

int clean(const options& o) {
  int code = 0;
  for (const std::string& group : o.prefix.empty() ? mpnet::list_groups() : std::vector{o.prefix}) {
    try {
      say(o, group, mpnet::clean_group(group) ? "removed" : "nothing there");
    } catch (const mpnet::error& e) {
      // One that was asked for is refused; of all groups the living ones are left alone.
      if (!o.prefix.empty()) throw;
      if (e.kind() == mpnet::errc::busy) {
        say(o, group, "alive");
        continue;
      }
      std::fprintf(stderr, "mpnet: %s\n", e.what());
      code = e.exit_code();
    }
  }
  return code;
}

}  // namespace tool
