// SPDX-License-Identifier: BSD-3-Clause
// Lines from a terminal, with editing, history and completion (libedit), or from a pipe, until somebody asks to stop.
#pragma once

#include <functional>
#include <string>
#include <vector>

/// Calls `on_line` for each line until it returns false, the input ends, or the process is to stop.  One at a time.
void read_lines(const char* prompt, std::vector<std::string> commands, std::function<bool(const std::string&)> on_line);
