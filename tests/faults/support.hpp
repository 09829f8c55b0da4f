// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <mpnet/error.hpp>
#include <mpnet/group.hpp>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "support/child.hpp"
#include "support/small_group.hpp"

namespace faults {

using test::small_group;

/// The kind of error that `f` throws, errc{} where it throws none; its text in `text`.
inline mpnet::errc kind_of(const std::function<void()>& f, std::string* text = nullptr) {
  try {
    f();
  } catch (const mpnet::error& e) {
    if (text != nullptr) *text = e.what();
    return e.kind();
  }
  if (text != nullptr) text->clear();
  return mpnet::errc{};
}

/// A runtime directory of the test's own, on a tmpfs, for all groups that this process and its children enter.
class own_runtime {
 public:
  explicit own_runtime(const char* name) : path_("/dev/shm/" + test::unique_prefix(name)) {
    std::filesystem::create_directory(path_);
    ::chmod(path_.c_str(), 0700);
    ::setenv("RUNTIME_DIRECTORY", path_.c_str(), 1);
  }
  ~own_runtime() {
    ::unsetenv("RUNTIME_DIRECTORY");
    std::filesystem::remove_all(path_);
  }
  own_runtime(const own_runtime&) = delete;
  own_runtime& operator=(const own_runtime&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string of(const std::string& prefix, const std::string& file) const {
    return path_ + "/" + prefix + "/" + file;
  }
  /// Whether nothing is in it.
  [[nodiscard]] bool empty() const { return std::filesystem::is_empty(path_); }

 private:
  std::string path_;
};

inline bool is_root() {
  if (::geteuid() == 0) return true;
  WARN("SKIP: only root can do that");
  return false;
}

/// Puts the calling process, a child of the test's, into a mount namespace of its own; false where that is refused.
inline bool own_mounts() {
  return ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

}  // namespace faults
