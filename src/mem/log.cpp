// SPDX-License-Identifier: BSD-3-Clause
// Log lines to stderr and the levels that let them pass.  Levels are rules {glob, level}, the last that matches wins.
// Readers take no lock: a child of fork() may log although another thread of its parent was just changing levels.
#include "mem/log.hpp"

#include <fnmatch.h>
#include <unistd.h>
#include <mpnet/error.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <memory>
#include <mutex>
#include <vector>

namespace mpnet {
namespace {

constexpr log_level default_level = log_level::info;

struct rule {
  std::string glob;  // lower case
  log_level level;
};
using rules = std::vector<rule>;

constinit std::atomic<const rules*> current{nullptr};
constinit std::mutex change_lock;

std::string lower(std::string_view text) {
  std::string result{text};
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

bool matches(const std::string& glob, const std::string& component) {
  if (glob.empty()) return true;
  return fnmatch(glob.c_str(), component.c_str(), 0) == 0 ||
         fnmatch(glob.c_str(), ("lib." + component).c_str(), 0) == 0;
}

log_level level_of(std::string_view component) {
  // [A-log-rules] acquire: the rules behind the pointer are complete.
  const rules* active = current.load(std::memory_order_acquire);
  if (active == nullptr) return default_level;
  const std::string name = lower(component);
  for (auto it = active->rbegin(); it != active->rend(); ++it)
    if (matches(it->glob, name)) return it->level;
  return default_level;
}

constexpr std::array<std::string_view, 8> level_names{"emergency", "alert",  "critical", "error",
                                                      "warning",   "notice", "info",     "debug"};

}  // namespace

void log(log_level level, std::string_view component, std::string_view text) {
  if (!log_enabled(level, component)) return;
  std::string line;
  line.reserve(component.size() + text.size() + 3);
  line.append(component).append(": ").append(text).append("\n");
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody to tell
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

void set_log_level(std::string_view component, log_level level) {
  // Kept for ever, for readers that still hold an older one; levels change a few times in a process's life.
  static auto& kept = *new std::vector<std::unique_ptr<const rules>>;
  const std::lock_guard guard{change_lock};
  auto next = std::make_unique<rules>();
  const std::string glob = lower(component);
  // A level for all replaces everything said before about single components.
  if (!glob.empty() && !kept.empty()) *next = *kept.back();
  std::erase_if(*next, [&](const rule& r) { return r.glob == glob; });
  next->push_back({glob, level});
  kept.push_back(std::move(next));
  // [R-log-rules] release: publishes the rules written above; pairs with [A-log-rules].
  current.store(kept.back().get(), std::memory_order_release);
}

bool log_enabled(log_level level, std::string_view component) noexcept {
  try {
    return level <= level_of(component);
  } catch (...) {  // out of memory: rather a line too many
    return true;
  }
}

log_level parse_log_level(std::string_view text) {
  const std::string name = lower(text);
  if (name.size() == 1 && name[0] >= '1' && name[0] <= '8') return static_cast<log_level>(name[0] - '0');
  std::size_t found = 0;
  int hits = 0;
  for (std::size_t i = 0; i < level_names.size(); ++i) {
    if (name == level_names[i]) return static_cast<log_level>(i + 1);
    if (!name.empty() && level_names[i].starts_with(name)) {
      found = i + 1;
      ++hits;
    }
  }
  if (hits == 1) return static_cast<log_level>(found);
  throw error{errc::usage,
              fmt::format("log level '{}': not a level; give 1 to 8, or emergency, alert, critical, error, "
                          "warning, notice, info or debug",
                          text)};
}

}  // namespace mpnet
