// SPDX-License-Identifier: BSD-3-Clause
// Command lines: options against a table, and the values that many of them share.  Any thread; no state.
// Every message names the option as it was written, what is wrong with it, and what would be right.
#include <fmt/format.h>
#include <mpnet/args.hpp>
#include <mpnet/error.hpp>

#include <algorithm>
#include <charconv>
#include <optional>

namespace mpnet {
namespace {

[[noreturn]] void fail(std::string text) {
  throw error{errc::usage, std::move(text)};
}

std::string spelled(const option& o) {
  return o.long_name.empty() ? fmt::format("-{}", o.short_name) : fmt::format("--{}", o.long_name);
}

std::string all_names(std::span<const option> options) {
  if (options.size() > 12) return "-h lists the options";
  std::string names;
  for (const option& o : options) names += (names.empty() ? "" : ", ") + spelled(o);
  return names.empty() ? "there are none" : "there are " + names;
}

const option* find_short(std::span<const option> options, char name) {
  const auto it = std::find_if(options.begin(), options.end(), [&](const option& o) { return o.short_name == name; });
  return name == 0 || it == options.end() ? nullptr : &*it;
}

const option* find_long(std::span<const option> options, std::string_view name) {
  const auto it = std::find_if(options.begin(), options.end(), [&](const option& o) { return o.long_name == name; });
  return name.empty() || it == options.end() ? nullptr : &*it;
}

class parser {
 public:
  parser(std::span<const std::string> arguments, std::span<const option> options)
      : arguments_{arguments}, options_{options}, seen_(options.size(), false) {}

  std::size_t run() {
    while (next_ < arguments_.size()) {
      const std::string_view argument = arguments_[next_++];
      if (argument == "--") break;
      if (argument.starts_with("--")) {
        long_option(argument);
      } else if (argument.size() > 1 && argument[0] == '-') {
        short_options(argument);
      } else {
        fail(
            fmt::format("argument '{}': not an option and not the value of one; arguments of an application go after "
                        "'--'",
                        argument));
      }
    }
    for (std::size_t i = 0; i < options_.size(); ++i)
      if (options_[i].required && !seen_[i]) {
        fail(fmt::format("option '{0}' is missing; give {0} {1} ({2})", spelled(options_[i]), options_[i].value_name,
                         options_[i].help));
      }
    return next_;
  }

 private:
  void long_option(std::string_view argument) {
    const auto equals = argument.find('=');
    const std::string_view name = argument.substr(2, equals == argument.npos ? argument.npos : equals - 2);
    const option* o = find_long(options_, name);
    if (o == nullptr) fail(fmt::format("option '--{}': unknown; {}", name, all_names(options_)));
    const std::string written = fmt::format("--{}", name);
    if (o->value_name.empty()) {
      if (equals != argument.npos)
        fail(fmt::format("option '{}': takes no value; leave out what follows it", argument));
      apply(*o, written, {});
    } else {
      apply(*o, written, equals == argument.npos ? following_value(*o, written) : argument.substr(equals + 1));
    }
  }

  void short_options(std::string_view argument) {
    for (std::size_t i = 1; i < argument.size(); ++i) {
      const option* o = find_short(options_, argument[i]);
      const std::string written = fmt::format("-{}", argument[i]);
      if (o == nullptr) fail(fmt::format("option '{}': unknown; {}", written, all_names(options_)));
      if (!o->value_name.empty()) {
        std::string_view value = argument.substr(i + 1);
        if (value.starts_with('=')) value.remove_prefix(1);
        apply(*o, written, i + 1 < argument.size() ? value : following_value(*o, written));
        return;
      }
      apply(*o, written, {});
    }
  }

  /// The next argument, unless it is an option itself.
  std::string_view following_value(const option& o, const std::string& written) {
    if (next_ < arguments_.size()) {
      const std::string_view value = arguments_[next_];
      const bool is_option = value == "--" ||
                             (value.starts_with("--") && find_long(options_, value.substr(2, value.find('=') - 2))) ||
                             (value.size() == 2 && value[0] == '-' && find_short(options_, value[1]) != nullptr);
      if (!is_option) {
        ++next_;
        return value;
      }
    }
    fail(fmt::format("option '{0}': a value is missing; give {0} {1} ({2})", written, o.value_name, o.help));
  }

