// SPDX-License-Identifier: BSD-3-Clause
// How the library's own layers write log lines: include/mpnet/log.hpp with fmt.  Arguments are formatted only when the
// line would be written.  Control path only; any thread.
#pragma once

#include <fmt/format.h>
#include <mpnet/log.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace mpnet {

template <class... Args>
void log_fmt(log_level level, std::string_view component, fmt::format_string<Args...> format, Args&&... args) {
  if (!log_enabled(level, component)) return;
  log(level, component, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace mpnet
