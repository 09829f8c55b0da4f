// SPDX-License-Identifier: BSD-3-Clause
// Every way to die, seen by a member that lives on: what the dead one held comes back, and nobody waits for a core
// dump.
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <mpnet/mpnet.hpp>
#include <mpnet/process.hpp>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "child.hpp"
#include "death_probe.hpp"
#include "support/sanitized.hpp"
#include "survivor.hpp"

using namespace eal_test;
using namespace mpnet;
namespace fs = std::filesystem;

namespace {

std::string first_line(const std::string& path) {
  std::ifstream file{path};
  std::string line;
  std::getline(file, line);
  return line;
}

/// Whether the process, a child of ours, has not ended: it runs, or the kernel writes its core.
bool has_not_ended(pid_t pid) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

std::size_t megabytes_to_dump() {
  if (const char* wanted = std::getenv("MPNET_TEST_DUMP_MIB")) return std::strtoul(wanted, nullptr, 10);
  return 512;
}

/// Why a crash leaves no core file here; empty where it does.
std::string no_core_because(std::size_t mib) {
  const std::string pattern = first_line("/proc/sys/kernel/core_pattern");
  if (pattern.empty() || pattern[0] == '|' || pattern[0] == '/') return "core_pattern is '" + pattern + "'";
  if (fs::space(fs::temp_directory_path()).available < (mib << 20) * 2) return "no room for a core file";
  std::ifstream meminfo{"/proc/meminfo"};
  for (std::string line; std::getline(meminfo, line);) {
    unsigned long kib = 0;
    if (std::sscanf(line.c_str(), "MemAvailable: %lu", &kib) == 1 && kib / 1024 < mib * 2) return "too little memory";
  }
  return {};
}

/// One death with `mib` of memory to dump.  Returns whether the dump was still going on when all was back.
bool back_before_the_dump_ends(const char* how, int number, std::size_t mib) {
  const fs::path dir = fs::temp_directory_path() / fmt::format("mpnet-core-{}", getpid());
  fs::create_directory(dir);
  survivor s;
  bool dump_goes_on = false;
  {
    child victim{s.victim(how, static_cast<unsigned>(mib)),
                 {"/bin/sh", "-c", fmt::format("ulimit -c unlimited && cd {} && exec \"$@\"", dir.string()), "sh"}};
    wait_until_ready(victim);
    victim.close_input();
    s.check_all_is_back(victim.pid());
    dump_goes_on = has_not_ended(victim.pid());
    CHECK(victim.wait() == 128 + number);
  }
  std::uintmax_t core_bytes = 0;
  for (const auto& file : fs::directory_iterator{dir}) core_bytes = std::max(core_bytes, file.file_size());
  CHECK(core_bytes >= mib << 20);
  fs::remove_all(dir);
  return dump_goes_on;
}

/// Where memory is dumped faster than this process gets to look, there must be more to dump.
void die_with_core(const char* how, int number) {
  const std::size_t at_first = megabytes_to_dump();
  for (std::size_t mib = at_first; mib <= 4 * at_first; mib *= 2) {
    if (const std::string why = no_core_because(mib); !why.empty()) {
      WARN("SKIP: no core dump of " << mib << " MiB: " << why);
      return;
    }
    if (back_before_the_dump_ends(how, number, mib)) return;
  }
  FAIL("all was back only after the dump had ended, each time");
}

/// A memory cgroup of its own; empty where none can be made.
class memory_cgroup {
 public:
  explicit memory_cgroup(std::size_t bytes) {
    for (const auto& [root, file] :
         {std::pair{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, std::pair{"/sys/fs/cgroup", "memory.max"}}) {
      const fs::path dir = fs::path{root} / fmt::format("mpnet-test-{}", getpid());
      std::error_code failed;
      if (!fs::create_directory(dir, failed) || failed) continue;
      dir_ = dir;
      if (write(file, fmt::format("{}", bytes))) return;
      fs::remove(dir_, failed);
      dir_.clear();
    }
  }
  ~memory_cgroup() {
    std::error_code failed;
    if (!dir_.empty()) fs::remove(dir_, failed);
  }
  memory_cgroup(const memory_cgroup&) = delete;
  memory_cgroup& operator=(const memory_cgroup&) = delete;
  [[nodiscard]] explicit operator bool() const { return !dir_.empty(); }
  [[nodiscard]] bool take_in(pid_t pid) const { return write("cgroup.procs", fmt::format("{}", pid)); }

 private:
  [[nodiscard]] bool write(const char* file, const std::string& text) const {
    if (!fs::exists(dir_ / file)) return false;
    std::ofstream out{dir_ / file};
    out << text;
    out.flush();
    return static_cast<bool>(out);
  }
  fs::path dir_;
};

}  // namespace

TEST_CASE("abort with a core to dump: peers go on while the kernel still writes it", "[eal][crash]") {
  if (test::skip_sanitized("the sanitizer takes fatal signals and dumps no core")) return;
  die_with_core("abort", SIGABRT);
}

TEST_CASE("a segmentation fault with a core to dump: peers go on while the kernel still writes it", "[eal][crash]") {
  if (test::skip_sanitized("the sanitizer takes fatal signals and dumps no core")) return;
  die_with_core("segv", SIGSEGV);
}

TEST_CASE("exit without clean-up gives back what the process held", "[eal][crash]") {
  survivor s;
  child victim{s.victim("exit")};
  wait_until_ready(victim);
  victim.close_input();
  CHECK(victim.wait() == 3);
  s.check_all_is_back(victim.pid());
}

TEST_CASE("exec is the member's death, though the process lives", "[eal][crash]") {
  survivor s;
  child victim{s.victim("exec")};
  wait_until_ready(victim);
  victim.close_input();
  s.check_all_is_back(victim.pid());
  CHECK(has_not_ended(victim.pid()));
  CHECK(first_line(fmt::format("/proc/{}/comm", victim.pid())) == "sleep");
}

TEST_CASE("the out-of-memory killer takes a member, and the others get back what it held", "[eal][crash]") {
  const memory_cgroup narrow{256 << 20};
  if (!narrow) {
    WARN("SKIP: no memory cgroup can be made here");
    return;
  }
  survivor s;
  child victim{s.victim("oom")};
  wait_until_ready(victim);
  if (!narrow.take_in(victim.pid())) {
    WARN("SKIP: a process cannot be put into a memory cgroup here");
    return;
  }
  victim.close_input();
  CHECK(victim.wait() == 128 + SIGKILL);
  s.check_all_is_back(victim.pid());
}

TEST_CASE("a thread that ends while its process lives loses its lcore id and its turn, and that is all",
          "[eal][crash]") {
  if (test::skip_sanitized("the sanitizer wants to see threads end")) return;
  survivor s;
  std::mutex m;
  std::vector<group_event> events;
  for (const auto kind : {group_event_kind::process_left, group_event_kind::process_died}) {
    s.get().events().subscribe(kind, [&](const group_event& e) {
      const std::lock_guard lock{m};
      events.push_back(e);
    });
  }
  child victim{s.victim("thread")};
  REQUIRE(victim.read_until("ready\n"));
  REQUIRE(eventually([&] { return s.turns().enqueue(nullptr); }));
  REQUIRE(eventually([&] { return s.recovery_of(victim.pid(), false).has_value(); }));
  std::thread{[&] { CHECK(lcore_registration{s.get(), {.id = lcore{9}, .processors = {}}}.id() == lcore{9}); }}.join();
  CHECK(list_processes(s.get()).size() == 2);
  CHECK_FALSE(s.recovery_of(victim.pid()).has_value());
  victim.close_input();  // and it may leave in good order
  CHECK(victim.wait() == 0);
  REQUIRE(eventually([&] {
    const std::lock_guard lock{m};
    return !events.empty();
  }));
  const std::lock_guard lock{m};
  CHECK(events[0].kind == group_event_kind::process_left);
  CHECK(s.tokens().stats().available + s.tokens().stats().in_caches_here == token_count);
}

TEST_CASE("a stopped member hangs nobody: short counts, errors that name it, and it goes on where it was", "[eal]") {
  survivor s;
  child victim{s.victim("leave")};
  wait_until_ready(victim);
  victim.signal(SIGSTOP);
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(victim.pid()), &info, WSTOPPED) == 0);
  CHECK(victim.output().find("has the turn") != std::string::npos);
  CHECK_FALSE(s.turns().enqueue(nullptr));  // it has its turn, alive
  token* t = nullptr;
  CHECK_FALSE(s.turns().dequeue(t));  // the other side is not held up: it is empty
  std::string text;
  std::thread{[&] {
    try {
      const lcore_registration taken{s.get(), {.id = lcore{1}, .processors = {}}};
    } catch (const error& e) {
      text = e.what();
    }
  }}.join();
  CHECK_THAT(text, Catch::Contains(fmt::format("held by process {} (", victim.pid())));
  CHECK(list_processes(s.get()).size() == 2);
  const auto answer = s.get().messages().request({.name = "any", .data = {}, .fds = {}}, ipc::destination::everyone(),
                                                 std::chrono::milliseconds{100});
  REQUIRE(answer.parts.size() == 1);
  CHECK(answer.parts[0].how == ipc::outcome::slow);
  static_cast<void>(allocate(s.get(), 1000));  // control state is free
  CHECK_FALSE(s.recovery_of(victim.pid()).has_value());
  victim.signal(SIGCONT);
  victim.close_input();
  CHECK(victim.wait() == 0);
  CHECK(s.turns().enqueue(nullptr));
}
