// SPDX-License-Identifier: BSD-3-Clause
// Many: 256 members of one group at once, and processes that come and go by the thousand, 16 at a time, each with its
// addresses laid out anew and a crowd of libraries loaded first.
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <mpnet/group_view.hpp>
#include <mpnet/mpnet.hpp>
#include <mpnet/process.hpp>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "child.hpp"
#include "support/sanitized.hpp"

using namespace mpnet;
namespace fs = std::filesystem;
using words = std::vector<std::string>;

namespace {

constexpr unsigned crowd_size = 256;

words member_options(const std::string& prefix, unsigned id, const char* type) {
  return {fmt::format("--lcores={}@({})", id, format_list(thread_processors())),
          "--file-prefix=" + prefix,
          "--no-huge",
          "--no-pci",
          "--log-level=error",
          fmt::format("--proc-type={}", type)};
}

struct token {
  std::uint64_t from;
};

/// What the crowd's processes and the test see of each other.
struct hall {
  std::atomic<unsigned> inside, stage, done, failed;
};

/// Waits, without a processor; far longer than anything takes.
template <class Condition>
bool eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{90};
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    ::usleep(2000);
  }
  return true;
}

int fail(hall& h, const std::string& text) {
  std::fprintf(stderr, "crowd: %s\n", text.c_str());
  h.failed.fetch_add(1);
  return 1;
}

/// Member `id`: comes in, passes tokens, asks its neighbour, and stays until it is told to leave.
int be_one_of_many(hall& h, const std::string& prefix, unsigned id) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  try {
    eal e{member_options(prefix, id, id == 0 ? "primary" : "secondary")};
    const auto tokens = pool<token>::create_or_attach(e, "tokens", {.object_count = 4 * crowd_size});
    const auto ring = mpnet::ring<token*>::create_or_attach(e, "ring", {.capacity = 2 * crowd_size});
    ipc::register_handler(
        "who", [id](ipc::message&, ipc::reply_token& reply) { reply.send(ipc::bytes_of(std::to_string(id))); });
    h.inside.fetch_add(1);
    if (!eventually([&] { return h.stage >= 1; })) return fail(h, "the others did not come");
    token* t = tokens.get();
    if (t == nullptr) return fail(h, "no token");
    t->from = id;
    if (!eventually([&] { return ring.enqueue(t); })) return fail(h, "the ring stays full");
    if (!eventually([&] { return ring.dequeue(t); })) return fail(h, "the ring stays empty");
    tokens.put(t);
    const unsigned next = (id + 1) % crowd_size;
    const auto answer = e.messages().call({.name = "who", .data = {}, .fds = {}},
                                          lcore{static_cast<std::uint16_t>(next)}, std::chrono::seconds{60});
    if (answer.text() != std::to_string(next)) return fail(h, "another one answered");
    if (tokens.get() == nullptr) return fail(h, "no token to keep");
    h.done.fetch_add(1);
    if (!eventually([&] { return h.stage >= 2; })) return fail(h, "nobody says good-bye");
    if (id == 0) {  // the survivors' books: the killed ones are gone, their tokens are back
      if (!eventually([&] { return list_processes(e).size() == crowd_size - crowd_size / 8; })) {
        return fail(h, fmt::format("{} members are left", list_processes(e).size()));
      }
      if (!eventually([&] { return tokens.stats().in_use == crowd_size - crowd_size / 8; })) {
        return fail(h, fmt::format("{} tokens are held", tokens.stats().in_use));
      }
      h.stage = 3;
    }
    return eventually([&] { return h.stage >= 3; }) ? 0 : fail(h, "the first one does not count");
  } catch (const std::exception& e) {
    return fail(h, e.what());
  }
}

/// Libraries that any program can load, up to `most`.
words loadable_libraries(std::size_t most) {
  words found;
  std::error_code failed;
  for (const auto& file : fs::directory_iterator{"/usr/lib/x86_64-linux-gnu", failed}) {
    const std::string name = file.path().filename().string();
    if (file.is_symlink() || !name.starts_with("lib") || name.find(".so.") == std::string::npos) continue;
    // Those that replace what every program needs, or that are the program's own.
    const char* const others[] = {"libc.",  "libpthread",  "asan",        "tsan",         "ubsan",
                                  "lsan",   "libmemusage", "libSegFault", "libpcprofile", "libnss",
                                  "malloc", "librte",      "libdpdk",     "libthread_db", "libefa"};
    if (std::any_of(std::begin(others), std::end(others),
                    [&](const char* o) { return name.find(o) != std::string::npos; })) {
      continue;
    }
    const std::string command = "LD_PRELOAD=" + file.path().string() + " /bin/true 2>&1 | grep -q . && exit 1; exit 0";
    if (std::system(command.c_str()) == 0) found.push_back(file.path().string());
    if (found.size() == most) break;
  }
  return found;
}

