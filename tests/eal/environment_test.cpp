// SPDX-License-Identifier: BSD-3-Clause
// Starting on machines that lack something, as real processes see it: hugepages, mounts, permissions, space.  What the
// machine is made to lack, it lacks in a mount namespace of the test's own.
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <mpnet/lcore.hpp>

#include <filesystem>
#include <fstream>
#include <string>

#include <catch2/catch.hpp>

#include "child.hpp"

using Catch::Contains;
using eal_test::child;
namespace fs = std::filesystem;

namespace {

/// Runs the probe, by a shell in a mount namespace of its own after `setup`; the exit code, the output in `text`.
int run_after(const std::string& setup, const std::string& arguments, std::string& text) {
  const std::string line =
      fmt::format("{}; exec {} --lcores=0@{} {}", setup, EAL_PROBE, mpnet::thread_processors().front(), arguments);
  child c{{"sh", "-c", line}, {"unshare", "--mount"}};
  c.close_input();
  const int code = c.wait();
  text = c.output();
  return code;
}

std::string prefix_option() {
  static int count = 0;
  return fmt::format("--file-prefix=env-{}-{}", getpid(), ++count);
}

unsigned free_pages() {
  std::ifstream file{"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"};
  unsigned pages = 0;
  file >> pages;
  return pages;
}

bool may_mount() {
  if (geteuid() == 0) return true;
  WARN("SKIP: only root can make mount namespaces");
  return false;
}

bool has_pages(unsigned wanted) {
  if (free_pages() >= wanted) return true;
  WARN("SKIP: fewer than " << wanted << " free hugepages of 2 MiB");
  return false;
}

/// A directory of the test's own.
struct scratch {
  scratch() {
    char name[] = "/tmp/mpnet-env-XXXXXX";
    path = mkdtemp(name);
    chmod(path.c_str(), 0755);
  }
  ~scratch() { fs::remove_all(path); }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  std::string path;
};

const std::string no_hugetlbfs = "umount -a -t hugetlbfs";

}  // namespace

TEST_CASE("without a hugetlbfs a group runs on small pages and says how to mount one", "[eal][bad-input]") {
  if (!may_mount()) return;
  std::string text;
  CHECK(run_after(no_hugetlbfs, prefix_option(), text) == 0);
  CHECK_THAT(text, Contains("No hugetlbfs is mounted: running on 4 kB pages; mount one with: mount -t hugetlbfs none"));
}

TEST_CASE("a --huge-dir that is no hugetlbfs is refused with the mount command", "[eal][bad-input]") {
  if (!may_mount()) return;
  const scratch dir;
  std::string text;
  CHECK(run_after("true", prefix_option() + " --huge-dir " + dir.path, text) == 1);
  CHECK_THAT(text, Contains(fmt::format("--huge-dir {0}: no hugetlbfs is mounted there; mount -t hugetlbfs none {0}",
                                        dir.path)));
  CHECK(run_after("true", prefix_option() + " --huge-dir " + dir.path + "/missing", text) == 1);
  CHECK_THAT(text, Contains("no hugetlbfs is mounted there"));
}

TEST_CASE("the hugepages of the mount that --huge-dir names are used", "[eal]") {
  if (!may_mount() || !has_pages(72)) return;
  const scratch dir;
  std::string text;
  const std::string mount = fmt::format("{}; mount -t hugetlbfs none {}", no_hugetlbfs, dir.path);
  CHECK(run_after(mount, fmt::format("{} --huge-dir {} -m 144 --legacy-mem", prefix_option(), dir.path), text) == 0);
  CHECK_THAT(text, Contains("EAL: Requesting 72 pages of size 2097152\n"));
}

