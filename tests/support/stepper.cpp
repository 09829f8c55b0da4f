// SPDX-License-Identifier: BSD-3-Clause
#include "stepper.hpp"

#include <linux/futex.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

namespace mpnet::test {
namespace {

constexpr unsigned patience_s = 120;

void* map_shared(std::size_t size) {
  void* p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::runtime_error{std::string{"mmap: "} + std::strerror(errno)};
  return p;
}

// Ends the program with a word about where, if it stands longer than it may.
class watch {
 public:
  explicit watch(const std::string& where) {
    std::snprintf(text.data(), text.size(), "FAILED: a hang, %s: survivors do not get on\n", where.c_str());
    ::signal(SIGALRM, [](int) {
      if (::write(STDOUT_FILENO, text.data(), std::strlen(text.data())) < 0) ::_exit(2);
      ::_exit(1);
    });
    ::alarm(patience_s);
  }
  ~watch() { ::alarm(0); }
  watch(const watch&) = delete;
  watch& operator=(const watch&) = delete;

 private:
  static inline std::array<char, 200> text{};
};

// Runs `judge` as if the child had died at this point and puts the arena back.
void visit(arena& a, const std::function<void()>& judge, const char* what, std::size_t k) {
  const std::string where = std::string{what} + " after instruction " + std::to_string(k);
  const std::vector<std::byte> saved = a.save();
  const watch limit{where};
  try {
    judge();
  } catch (const hang& e) {
    throw hang{where + ": " + e.what()};
  } catch (const std::exception& e) {
    throw std::runtime_error{where + ": " + e.what()};
  }
  a.restore(saved);
}

user_regs_struct registers_of(pid_t pid) {
  user_regs_struct r{};
  if (::ptrace(PTRACE_GETREGS, pid, nullptr, &r) != 0) throw std::runtime_error{"ptrace: registers"};
  return r;
}

}  // namespace

arena::arena(std::size_t size_bytes) : data_(static_cast<std::byte*>(map_shared(size_bytes))), size_(size_bytes) {}
arena::~arena() {
  ::munmap(data_, size_);
}
void arena::clear() {
  std::memset(data_, 0, size_);
}
std::vector<std::byte> arena::save() const {
  return {data_, data_ + size_};
}
void arena::restore(const std::vector<std::byte>& saved) {
  std::memcpy(data_, saved.data(), size_);
}

struct stepped_child::shared_page {
  std::atomic<int> phase{0};  // 0: not begun, 1: in body, 2: body has returned
};

stepped_child::stepped_child(const std::function<void()>& enter, const std::function<void()>& body)
    : page_(::new (map_shared(sizeof(shared_page))) shared_page) {
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error{std::string{"fork: "} + std::strerror(errno)};
  if (pid_ == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(120);
    enter();
    ::raise(SIGSTOP);
    page_->phase.store(1);
    body();
    page_->phase.store(2);
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  wait_stopped();
  ::ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_EXITKILL);
  while (page_->phase.load() == 0) {
    if (::ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr) != 0) throw std::runtime_error{"ptrace: single step"};
    wait_stopped();
  }
}

stepped_child::~stepped_child() {
  kill();
  ::munmap(page_, sizeof(shared_page));
}

void stepped_child::wait_stopped() {
  int status = 0;
  while (::waitpid(pid_, &status, __WALL) < 0) {
    if (errno != EINTR) throw std::runtime_error{std::string{"waitpid: "} + std::strerror(errno)};
  }
  if (WIFSTOPPED(status) && (WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGSTOP)) return;
  if (!WIFSTOPPED(status)) pid_ = -1;
  throw std::runtime_error{"the child ended or crashed, wait status " + std::to_string(status) +
                           ", after instruction " + std::to_string(steps_)};
}

bool stepped_child::step() {
  if (page_->phase.load() == 2) return false;
  if (steps_ > hang_steps) throw hang{"hang: the operation does not end"};
  if (::ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr) != 0) throw std::runtime_error{"ptrace: single step"};
  wait_stopped();
  ++steps_;
  return page_->phase.load() != 2;
}

bool stepped_child::step(std::size_t count) {
  for (; count != 0; --count)
    if (!step()) return false;
  return true;
}

std::uintptr_t stepped_child::address() const {
  return registers_of(pid_).rip;
}

