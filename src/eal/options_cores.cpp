// SPDX-License-Identifier: BSD-3-Clause
// The three ways to say which lcores a process has: mask, list, and map of lcores to processors.
//
//   map   := entry { ',' entry }
//   entry := set [ '@' set ]          the lcores, and the processors that each of them may run on
//   set   := N | N '-' M | '(' item { ',' item } ')'        item := N | N '-' M
//
// Without '@', a set in parentheses is also the set of processors of each of its lcores, and N-M puts each lcore on the
// processor of its number.
#include <fmt/format.h>
#include <mpnet/args.hpp>
#include <mpnet/error.hpp>

#include <algorithm>
#include <cctype>

#include "eal/options.hpp"

namespace mpnet::eal_detail {
namespace {

constexpr unsigned last_lcore = max_lcores - 1;

[[noreturn]] void fail(std::string text) {
  throw error{errc::usage, std::move(text)};
}

std::vector<lcore_place> one_to_one(const std::vector<unsigned>& ids) {
  std::vector<lcore_place> places;
  for (const unsigned id : ids) places.push_back({id, {id}});
  return places;
}

std::string without_blanks(std::string_view text) {
  std::string result;
  std::copy_if(text.begin(), text.end(), std::back_inserter(result), [](unsigned char c) { return !std::isspace(c); });
  return result;
}

struct set {
  std::vector<unsigned> numbers;
  bool grouped = false;
};

class map_parser {
 public:
  explicit map_parser(std::string_view text) : rest_{text} {}

  std::vector<lcore_place> run() {
    if (rest_.empty()) fail("the map is empty; give one such as 0-1 or (0-3)@(0,1)");
    do {
      entry();
    } while (consume(','));
    if (!rest_.empty()) fail(fmt::format("unexpected '{}'; separate entries by commas, as in 0@0,(1-3)@1", rest_));
    std::sort(places_.begin(), places_.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    return std::move(places_);
  }

 private:
  bool consume(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  set parse_set(unsigned most, std::string_view what) {
    if (consume('(')) {
      const auto close = rest_.find(')');
      if (close == rest_.npos) fail(fmt::format("the parenthesis before '{}' is not closed; write (0,2-3)", rest_));
      const std::string_view inside = rest_.substr(0, close);
      rest_.remove_prefix(close + 1);
      if (inside.empty()) fail(fmt::format("a set of {} is empty; write at least one number into it", what));
      return {parse_list(inside, most), true};
    }
    const std::string_view item = rest_.substr(0, rest_.find_first_of(",@"));
    if (item.empty()) fail(fmt::format("a set of {} is missing; give one such as 0-1 or (0,2)", what));
    rest_.remove_prefix(item.size());
    return {parse_list(item, most), false};
  }

  void entry() {
    const set ids = parse_set(last_lcore, "lcores");
    if (consume('@')) {
      const set processors = parse_set(max_processors - 1, "processors");
      for (const unsigned id : ids.numbers) add({id, processors.numbers});
    } else {
      for (const unsigned id : ids.numbers) add({id, ids.grouped ? ids.numbers : std::vector{id}});
    }
  }

  void add(lcore_place place) {
    const bool taken = std::any_of(places_.begin(), places_.end(), [&](const auto& p) { return p.id == place.id; });
    if (taken) {
      fail(
          fmt::format("lcore {} appears twice; list it once, and put several processors in parentheses, as in "
                      "(0-3)@(0,1)",
                      place.id));
    }
    places_.push_back(std::move(place));
  }

  std::string_view rest_;
  std::vector<lcore_place> places_;
};

}  // namespace

std::vector<lcore_place> parse_core_mask(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with("0x") || digits.starts_with("0X")) digits.remove_prefix(2);
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isxdigit(c); }))
    fail("not a hexadecimal mask; set a bit for each lcore, as in -c 3 for lcores 0 and 1");
  std::vector<unsigned> ids;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const char c = digits[digits.size() - 1 - i];
    const int nibble = c <= '9' ? c - '0' : std::tolower(static_cast<unsigned char>(c)) - 'a' + 10;
    for (unsigned bit = 0; bit < 4; ++bit) {
      if (((nibble >> bit) & 1) == 0) continue;
      const std::size_t id = i * 4 + bit;
      if (id > last_lcore) fail(fmt::format("lcore {} is out of range; the highest is {}", id, last_lcore));
      ids.push_back(static_cast<unsigned>(id));
    }
  }
  if (ids.empty()) fail("the mask is empty; set a bit for each lcore, as in -c 3 for lcores 0 and 1");
  return one_to_one(ids);
}

std::vector<lcore_place> parse_core_list(std::string_view text) {
  return one_to_one(parse_list(without_blanks(text), last_lcore));
}

std::vector<lcore_place> parse_core_map(std::string_view text) {
  const std::string compact = without_blanks(text);
  return map_parser{compact}.run();
}

std::string format_mask(std::span<const lcore_place> lcores) {
  std::string digits(max_lcores / 4, '0');
  for (const lcore_place& place : lcores) {
    char& digit = digits[digits.size() - 1 - place.id / 4];
    const int value = (digit <= '9' ? digit - '0' : digit - 'a' + 10) | (1 << (place.id % 4));
    digit = static_cast<char>(value < 10 ? '0' + value : 'a' + value - 10);
  }
  const auto first = digits.find_first_not_of('0');
  return first == digits.npos ? "0" : digits.substr(first);
}

}  // namespace mpnet::eal_detail
