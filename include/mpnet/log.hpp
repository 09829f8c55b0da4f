// SPDX-License-Identifier: BSD-3-Clause
// Control-path logging to stderr, one write a line, prefixed with the component as DPDK does ("EAL: …").
// Never called on a hot path.  Levels and their names follow rte_log.h.
#pragma once

#include <string_view>

namespace mpnet {

enum class log_level : int { emergency = 1, alert, critical, error, warning, notice, info, debug };

/// Writes "COMPONENT: text\n" if `level` passes the component's level.  Any thread.
void log(log_level level, std::string_view component, std::string_view text);

/// Sets the level for one component (case-insensitive), or for all where `component` is empty.  Any thread.
void set_log_level(std::string_view component, log_level level);

/// Whether a line of that level would be written; lets callers skip formatting.
[[nodiscard]] bool log_enabled(log_level level, std::string_view component) noexcept;

/// Parses "debug", "8", "info" …; throws error{usage} otherwise.
[[nodiscard]] log_level parse_log_level(std::string_view text);

}  // namespace mpnet
