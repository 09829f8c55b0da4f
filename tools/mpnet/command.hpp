// SPDX-License-Identifier: BSD-3-Clause
// What the commands of `mpnet` have in common.
#pragma once

#include <mpnet/group_view.hpp>
#include <mpnet/pool_view.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace tool {

struct options {
  std::string prefix;  // empty: not given
  bool json = false;
};

/// Each returns the exit code.
int ps(const options& o);
int info(const options& o);
int clean(const options& o);

/// `text` as a string of JSON.
std::string quoted(std::string_view text);

/// The pids of a group's members.
class names_of_members {
 public:
  explicit names_of_members(const mpnet::group_view& view) : members_(view.processes()) {}
  /// 0 where no such member is there any more.
  [[nodiscard]] int pid_of(mpnet::process_id id) const;

 private:
  std::vector<mpnet::process_info> members_;
};

}  // namespace tool