bool stepped_child::at_system_call() const {
  return (::ptrace(PTRACE_PEEKTEXT, pid_, address(), nullptr) & 0xffff) == 0x050f;
}

step_path stepped_child::record() {
  step_path path;
  do path.push_back(address());
  while (step());
  return path;
}

// By a breakpoint, which is gone again afterwards.
bool stepped_child::run_to(std::uintptr_t target) {
  const long text = ::ptrace(PTRACE_PEEKTEXT, pid_, target, nullptr);
  ::ptrace(PTRACE_POKETEXT, pid_, target, (text & ~0xffL) | 0xcc);
  if (::ptrace(PTRACE_CONT, pid_, nullptr, nullptr) != 0) throw std::runtime_error{"ptrace: continue"};
  wait_stopped();
  ::ptrace(PTRACE_POKETEXT, pid_, target, text);
  user_regs_struct registers{};
  ::ptrace(PTRACE_GETREGS, pid_, nullptr, &registers);
  if (registers.rip != target + 1) return false;
  registers.rip = target;
  return ::ptrace(PTRACE_SETREGS, pid_, nullptr, &registers) == 0;
}

std::optional<bool> stepped_child::walk(const step_path& path, std::size_t k) {
  if (k >= path.size()) {
    finish();
    steps_ = path.size();
    return false;
  }
  const std::uintptr_t target = path[k];
  auto passes = std::count(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(k), target);
  if (k < 8 * (static_cast<std::size_t>(passes) + 1)) return step(k);  // a breakpoint costs more than a few steps
  for (bool there = path[0] == target;;) {
    if (!there && !run_to(target)) return std::nullopt;
    if (passes-- == 0) break;
    if (::ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr) != 0) throw std::runtime_error{"ptrace: single step"};
    wait_stopped();
    there = address() == target;  // repeated string instructions
  }
  steps_ = k;
  return true;
}

std::optional<stepped_child::system_call> stepped_child::next_call() {
  static const std::uint64_t vdso = ::getauxval(AT_SYSINFO_EHDR);
  constexpr std::uint64_t vdso_bytes = 0x2000;
  user_regs_struct r = registers_of(pid_);
  if (r.rip - vdso < vdso_bytes) {  // at its first instruction: the return address is on top of the stack
    run_to(static_cast<std::uint64_t>(::ptrace(PTRACE_PEEKDATA, pid_, r.rsp, nullptr)));
    r = registers_of(pid_);
  }
  // Its text is ours: this is a fork of us.
  if (const auto* text = reinterpret_cast<const unsigned char*>(r.rip); text[0] != 0x0f || text[1] != 0x05)
    return std::nullopt;
  return system_call{r.rax, {r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9}};
}

long stepped_child::call_result() const {
  return static_cast<long>(registers_of(pid_).rax);
}

std::optional<stepped_child::system_call> stepped_child::run_call() {
  system_call call{};
  for (const bool before : {true, false}) {
    if (::ptrace(PTRACE_SYSCALL, pid_, nullptr, nullptr) != 0) throw std::runtime_error{"ptrace: to a system call"};
    wait_stopped();
    if (page_->phase.load() == 2) return std::nullopt;
    const user_regs_struct r = registers_of(pid_);
    if (before) call = {r.orig_rax, {r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9}};
  }
  return call;
}

