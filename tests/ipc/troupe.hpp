// SPDX-License-Identifier: BSD-3-Clause
// Real processes with endpoints, in a group whose membership is a table in shared memory: tests of messages need no
// region.  The table says "alive" until a test says otherwise, so what a test sees of a death is the kernel's news.
#pragma once

#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <mpnet/ipc.hpp>

#include <array>
#include <atomic>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace troupe {

using namespace std::chrono_literals;
namespace ipc = mpnet::ipc;
using mpnet::process_id;

constexpr unsigned deadline_s = 40;  // of each process; far beyond what any takes

/// In a child: what does not hold ends it, and fails the test that waits for it.
#define EXPECT(...)                                                                 \
  do {                                                                              \
    if (!(__VA_ARGS__)) {                                                           \
      std::fprintf(stderr, "%s:%d: child: %s\n", __FILE__, __LINE__, #__VA_ARGS__); \
      _exit(1);                                                                     \
    }                                                                               \
  } while (false)

struct table_entry {
  std::atomic<std::uint32_t> live;
  std::atomic<std::uint32_t> primary;
  std::atomic<std::uint64_t> incarnation;
};

struct shared_table {
  std::array<table_entry, 64> members;
  std::array<sem_t, 16> gates;
  std::array<std::atomic<std::uint64_t>, 16> numbers;
};

class stage {
 public:
  stage() {
    std::string name = (std::filesystem::temp_directory_path() / "mpnet-ipc-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    dir_ = name;
    void* p = ::mmap(nullptr, sizeof(shared_table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::runtime_error("mmap");
    table_ = new (p) shared_table{};
    for (sem_t& s : table_->gates) ::sem_init(&s, 1, 0);
  }
  ~stage() {
    for (const pid_t pid : children_) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
    ::munmap(table_, sizeof(shared_table));
  }
  stage(const stage&) = delete;
  stage& operator=(const stage&) = delete;

  [[nodiscard]] shared_table& table() const noexcept { return *table_; }
  [[nodiscard]] ipc::socket_place place() const { return {dir_, "ipc"}; }

  /// Makes slot `id` a member.
  ipc::member enter(unsigned id, bool primary = false, std::uint64_t incarnation = 7) const {
    table_entry& e = table_->members.at(id);
    e.incarnation = incarnation;
    e.primary = primary ? 1 : 0;
    e.live = 1;
    return {process_id{static_cast<std::uint16_t>(id)}, incarnation, primary};
  }
  void leave(unsigned id) const { table_->members.at(id).live = 0; }

  [[nodiscard]] ipc::membership membership() const {
    shared_table* t = table_;
    ipc::membership m;
    m.list = [t] {
      std::vector<ipc::member> all;
      for (std::uint16_t i = 0; i < t->members.size(); ++i) {
        const table_entry& e = t->members[i];
        if (e.live != 0) all.push_back({process_id{i}, e.incarnation, e.primary != 0});
      }
      return all;
    };
    m.find = [list = m.list](process_id id) -> std::optional<ipc::member> {
      for (const auto& one : list()) {
        if (one.id == id) return one;
      }
      return std::nullopt;
    };
    m.find_primary = [list = m.list]() -> std::optional<ipc::member> {
      for (const auto& one : list()) {
        if (one.primary) return one;
      }
      return std::nullopt;
    };
    m.alive = [t](process_id id, std::uint64_t incarnation) {
      const table_entry& e = t->members.at(static_cast<std::size_t>(id));
      return e.live != 0 && e.incarnation == incarnation;
    };
    m.holder = [](mpnet::lcore l) {
      return static_cast<unsigned>(l) < 64 ? process_id{static_cast<std::uint16_t>(l)} : mpnet::no_process;
    };
    return m;
  }
  [[nodiscard]] ipc::endpoint_options options(unsigned id, bool primary = false) const {
    ipc::endpoint_options o;
    o.place = place();
    o.self = enter(id, primary);
    return o;
  }

  /// Starts a process; made before the test's own endpoint.  It ends with 0 when `play` returns.
  pid_t child(const std::function<void()>& play) {
    const pid_t pid = ::fork();
    if (pid != 0) {
      children_.push_back(pid);
      return pid;
    }
    ::alarm(deadline_s);
    try {
      play();
    } catch (const std::exception& fault) {
      std::fprintf(stderr, "child: %s\n", fault.what());
      ::_exit(2);
    }
    ::_exit(0);
  }
  /// A member that registers what `handlers` does, opens gate 0, and lives until it is killed, or gate 15 opens.
  pid_t member(
      unsigned id, const std::function<void()>& handlers = [] {}, bool primary = false) {
    const auto o = options(id, primary);
    return child([this, o, handlers] {
      handlers();
      ipc::endpoint self{o, membership()};
      open(0);
      pass(15);
    });
  }

  void open(std::size_t gate, unsigned times = 1) const {
    while (times-- > 0) ::sem_post(&table_->gates.at(gate));
  }
  /// Waits for a gate to be opened; false after the deadline.
  bool pass(std::size_t gate, unsigned times = 1) const {
    timespec until{};
    ::clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += deadline_s;
    while (times > 0) {
      if (::sem_timedwait(&table_->gates.at(gate), &until) == 0) {
        --times;
      } else if (errno != EINTR) {
        return false;
      }
    }
    return true;
  }

  /// The wait status of a child.
  int wait(pid_t pid) {
    std::erase(children_, pid);
    int status = -1;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
  }
  void kill(pid_t pid) {
    ::kill(pid, SIGKILL);
    wait(pid);
  }
  /// Stops a child and waits until it has stopped.
  void stop(pid_t pid) const {
    ::kill(pid, SIGSTOP);
    int status = 0;
    while (::waitpid(pid, &status, WUNTRACED) < 0 && errno == EINTR) {
    }
  }

 private:
  std::string dir_;
  shared_table* table_ = nullptr;
  std::vector<pid_t> children_;
};

inline ipc::outgoing note(std::string_view name, std::string_view data = {}) {
  return {.name = name, .data = ipc::bytes_of(data), .fds = {}};
}

/// A handler that sends back what it got.
inline void echo() {
  ipc::register_handler("echo", [](ipc::message& in, ipc::reply_token& reply) {
    std::vector<int> fds;
    for (const auto& fd : in.fds) fds.push_back(fd.get());
    if (reply) reply.send(in.data, fds);
  });
}

/// The kind of error that `f` throws; errc{} where it throws none.
template <class F>
mpnet::errc kind_of(F&& f) {
  try {
    f();
  } catch (const mpnet::error& e) {
    return e.kind();
  }
  return mpnet::errc{};
}

/// Handlers registered by a test in its own process go with it.
struct scoped_handler {
  std::string name;
  scoped_handler(std::string n, ipc::handler h) : name(std::move(n)) { ipc::register_handler(name, std::move(h)); }
  ~scoped_handler() { ipc::unregister_handler(name); }
  scoped_handler(const scoped_handler&) = delete;
  scoped_handler& operator=(const scoped_handler&) = delete;
};

/// How many descriptors this process has open.
[[nodiscard]] inline std::size_t open_fds() {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) ++n;
  return n;
}

/// A file whose descriptors are told apart from all others, among which those of connections come and go as the
/// endpoints please; and how many of these this process has open.
[[nodiscard]] inline mpnet::detail::unique_fd carried_file() {
  return mpnet::detail::unique_fd{::memfd_create("carried", MFD_CLOEXEC)};
}
[[nodiscard]] inline std::size_t open_carried() {
  std::size_t n = 0;
  for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
    std::error_code closed_meanwhile;
    const auto target = std::filesystem::read_symlink(entry.path(), closed_meanwhile).string();
    if (target.starts_with("/memfd:carried")) ++n;
  }
  return n;
}
inline void answer_open_carried() {
  ipc::register_handler("carried", [](ipc::message&, ipc::reply_token& reply) {
    reply.send(ipc::bytes_of(std::to_string(open_carried())));
  });
}

/// Waits until a condition holds that no event tells; false after the deadline.
template <class F>
[[nodiscard]] bool eventually(F&& holds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{deadline_s};
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    ::usleep(500);
  }
  return true;
}

}  // namespace troupe
