// SPDX-License-Identifier: BSD-3-Clause
#include "mem/runtime_dir.hpp"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <mpnet/types.hpp>

#include <cstdlib>

#include "mem/system.hpp"

namespace mpnet::mem {
namespace {

/// Makes `path` unless it is there, and refuses what somebody else could have planted.
void make_private_dir(const std::string& path) {
  struct stat st {};
  for (int tries = 0;; ++tries) {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
      throw system_error(fmt::format("make runtime directory {}", path), errno,
                         "choose another with the environment variable RUNTIME_DIRECTORY");
    }
    if (::lstat(path.c_str(), &st) == 0) break;
    // The last member of a group removed it between our two calls.
    if (errno != ENOENT || tries == 1000) {
      throw system_error(fmt::format("examine runtime directory {}", path), errno);
    }
  }
  const auto refuse = [&path](std::string_view why, std::string_view remedy) {
    throw error{errc::permission, fmt::format("runtime directory {}: {}; {}", path, why, remedy)};
  };
  if (!S_ISDIR(st.st_mode)) refuse("it is not a directory but a link or a file", "remove it and start again");
  if (st.st_uid != ::geteuid()) {
    refuse(fmt::format("it belongs to user {}", st.st_uid), "run as that user, or set RUNTIME_DIRECTORY");
  }
  if ((st.st_mode & 077) != 0) {
    refuse(fmt::format("others may enter it (mode {:04o})", st.st_mode & 07777), fmt::format("chmod 0700 {}", path));
  }
}

bool on_tmpfs(const std::string& path) {
  struct statfs fs {};
  return ::statfs(path.c_str(), &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

}  // namespace

std::string runtime_root() {
  std::string root;
  if (const char* given = std::getenv("RUNTIME_DIRECTORY"); given != nullptr && *given != '\0') {
    root = given;
  } else if (::geteuid() == 0) {
    root = "/run/mpnet";
  } else if (const char* xdg = std::getenv("XDG_RUNTIME_DIR"); xdg != nullptr && *xdg != '\0') {
    root = fmt::format("{}/mpnet", xdg);
  } else {
    root = fmt::format("/tmp/mpnet-{}", ::geteuid());
  }
  make_private_dir(root);
  return root;
}

std::string shared_root(const std::string& runtime_root) {
  if (on_tmpfs(runtime_root)) return runtime_root;
  // A chosen runtime directory gets a shared one of its own, so that two choices never meet in /dev/shm.
  std::string tail;
  for (const char c : runtime_root) tail += c == '/' ? '_' : c;
  std::string root = fmt::format("/dev/shm/mpnet-{}{}", ::geteuid(), tail);
  make_private_dir(root);
  return root;
}

std::string group_dir(const std::string& root, std::string_view prefix) {
  check_name("--file-prefix", prefix);
  std::string path = fmt::format("{}/{}", root, prefix);
  make_private_dir(path);
  return path;
}

void check_name(std::string_view what, std::string_view name) {
  const auto bad = [&](std::string_view why) {
    throw error{errc::invalid_argument, fmt::format("{} '{}': {}", what, name, why)};
  };
  if (name.empty()) bad("a name must not be empty");
  if (name.size() > max_name_len) bad(fmt::format("a name has at most {} bytes", max_name_len));
  if (name == "." || name == "..") bad("'.' and '..' are no names");
  for (const char c : name) {
    if (c == '/' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      bad("'/' and control characters are not allowed");
  }
}

}  // namespace mpnet::mem
