// SPDX-License-Identifier: BSD-3-Clause
#include "mem/fork_hooks.hpp"

#include <algorithm>
#include <vector>

namespace mpnet::mem {
namespace {
std::vector<void (*)()>& hooks() {
  static std::vector<void (*)()> list;
  return list;
}
}  // namespace

void at_member_fork(void (*hook)()) {
  if (std::find(hooks().begin(), hooks().end(), hook) == hooks().end()) hooks().push_back(hook);
}

void run_fork_hooks() {
  for (void (*hook)() : hooks()) hook();
}

}  // namespace mpnet::mem