  void apply(const option& o, const std::string& written, std::string_view value) {
    const auto index = static_cast<std::size_t>(&o - options_.data());
    if (seen_[index] && !o.repeatable) fail(fmt::format("option '{}': given twice; leave one out", written));
    seen_[index] = true;
    try {
      if (o.set) o.set(value);
    } catch (const error& e) {
      const std::string_view equals = o.value_name.empty() ? "" : written.starts_with("--") ? "=" : " ";
      throw error{e.kind(), fmt::format("option '{}{}{}': {}", written, equals, value, e.what())};
    }
  }

  std::span<const std::string> arguments_;
  std::span<const option> options_;
  std::vector<bool> seen_;
  std::size_t next_ = 0;
};

std::optional<std::uint64_t> to_number(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || code != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

}  // namespace

std::size_t parse_args(std::span<const std::string> arguments, std::span<const option> options) {
  return parser{arguments, options}.run();
}

std::string describe_options(std::span<const option> options) {
  std::string text;
  for (const option& o : options) {
    std::string left = "  ";
    if (o.short_name != 0) left += fmt::format("-{}{}", o.short_name, o.long_name.empty() ? "" : ", ");
    if (!o.long_name.empty()) left += fmt::format("--{}", o.long_name);
    if (!o.value_name.empty()) left += fmt::format(" {}", o.value_name);
    text += fmt::format("{:<32} {}\n", left, o.help);
  }
  return text;
}

std::uint64_t parse_number(std::string_view text, std::uint64_t least, std::uint64_t most) {
  const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  const auto value = hexadecimal ? to_number(text.substr(2), 16) : to_number(text, 10);
  const std::string range = most == std::numeric_limits<std::uint64_t>::max()
                                ? fmt::format("a number from {}", least)
                                : fmt::format("a number from {} to {}", least, most);
  if (!value) fail(fmt::format("'{}' is not a number; give {}", text, range));
  if (*value < least || *value > most) fail(fmt::format("{} is out of range; give {}", text, range));
  return *value;
}

std::uint64_t parse_mask(std::string_view text) {
  const bool prefixed = text.starts_with("0x") || text.starts_with("0X");
  const auto value = to_number(prefixed ? text.substr(2) : text, 16);
  if (!value) fail(fmt::format("'{}' is not a hexadecimal mask of at most 64 bits; give one such as 0x3", text));
  if (*value == 0) fail("the mask is empty; set a bit for each that is wanted, as in 0x3 for 0 and 1");
  return *value;
}

std::vector<unsigned> parse_list(std::string_view text, unsigned most) {
  constexpr std::string_view remedy = "give numbers and ranges such as 0-3,7";
  std::vector<unsigned> numbers;
  std::string_view rest = text;
  do {
    const std::string_view item = rest.substr(0, rest.find(','));
    const bool last = item.size() == rest.size();
    rest.remove_prefix(last ? item.size() : item.size() + 1);
    const auto dash = item.find('-');
    const auto first = to_number(item.substr(0, dash), 10);
    const auto end = dash == item.npos ? first : to_number(item.substr(dash + 1), 10);
    if (item.empty()) fail(fmt::format("a number is missing; {}", remedy));
    if (!first || !end) fail(fmt::format("'{}' is neither a number nor a range; {}", item, remedy));
    if (*first > *end) fail(fmt::format("range '{}' runs backwards; write {}-{}", item, *end, *first));
    if (*end > most) fail(fmt::format("{} is out of range; the highest number is {}", *end, most));
    for (auto n = static_cast<unsigned>(*first); n <= *end; ++n) numbers.push_back(n);
    if (last) break;
  } while (true);
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

std::string format_list(std::span<const unsigned> numbers) {
  std::string text;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t end = i;
    while (end + 1 < numbers.size() && numbers[end + 1] == numbers[end] + 1) ++end;
    text += fmt::format("{}{}", text.empty() ? "" : ",", numbers[i]);
    if (end > i) text += fmt::format("-{}", numbers[end]);
    i = end + 1;
  }
  return text;
}

}  // namespace mpnet
