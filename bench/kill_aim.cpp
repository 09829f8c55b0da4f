// SPDX-License-Identifier: BSD-3-Clause
#include "kill_aim.hpp"

#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <mpnet/detail/ring_layout.hpp>

#include <array>

namespace bench {
namespace {

using mpnet::detail::ring_header;

constexpr int steps_max = 100'000;     // many rounds of a victim
constexpr unsigned turn_length = 100;  // instructions of a turn, about

/// A ring's header as the victim sees it at the moment.
class view {
 public:
  view(pid_t pid, const ring_header* at) {
    const iovec here{bytes_.data(), bytes_.size()};
    const iovec there{const_cast<ring_header*>(at), bytes_.size()};
    valid_ = process_vm_readv(pid, &here, 1, &there, 1, 0) == static_cast<ssize_t>(bytes_.size());
  }
  [[nodiscard]] bool shows(const kill_targets& t, kill_phase phase) const {
    if (!valid_) return false;
    const auto& h = *reinterpret_cast<const ring_header*>(bytes_.data());
    if (phase == kill_phase::single_unsaid) return load(h.producer.next) != load(h.produced.tail);
    const bool puts = phase == kill_phase::putting || phase == kill_phase::put;
    const auto word = load(puts ? h.producer.word : h.consumer.word);
    const auto tail = load(puts ? h.produced.tail : h.consumed.tail);
    const bool published = phase == kill_phase::put || phase == kill_phase::taken;
    return (word & mpnet::detail::key_mask) == t.key && (tail != word >> mpnet::detail::key_bits) == published;
  }

 private:
  static std::uint64_t load(const std::atomic<std::uint64_t>& a) {
    return a.load(std::memory_order_relaxed);  // relaxed: a copy
  }
  alignas(ring_header) std::array<std::byte, sizeof(ring_header)> bytes_{};
  bool valid_ = false;
};

bool wait_stopped(pid_t pid) {
  int status = 0;
  return waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status);
}

bool step(pid_t pid) {
  return ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) == 0 && wait_stopped(pid);
}

}  // namespace

bool lead_to(pid_t pid, const kill_targets& targets, kill_phase phase, std::mt19937& random) {
  if (ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) != 0) return false;
  if (ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) != 0 || !wait_stopped(pid)) return false;
  const ring_header* watched = phase == kill_phase::single_unsaid ? targets.single : targets.many;
  const bool long_phase = phase == kill_phase::putting || phase == kill_phase::taking;
  const auto there = [&] { return view{pid, watched}.shows(targets, phase); };
  for (int steps = 0; steps < steps_max && step(pid); ++steps) {
    if (!there()) continue;
    // Any instruction of the phase, each as likely as the others: where the one that was drawn lies beyond its end, it
    // is drawn anew the next time.
    auto more = long_phase ? static_cast<unsigned>(random() % turn_length) : 0U;
    while (more != 0 && step(pid) && there()) --more, ++steps;
    if (more == 0) return true;
  }
  ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
  return false;
}

}  // namespace bench
