// SPDX-License-Identifier: BSD-3-Clause
// Lines from a terminal, with editing, history and completion (libedit), or from a pipe.  One reader a process.
#pragma once

#include <editline/readline.h>
#include <poll.h>
#include <unistd.h>
#include <mpnet/eal.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <utility>

namespace line_reader {

// libedit's callbacks carry no context.
inline std::span<const char* const> words;
inline std::function<bool(const std::string&)> handle;
inline bool more = true;
inline const char* prompt_text = "";

inline void terminal_line(char* line) {  // null at Ctrl-D
  if (line != nullptr && *line != '\0') add_history(line);
  more = line != nullptr && handle(line);
  std::free(line);
  if (more) rl_callback_handler_install(prompt_text, terminal_line);  // back to raw input, with a prompt
}

inline char* next_completion(const char* start, int again) {
  static std::size_t next = 0;
  for (next = again == 0 ? 0 : next; next < words.size(); ++next) {
    if (std::strncmp(words[next], start, std::strlen(start)) == 0) return strdup(words[next++]);
  }
  return nullptr;
}

inline void pipe_bytes() {
  static std::string pending;
  char piece[256];
  const ssize_t got = read(STDIN_FILENO, piece, sizeof piece);
  more = got > 0;
  for (ssize_t i = 0; i < got && more; ++i) {
    if (piece[i] != '\n') pending += piece[i];
    if (piece[i] == '\n' && (more = handle(std::exchange(pending, {})))) std::fputs(prompt_text, stdout);
  }
}

/// Calls `on_line` for each line until it returns false, the input ends, or the process is asked to stop.
inline void read_lines(const char* prompt, std::span<const char* const> commands,
                       std::function<bool(const std::string&)> on_line) {
  prompt_text = prompt;
  words = commands;
  handle = std::move(on_line);
  const bool terminal = isatty(STDIN_FILENO) != 0;
  rl_completion_entry_function = next_completion;
  terminal ? rl_callback_handler_install(prompt, terminal_line) : void(std::fputs(prompt, stdout));
  pollfd fds[2] = {{STDIN_FILENO, POLLIN, 0}, {mpnet::stop_fd(), POLLIN, 0}};
  while (more && !mpnet::stop_requested()) {
    std::fflush(stdout);
    if (poll(fds, 2, -1) > 0 && fds[0].revents != 0) terminal ? rl_callback_read_char() : pipe_bytes();
  }
  if (terminal) rl_callback_handler_remove();
}

}  // namespace line_reader