TEST_CASE("of several mounts of one page size the first that --huge-dir names is used", "[eal]") {
  if (!may_mount() || !has_pages(8)) return;
  const scratch small;
  const scratch large;
  std::string text;
  const std::string mount =
      fmt::format("mount -t hugetlbfs -o size=4M none {}; mount -t hugetlbfs none {}", small.path, large.path);
  const std::string both = " -m 16 --legacy-mem --huge-dir {} --huge-dir {}";
  CHECK(run_after(mount, prefix_option() + fmt::format(fmt::runtime(both), large.path, small.path), text) == 0);
  CHECK(run_after(mount, prefix_option() + fmt::format(fmt::runtime(both), small.path, large.path), text) == 1);
  CHECK_THAT(text, Contains("--legacy-mem: 16 MiB asked for, "));
}

TEST_CASE("pages that --legacy-mem asks for and that are not there are missed before any is taken",
          "[eal][bad-input]") {
  if (!may_mount() || !has_pages(1)) return;
  std::string text;
  CHECK(run_after("true", prefix_option() + " -m 16000000 --legacy-mem", text) == 1);
  CHECK_THAT(text, Contains("--legacy-mem: 16000000 MiB asked for, ") && Contains(" MiB to be had; reserve more"));
}

TEST_CASE("all free pages are taken by --legacy-mem without -m", "[eal]") {
  if (!may_mount() || !has_pages(1)) return;
  const scratch dir;
  std::string text;
  // All that a mount of 8 MiB lets it have, so that other tests keep theirs.
  const std::string mount = fmt::format("{}; mount -t hugetlbfs -o size=8M none {}", no_hugetlbfs, dir.path);
  CHECK(run_after(mount, fmt::format("{} --huge-dir {} --legacy-mem", prefix_option(), dir.path), text) == 0);
  CHECK_THAT(text, Contains("EAL: Requesting 4 pages of size 2097152\n"));
}

TEST_CASE("memory asked for on a node that does not exist is refused, naming the nodes", "[eal][bad-input]") {
  if (!may_mount()) return;
  std::string text;
  CHECK(run_after("true", prefix_option() + " --no-huge --numa-mem 16,0,0,0,0,0,0,16", text) == 1);
  CHECK_THAT(text, Contains("--socket-mem: 16 MB asked for on node 7, and the machine's nodes are 0"));
  CHECK(run_after("true", prefix_option() + " --no-huge --socket-mem 16", text) == 0);
}

TEST_CASE("a runtime directory without space is refused with what it lacks", "[eal][bad-input]") {
  if (!may_mount()) return;
  std::string text;
  CHECK(run_after("mount -t tmpfs -o size=64k none /run", prefix_option() + " --no-huge", text) == 1);
  CHECK_THAT(text, Contains("No space left on device; free "));
}

TEST_CASE("an ordinary user runs without hugepages where it may have none, and is told how to get some", "[eal]") {
  if (!may_mount()) return;
  std::string text;
  const std::string as_nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups env -u XDG_RUNTIME_DIR ";
  // The build tree may lie where that user may not look (root's home): the program is opened before the user changes.
  const std::string small = fmt::format("exec 9<{}; exec {}/proc/self/fd/9 --lcores=0@{} {}", EAL_PROBE, as_nobody,
                                        mpnet::thread_processors().front(), prefix_option());
  child nobody{{"sh", "-c", "mount -t hugetlbfs none /mnt; " + small}, {"unshare", "--mount"}};
  nobody.close_input();
  CHECK(nobody.wait() == 0);
  CHECK_THAT(nobody.output(), Contains("This user may not write to ") && Contains("-o uid=65534,mode=0700"));
  if (!has_pages(4)) return;
  // The recipe of that message.
  child again{{"sh", "-c",
               "mount -t hugetlbfs -o uid=65534,mode=0700 none /mnt; " + small + " --huge-dir /mnt -m 8 --legacy-mem"},
              {"unshare", "--mount"}};
  again.close_input();
  CHECK(again.wait() == 0);
  CHECK_THAT(again.output(), Contains("EAL: Requesting 4 pages of size 2097152\n"));
}