pid_t spawn(words arguments, words environment) {
  std::vector<char*> argv, envp;
  for (std::string& a : arguments) argv.push_back(a.data());
  for (std::string& e : environment) envp.push_back(e.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = -1;
  const int failed = ::posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  return failed == 0 ? pid : -1;
}

unsigned attach_count() {
  const char* wanted = std::getenv("MPNET_TEST_ATTACHES");
  return wanted != nullptr ? static_cast<unsigned>(std::strtoul(wanted, nullptr, 10)) : 200;
}

}  // namespace

TEST_CASE("256 processes share one group: all are served, an eighth is killed, the rest goes on", "[crowd][crash]") {
  if (test::skip_sanitized("256 processes with a sanitizer's memory each")) return;
  void* memory = ::mmap(nullptr, sizeof(hall), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  auto& h = *::new (memory) hall{};
  const std::string prefix = fmt::format("crowd-{}", getpid());
  std::vector<pid_t> pids;
  const auto begin = std::chrono::steady_clock::now();
  const auto tell = [&begin](const char* what) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
    std::printf("%s after %lld ms\n", what, static_cast<long long>(ms.count()));
  };
  for (unsigned id = 0; id < crowd_size; ++id) {
    pids.push_back(::fork());
    if (pids.back() == 0) ::_exit(be_one_of_many(h, prefix, id));
    if (id == 0) REQUIRE(eventually([&] { return h.inside == 1 || h.failed != 0; }));
  }
  CHECK(eventually([&] { return h.inside == crowd_size || h.failed != 0; }));
  tell("all are in");
  h.stage = 1;
  CHECK(eventually([&] { return h.done == crowd_size || h.failed != 0; }));
  tell("all are served");
  for (unsigned id = 7; id < crowd_size; id += 8) {
    ::kill(pids[id], SIGKILL);
    ::waitpid(pids[id], nullptr, 0);
    pids[id] = -1;
  }
  h.stage = 2;
  for (const pid_t pid : pids) {
    if (pid < 0) continue;
    int status = 0;
    ::waitpid(pid, &status, 0);
    CHECK(status == 0);
  }
  tell("all have left");
  CHECK(h.failed == 0);
  const auto left = list_groups();
  CHECK(std::find(left.begin(), left.end(), prefix) == left.end());
  ::munmap(memory, sizeof(hall));
}

TEST_CASE("processes attach by the hundred, 16 at a time, with ASLR and many libraries loaded first", "[crowd]") {
  if (test::skip_sanitized("a sanitizer wants to be the first library")) return;
  std::ifstream aslr{"/proc/sys/kernel/randomize_va_space"};
  int level = 0;
  aslr >> level;
  if (level == 0) WARN("ASLR is off on this machine");
  const std::string prefix = fmt::format("many-{}", getpid());
  words first{EAL_PROBE};
  for (std::string& a : member_options(prefix, 0, "primary")) first.push_back(std::move(a));
  first.insert(first.end(), {"--", "hold"});
  eal_test::child primary{first};
  REQUIRE(primary.read_until("ready\n"));

  const words libraries = loadable_libraries(40);
  words environment{fmt::format("LD_PRELOAD={}", fmt::join(libraries, ":"))};
  for (char** e = environ; *e != nullptr; ++e) environment.emplace_back(*e);
  constexpr unsigned at_a_time = 16;
  pid_t seats[at_a_time] = {};
  const unsigned wanted = attach_count();
  unsigned started = 0, succeeded = 0, failed = 0;
  while (succeeded + failed < wanted) {
    for (unsigned seat = 0; seat < at_a_time && started < wanted; ++seat) {
      if (seats[seat] != 0) continue;
      words visitor{EAL_PROBE};
      for (std::string& a : member_options(prefix, 1 + seat, "secondary")) visitor.push_back(std::move(a));
      seats[seat] = spawn(visitor, environment);
      REQUIRE(seats[seat] > 0);
      ++started;
    }
    int status = 0;
    const pid_t ended = ::waitpid(-1, &status, 0);
    auto* const seat = std::find(std::begin(seats), std::end(seats), ended);
    REQUIRE(seat != std::end(seats));  // not the primary
    *seat = 0;
    ++(status == 0 ? succeeded : failed);
  }
  std::printf("%u of %u attached and left, %zu libraries loaded first, ASLR level %d\n", succeeded, wanted,
              libraries.size(), level);
  CHECK(succeeded == wanted);
  primary.close_input();
  CHECK(primary.wait() == 0);
}