void stepped_child::mark_robust_mutexes(const void* first, const void* last) const {
  const auto read = [this](std::uint64_t address) {
    std::uint64_t value = 0;
    const iovec here{&value, sizeof value};
    const iovec there{reinterpret_cast<void*>(address), sizeof value};
    return ::process_vm_readv(pid_, &here, 1, &there, 1, 0) == sizeof value ? value : 0;
  };
  const auto mark = [&](std::uint64_t entry, std::uint64_t offset) {
    const std::uint64_t at = (entry & ~1ULL) + offset;  // the lowest bit is a flag of PI mutexes
    if (at < reinterpret_cast<std::uint64_t>(first) || at >= reinterpret_cast<std::uint64_t>(last)) return;
    auto& word = *reinterpret_cast<std::atomic<std::uint32_t>*>(at);
    const std::uint32_t seen = word.load();
    if ((seen & FUTEX_TID_MASK) == static_cast<std::uint32_t>(pid_))
      word.store((seen & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
  };
  std::uint64_t head = 0;  // set_robust_list(2): the first entry, the offset of the futex words, the pending entry
  std::size_t head_bytes = 0;
  if (::syscall(SYS_get_robust_list, pid_, &head, &head_bytes) != 0 || head == 0) return;
  const std::uint64_t offset = read(head + 8);
  std::uint64_t entry = read(head);
  for (int bound = 2048; entry != 0 && entry != head && bound != 0; --bound, entry = read(entry & ~1ULL)) {
    mark(entry, offset);
  }
  if (const std::uint64_t pending = read(head + 16); pending != 0) mark(pending, offset);
}

void stepped_child::finish() {
  while (page_->phase.load() != 2) {
    if (::ptrace(PTRACE_CONT, pid_, nullptr, nullptr) != 0) throw std::runtime_error{"ptrace: continue"};
    wait_stopped();
  }
}

void stepped_child::kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, __WALL) == pid_ && WIFSTOPPED(status)) {
  }
  pid_ = -1;
}

bool can_step() {
  try {
    stepped_child child{[] {}, [] {}};
    child.finish();
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

step_counts for_each_kill_point(arena& a, const step_case& c, const std::function<void()>& died, step_subset subset) {
  step_counts counts;
  c.prepare();
  stepped_child child{c.enter, c.operation};
  std::vector<std::byte> last;
  bool called = true;  // the system since the last visit
  const auto move_on = [&] {
    called = called || (subset.only_changes && child.at_system_call());
    return child.step();
  };
  bool more = true;
  for (std::size_t k = 0; more; ++k, more = move_on()) {
    if (!subset.contains(k)) continue;
    if (subset.only_changes) {
      if (!called && std::memcmp(last.data(), a.data(), a.size()) == 0) {
        ++counts.same;
        continue;
      }
      last = a.save();
      called = false;
    }
    ++counts.kill_points;
    visit(
        a, [&] { c.mark_dead(), died(); }, "killed", k);
  }
  counts.instructions = child.steps();
  return counts;
}

namespace {

// Calls `visit` with a new child at each instruction of the subset, and at the end.
template <class Visit>
step_counts for_each_child(const step_case& c, step_subset subset, const Visit& visit) {
  step_counts counts;
  c.prepare();
  const step_path path = stepped_child{c.enter, c.operation}.record();
  counts.instructions = path.size();
  bool more = true;
  for (std::size_t k = subset.offset % subset.stride; more; k += subset.stride) {
    std::optional<stepped_child> child;
    c.prepare();
    child.emplace(c.enter, c.operation);
    if (const auto there = child->walk(path, k)) {
      more = *there;
    } else {  // it went another way, as one that allocates memory may
      c.prepare();
      child.emplace(c.enter, c.operation);
      more = child->step(k);
    }
    ++counts.kill_points;
    visit(*child, k);
  }
  return counts;
}

}  // namespace

step_counts for_each_real_kill(arena& a, const step_case& c, const std::function<void()>& died, step_subset subset) {
  return for_each_child(c, subset, [&](stepped_child& child, std::size_t k) {
    child.kill();
    visit(a, died, "SIGKILL", k);
  });
}

step_counts for_each_nested_kill(arena& a, const step_case& c, const step_case& repairer,
                                 const std::function<void()>& died, step_subset outer, step_subset inner) {
  step_counts counts;
  const auto cut_repairer = [&] {
    try {
      const step_counts within = for_each_kill_point(a, repairer, died, inner);
      counts.kill_points += within.kill_points;
      counts.same += within.same;
    } catch (const hang& e) {
      throw hang{std::string{"the repairer "} + e.what()};
    } catch (const std::exception& e) {
      throw std::runtime_error{std::string{"the repairer "} + e.what()};
    }
  };
  counts.instructions = for_each_kill_point(a, c, cut_repairer, outer).instructions;
  return counts;
}

step_counts for_each_freeze(arena& a, const step_case& c, const std::function<void(stepped_child&)>& stopped,
                            step_subset subset) {
  return for_each_child(c, subset, [&](stepped_child& child, std::size_t k) {
    visit(
        a, [&] { stopped(child); }, "frozen", k);
  });
}

}  // namespace mpnet::test
