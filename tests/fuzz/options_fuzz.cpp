// SPDX-License-Identifier: BSD-3-Clause
// EAL's command line: any bytes are either understood or refused with a text that has a remedy.  One argument a line.
#include <mpnet/error.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "eal/options.hpp"

using namespace mpnet;

namespace {

void require(bool holds, const char* what, const std::string& text) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s: '%s'\n", what, text.c_str());
  std::abort();
}

void check(const eal_detail::parsed_options& o, const std::string& text) {
  const auto by_id = [](const auto& a, const auto& b) { return a.id >= b.id; };
  require(std::adjacent_find(o.lcores.begin(), o.lcores.end(), by_id) == o.lcores.end(), "lcores ascend", text);
  for (const auto& place : o.lcores) {
    require(place.id < max_lcores && !place.processors.empty(), "an lcore has an id and processors", text);
    require(std::is_sorted(place.processors.begin(), place.processors.end()), "processors ascend", text);
    require(place.processors.back() < eal_detail::max_processors, "processors are in range", text);
  }
  require(o.group.file_prefix.find('/') == std::string::npos, "a prefix stays in its folder", text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text{reinterpret_cast<const char*>(data), size};
  std::vector<std::string> arguments;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size());
    arguments.emplace_back(text.substr(begin, end - begin).c_str());  // an argument ends at a zero byte
    begin = end + 1;
  }
  try {
    check(eal_detail::parse_options(arguments), text);
  } catch (const error& e) {
    require(e.kind() == errc::usage || e.kind() == errc::limit, "it is a usage error", text);
    require(std::string{e.what()}.find(';') != std::string::npos, "it has a remedy", e.what());
  }
  return 0;
}
