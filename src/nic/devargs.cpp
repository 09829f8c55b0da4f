// SPDX-License-Identifier: BSD-3-Clause
#include "nic/devargs.hpp"

#include <fmt/format.h>
#include <mpnet/error.hpp>
#include <mpnet/types.hpp>

#include <algorithm>
#include <charconv>

namespace mpnet::nic {

devargs devargs::parse(std::string_view text) {
  devargs result;
  const std::size_t comma = text.find(',');
  result.name_ = text.substr(0, comma);
  if (result.name_.empty()) {
    throw error{errc::usage,
                fmt::format("device '{}': it has no name; write DRIVERn,key=value,… such as net_null0,size=64", text)};
  }
  if (result.name_.size() > max_name_len || result.name_.find_first_of("/= ") != std::string::npos) {
    throw error{errc::usage, fmt::format("device '{}': the name must be 1 to {} characters without '/', '=' and blanks",
                                         result.name_, max_name_len)};
  }
  if (comma == std::string_view::npos) return result;
  std::string_view rest = text.substr(comma + 1);
  result.text_ = rest;
  while (!rest.empty()) {
    const std::size_t end = rest.find(',');
    const std::string_view item = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    if (item.empty()) continue;
    const std::size_t equals = item.find('=');
    if (equals == 0) {
      throw error{errc::usage, fmt::format("device '{}': '{}' has no key; write key=value", result.name_, item)};
    }
    result.pairs_.emplace_back(item.substr(0, equals),
                               equals == std::string_view::npos ? std::string_view{} : item.substr(equals + 1));
  }
  return result;
}

std::optional<std::string> devargs::get(std::string_view key) const {
  const auto found = std::find_if(pairs_.rbegin(), pairs_.rend(), [&](const auto& pair) { return pair.first == key; });
  if (found == pairs_.rend()) return {};
  return found->second;
}

std::vector<std::string> devargs::get_all(std::string_view key) const {
  std::vector<std::string> values;
  for (const auto& [name, value] : pairs_) {
    if (name == key) values.push_back(value);
  }
  return values;
}

std::uint64_t devargs::number(std::string_view key, std::uint64_t fallback, std::uint64_t min,
                              std::uint64_t max) const {
  const std::optional<std::string> text = get(key);
  if (!text) return fallback;
  std::uint64_t value = 0;
  const char* const end = text->data() + text->size();
  const auto [stop, status] = std::from_chars(text->data(), end, value);
  if (status != std::errc{} || stop != end || value < min || value > max) {
    throw error{errc::invalid_argument,
                fmt::format("device '{}': {}={}: not a number from {} to {}", name_, key, *text, min, max)};
  }
  return value;
}

void devargs::allow_only(std::initializer_list<std::string_view> known) const {
  for (const auto& pair : pairs_) {
    if (std::find(known.begin(), known.end(), pair.first) != known.end()) continue;
    std::string list;
    for (const std::string_view key : known) list += (list.empty() ? "" : ", ") + std::string{key};
    throw error{errc::invalid_argument,
                fmt::format("device '{}': no argument '{}'; those known are: {}", name_, pair.first, list)};
  }
}

}  // namespace mpnet::nic
