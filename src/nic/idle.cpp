// SPDX-License-Identifier: BSD-3-Clause
// Giving the processor away between rounds of a poll loop, in steps: a spin, a yield, a sleep.
#include <sched.h>
#include <sys/epoll.h>
#include <mpnet/error.hpp>
#include <mpnet/idle.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string>

namespace mpnet {

idle_mode parse_idle_mode(std::string_view text) {
  if (text == "spin") return idle_mode::spin;
  if (text == "yield") return idle_mode::yield;
  if (text == "adaptive") return idle_mode::adaptive;
  throw error{errc::usage, "idle strategy '" + std::string{text} + "': there are spin, yield and adaptive"};
}

void idle_strategy::watch(const port& p, queue_id queue) {
  queues_.emplace_back(&p, queue);
  if (const auto fd = p.rx_fd(queue)) {
    add(*fd);
  } else {
    deaf_ = true;
  }
  all_wake_ = !deaf_;
}

void idle_strategy::watch(int fd) {
  add(fd);
}

// Edge-triggered, since eventfds of interrupts stay readable for ever.  What became readable before is not missed: the
// loop has polled since, and sleep() asks each queue once more.
void idle_strategy::add(int fd) {
  if (!epoll_) epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0 && errno != EEXIST) {  // EEXIST: queues share a vector
    throw error{errc::system, std::string{"idle strategy: watch a descriptor: "} + std::strerror(errno)};
  }
}

void idle_strategy::rest() noexcept {
  ++idle_rounds_;
  if (mode_ == idle_mode::yield) {
    sched_yield();
  } else if (idle_rounds_ <= spin_rounds) {
    cpu_relax();
  } else if (idle_rounds_ <= spin_rounds + yield_rounds) {
    sched_yield();
  } else {
    sleep();
  }
}

void idle_strategy::sleep() noexcept {
  ++sleep_count_;
  if (!all_wake_) {
    const auto rounds = static_cast<int>(std::min(idle_rounds_ - spin_rounds - yield_rounds, 20U));
    const timespec time{0, std::min(50 * rounds, longest_sleep_us) * 1000L};
    nanosleep(&time, nullptr);
    return;
  }
  bool packets_wait = false;
  for (const auto& [p, queue] : queues_) packets_wait |= !p->arm_rx_interrupt(queue);
  if (!packets_wait) {
    std::array<epoll_event, 16> ready{};
    epoll_wait(epoll_.get(), ready.data(), ready.size(), longest_wait_ms);
  }
  for (const auto& [p, queue] : queues_) p->disarm_rx_interrupt(queue);
  idle_rounds_ = spin_rounds;  // one round to look, some yields, then to sleep again
}

}  // namespace mpnet
