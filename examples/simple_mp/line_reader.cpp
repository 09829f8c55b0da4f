// SPDX-License-Identifier: BSD-3-Clause
#include "line_reader.hpp"

#include <editline/readline.h>
#include <poll.h>
#include <unistd.h>
#include <mpnet/eal.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

// libedit's callbacks carry no context.
std::vector<std::string> words;
std::function<bool(const std::string&)> handle;
bool more = true;

void terminal_line(char* line) {
  if (line == nullptr) {  // Ctrl-D
    std::puts("");
    more = false;
    return;
  }
  if (*line != '\0') add_history(line);
  more = handle(line);
  std::free(line);
}

char* next_completion(const char* start, int again) {
  static std::size_t next = 0;
  if (again == 0) next = 0;
  while (next < words.size()) {
    const std::string& word = words[next++];
    if (word.starts_with(start)) return strdup(word.c_str());
  }
  return nullptr;
}

bool wait_for_input() {
  pollfd fds[2] = {{STDIN_FILENO, POLLIN, 0}, {mpnet::stop_fd(), POLLIN, 0}};
  while (!mpnet::stop_requested()) {
    if (poll(fds, 2, -1) > 0 && fds[0].revents != 0) return true;
  }
  return false;
}

void read_terminal(const char* prompt) {
  rl_completion_entry_function = next_completion;
  rl_callback_handler_install(prompt, terminal_line);
  while (more && wait_for_input()) rl_callback_read_char();
  rl_callback_handler_remove();
}

void read_pipe(const char* prompt) {
  std::string pending;
  char piece[256];
  std::fputs(prompt, stdout);
  while (more && std::fflush(stdout) == 0 && wait_for_input()) {
    const ssize_t got = read(STDIN_FILENO, piece, sizeof piece);
    if (got <= 0) break;
    pending.append(piece, static_cast<std::size_t>(got));
    for (std::size_t end; more && (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
      more = handle(pending.substr(0, end));
      if (more) std::fputs(prompt, stdout);
    }
  }
}

}  // namespace

void read_lines(const char* prompt, std::vector<std::string> commands,
                std::function<bool(const std::string&)> on_line) {
  words = std::move(commands);
  handle = std::move(on_line);
  more = true;
  isatty(STDIN_FILENO) != 0 ? read_terminal(prompt) : read_pipe(prompt);
}
