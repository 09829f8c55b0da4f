// SPDX-License-Identifier: BSD-3-Clause
// Runtime directories that are not ours alone, and what somebody may have planted in them.
#include <fcntl.h>
#include <mpnet/ipc.hpp>
#include <mpnet/memzone.hpp>

#include "faults/support.hpp"
#include "mem/nudge.hpp"

using namespace mpnet;
using namespace faults;

namespace {

/// A file that must keep its contents, whatever links lead to it.
class bystander {
 public:
  explicit bystander(const own_runtime& runtime) : path_(runtime.path() + "-bystander") {
    std::ofstream{path_} << "untouched";
  }
  ~bystander() { std::filesystem::remove(path_); }
  bystander(const bystander&) = delete;
  bystander& operator=(const bystander&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool untouched() const {
    std::ifstream file{path_};
    return std::string{std::istreambuf_iterator<char>{file}, {}} == "untouched" && std::filesystem::exists(path_);
  }

 private:
  std::string path_;
};

errc enter(std::string& text) {
  return kind_of([] { const group g{small_group("x")}; }, &text);
}

}  // namespace

TEST_CASE("directory: one that others may enter is refused with the command that mends it", "[faults][bad-input]") {
  const own_runtime runtime{"mode"};
  std::string text;
  for (const mode_t mode : {0755, 0770, 0701, 0777}) {
    ::chmod(runtime.path().c_str(), mode);
    CHECK(enter(text) == errc::permission);
    CHECK_THAT(text, Catch::Contains("others may enter it") && Catch::Contains("chmod 0700 " + runtime.path()));
  }
  ::chmod(runtime.path().c_str(), 0700);
  CHECK(enter(text) == errc{});
  std::filesystem::create_directory(runtime.path() + "/x");
  ::chmod((runtime.path() + "/x").c_str(), 0755);
  CHECK(enter(text) == errc::permission);
  CHECK_THAT(text, Catch::Contains("chmod 0700 " + runtime.path() + "/x"));
}

TEST_CASE("directory: somebody else's is refused with his name", "[faults][bad-input]") {
  if (!is_root()) return;
  const own_runtime runtime{"owner"};
  std::string text;
  REQUIRE(::chown(runtime.path().c_str(), 65534, 65534) == 0);
  CHECK(enter(text) == errc::permission);
  CHECK_THAT(text, Catch::Contains("it belongs to user 65534"));
  REQUIRE(::chown(runtime.path().c_str(), 0, 0) == 0);
  std::filesystem::create_directory(runtime.path() + "/x");
  ::chmod((runtime.path() + "/x").c_str(), 0700);
  REQUIRE(::chown((runtime.path() + "/x").c_str(), 65534, 65534) == 0);
  CHECK(enter(text) == errc::permission);
  CHECK_THAT(text, Catch::Contains("/x: it belongs to user 65534"));
}

TEST_CASE("directory: one that cannot be made says where and how to choose another", "[faults][bad-input]") {
  const own_runtime runtime{"missing"};
  std::string text;
  ::setenv("RUNTIME_DIRECTORY", (runtime.path() + "/a/b").c_str(), 1);
  CHECK(enter(text) == errc::system);
  CHECK_THAT(text, Catch::Contains("make runtime directory " + runtime.path() + "/a/b: No such file or directory") &&
                       Catch::Contains("RUNTIME_DIRECTORY"));
}

TEST_CASE("directory: links in place of directories and of the lock file are refused, their targets left alone",
          "[faults][bad-input]") {
  const own_runtime runtime{"links"};
  const bystander file{runtime};
  const std::string elsewhere = runtime.path() + "-elsewhere";
  std::filesystem::create_directory(elsewhere);
  ::chmod(elsewhere.c_str(), 0700);
  std::string text;
  std::filesystem::create_directory_symlink(elsewhere, runtime.path() + "/x");
  CHECK(enter(text) == errc::permission);
  CHECK_THAT(text, Catch::Contains("/x: it is not a directory but a link or a file"));
  std::filesystem::remove(runtime.path() + "/x");
  std::filesystem::create_directory(runtime.path() + "/x");
  ::chmod((runtime.path() + "/x").c_str(), 0700);
  std::filesystem::create_symlink(file.path(), runtime.of("x", "lock"));
  CHECK(enter(text) == errc::system);
  CHECK_THAT(text, Catch::Contains("open lock file") && Catch::Contains("a link was planted there; remove it"));
  CHECK(file.untouched());
  const std::string link = runtime.path() + "-link";
  std::filesystem::create_directory_symlink(elsewhere, link);
  ::setenv("RUNTIME_DIRECTORY", link.c_str(), 1);
  CHECK(enter(text) == errc::permission);
  CHECK_THAT(text, Catch::Contains("it is not a directory but a link or a file"));
  std::filesystem::remove(link);
  CHECK(std::filesystem::is_empty(elsewhere));
  std::filesystem::remove_all(elsewhere);
}

TEST_CASE("directory: links under the names that a group is going to use are removed, never followed",
          "[faults][bad-input]") {
  const own_runtime runtime{"planted"};
  const bystander file{runtime};
  const std::string dir = runtime.path() + "/x";
  std::filesystem::create_directory(dir);
  ::chmod(dir.c_str(), 0700);
  for (const char* name : {"config", "config.new", "nudge.0", "ipc.0.1", "mpnet-x-00000000-node0-4kB"}) {
    std::filesystem::create_symlink(file.path(), dir + "/" + name);
  }
  std::filesystem::create_symlink(file.path(), dir + "/ipc.0.1.new." + std::to_string(::getpid()));
  {
    group g{small_group("x")};
    CHECK(g.is_primary());
    // Planted once more, under the group's feet.
    std::filesystem::create_symlink(file.path(), dir + "/nudge.0");
    std::filesystem::create_symlink(file.path(), dir + "/ipc.0.1.new." + std::to_string(::getpid()));
    const auto fifo = mem::open_nudge_fifo(g.runtime_dir(), static_cast<std::uint32_t>(g.self()));
    CHECK(fifo);
    struct stat st {};
    REQUIRE(::fstat(fifo.get(), &st) == 0);
    CHECK(S_ISFIFO(st.st_mode));
    const ipc::endpoint messages{g};
  }
  CHECK(file.untouched());
  CHECK(runtime.empty());
}

TEST_CASE("directory: a config that names other people's files does not get them removed", "[faults][bad-input]") {
  const own_runtime runtime{"names"};
  const bystander file{runtime};
  test::child dead{[] {
    group g{small_group("x")};
    return ::raise(SIGKILL);
  }};
  REQUIRE(dead.wait() == 1000 + SIGKILL);
  const int fd = ::open(runtime.of("x", "config").c_str(), O_WRONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  std::string name = file.path();
  name.resize(mem::path_bytes);
  const auto at = static_cast<off_t>(offsetof(mem::control, segments) + offsetof(mem::segment, path));
  REQUIRE(::pwrite(fd, name.data(), name.size(), at) == static_cast<ssize_t>(name.size()));
  ::close(fd);
  {
    const group g{small_group("x")};
    CHECK(g.is_primary());
  }
  CHECK(file.untouched());
}
