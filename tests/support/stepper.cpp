// SPDX-License-Identifier: BSD-3-Clause
#include "stepper.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace mpnet::test {
namespace {

void* map_shared(std::size_t size) {
  void* p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::runtime_error{std::string{"mmap: "} + std::strerror(errno)};
  return p;
}

// Runs `judge` as if the child had died at this point and puts the arena back.
void visit(arena& a, const std::function<void()>& judge, const std::string& where) {
  const std::vector<std::byte> saved = a.save();
  try {
    judge();
  } catch (const std::exception& e) {
    throw std::runtime_error{where + ": " + e.what()};
  }
  a.restore(saved);
}

std::string at(const char* what, std::size_t k) {
  return std::string{what} + " after instruction " + std::to_string(k);
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
  if (steps_ > hang_steps) throw std::runtime_error{"hang: the operation does not end"};
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
  bool more = true;
  for (std::size_t k = 0; more; ++k, more = child.step()) {
    if (!subset.contains(k)) continue;
    ++counts.kill_points;
    visit(
        a, [&] { c.mark_dead(), died(); }, at("killed", k));
  }
  counts.instructions = child.steps();
  return counts;
}

step_counts for_each_real_kill(arena& a, const step_case& c, const std::function<void()>& died, step_subset subset) {
  step_counts counts;
  bool more = true;
  for (std::size_t k = subset.offset % subset.stride; more; k += subset.stride) {
    c.prepare();
    stepped_child child{c.enter, c.operation};
    more = child.step(k);
    counts.instructions = child.steps();
    child.kill();
    ++counts.kill_points;
    visit(a, died, at("SIGKILL", k));
  }
  return counts;
}

step_counts for_each_nested_kill(arena& a, const step_case& c, const step_case& repairer,
                                 const std::function<void()>& died, step_subset outer, step_subset inner) {
  step_counts counts;
  const auto cut_repairer = [&] {
    try {
      counts.kill_points += for_each_kill_point(a, repairer, died, inner).kill_points;
    } catch (const std::exception& e) {
      throw std::runtime_error{std::string{"the repairer "} + e.what()};
    }
  };
  counts.instructions = for_each_kill_point(a, c, cut_repairer, outer).instructions;
  return counts;
}

step_counts for_each_freeze(arena& a, const step_case& c, const std::function<void(stepped_child&)>& stopped,
                            step_subset subset) {
  step_counts counts;
  bool more = true;
  for (std::size_t k = subset.offset % subset.stride; more; k += subset.stride) {
    c.prepare();
    stepped_child child{c.enter, c.operation};
    more = child.step(k);
    counts.instructions = child.steps();
    ++counts.kill_points;
    visit(
        a, [&] { stopped(child); }, at("frozen", k));
  }
  return counts;
}

}  // namespace mpnet::test
