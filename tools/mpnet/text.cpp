// SPDX-License-Identifier: BSD-3-Clause
#include <fmt/format.h>

#include "command.hpp"

namespace tool {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {  // names and command lines may be in any encoding: bytes, as Latin-1
      out += fmt::format("\\u{:04x}", byte);
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

int names_of_members::pid_of(mpnet::process_id id) const {
  for (const mpnet::process_info& p : members_) {
    if (p.id == id) return p.pid;
  }
  return 0;
}

}  // namespace tool
