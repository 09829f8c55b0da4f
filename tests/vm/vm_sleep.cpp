// SPDX-License-Identifier: BSD-3-Clause
// A member that sleeps until its queue's interrupt wakes it: no polling, no timer.
//   vm_sleep [EAL options] -- QUEUE QUEUES WAKES   leaves after WAKES sleeps that a packet ended
#include <mpnet/mpnet.hpp>

#include <sys/epoll.h>
#include <sys/resource.h>

#include <array>
#include <cstdio>
#include <string>

namespace {

using namespace mpnet;
constexpr int longest_sleep_ms = 20'000;

std::size_t drain(const port& p, queue_id queue) {
  std::size_t total = 0;
  std::array<mbuf*, 32> burst;
  while (const std::size_t n = p.rx_burst(queue, burst)) {
    free_mbufs({burst.data(), n});
    total += n;
  }
  return total;
}

double processor_ms() {
  rusage r{};
  getrusage(RUSAGE_SELF, &r);
  return static_cast<double>(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e3 +
         static_cast<double>(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e3;
}

void sleep_and_wake(const port& p, queue_id queue, int wakes) {
  const auto fd = p.rx_fd(queue);
  if (!fd) throw error{errc::unsupported, "the queue has no interrupt"};
  const detail::unique_fd epoll{epoll_create1(EPOLL_CLOEXEC)};
  epoll_event interest{.events = EPOLLIN | EPOLLET, .data = {}};
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, *fd, &interest) != 0) throw error{errc::system, "epoll_ctl"};
  static_cast<void>(epoll_wait(epoll.get(), &interest, 1, 0));  // what was signalled before anybody looked
  std::puts("ready");
  std::fflush(stdout);
  while (wakes > 0) {
    static_cast<void>(drain(p, queue));
    if (!p.arm_rx_interrupt(queue)) continue;  // packets wait already
    const double before = processor_ms();
    const int n = epoll_wait(epoll.get(), &interest, 1, longest_sleep_ms);
    const double after = processor_ms();
    if (n != 1) throw error{errc::timed_out, "nothing woke this process"};
    const std::size_t got = drain(p, queue);
    if (got == 0) continue;  // the eventfd is every member's: somebody else's packet, or one that was drained just now
    std::printf("woken, %zu packets; %.1f ms of processor time in the sleep\n", got, after - before);
    std::fflush(stdout);
    --wakes;
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_main([&] {
    eal e{argc, argv};
    if (e.args().size() != 3) throw error{errc::usage, "QUEUE QUEUES WAKES"};
    const port p = *find_port(e, list_ports(e).at(0).id);
    static_cast<void>(mbuf_pool::create_or_attach(e, "SLEEP", {.mbuf_count = 4096}));
    const auto queues = static_cast<std::uint16_t>(std::stoi(e.args()[1]));
    p.bring_up({.rx_queues = queues, .tx_queues = queues, .pool = "SLEEP"});
    const queue_id queue{static_cast<std::uint16_t>(std::stoi(e.args()[0]))};
    const queue_claim claim = p.take_queue(queue);
    static_cast<void>(p.wait_for_link(10'000));
    sleep_and_wake(p, queue, std::stoi(e.args()[2]));
  });
}
