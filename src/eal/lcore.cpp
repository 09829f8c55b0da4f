// SPDX-License-Identifier: BSD-3-Clause
// Registration of threads that EAL did not start.
#include <fmt/format.h>
#include <mpnet/args.hpp>
#include <mpnet/error.hpp>
#include <mpnet/lcore.hpp>

#include <algorithm>
#include <cstring>

#include "eal/machine.hpp"
#include "eal/stop.hpp"
#include "mem/membership.hpp"

namespace mpnet {
namespace {

void check_processors(const std::vector<unsigned>& processors) {
  const eal_detail::machine m = eal_detail::read_machine();
  for (const unsigned p : processors) {
    if (std::find(m.online.begin(), m.online.end(), p) == m.online.end()) {
      throw error{errc::invalid_argument,
                  fmt::format("register a thread on processor {}: it does not exist; this machine has {}", p,
                              format_list(m.online))};
    }
  }
}

}  // namespace

lcore_registration::lcore_registration(group& g, const options& wanted) {
  if (lcore_id() != no_lcore) {
    throw error{errc::invalid_argument,
                fmt::format("register a thread: it is lcore {} already; one id a thread, so register another thread",
                            static_cast<unsigned>(lcore_id()))};
  }
  if (wanted.id && static_cast<std::size_t>(*wanted.id) >= max_lcores) {
    throw error{errc::invalid_argument, fmt::format("register a thread as lcore {}: ids go from 0 to {}",
                                                    static_cast<unsigned>(*wanted.id), max_lcores - 1)};
  }
  check_processors(wanted.processors);
  const cpu_set_t before = eal_detail::thread_affinity();
  if (!wanted.processors.empty()) {
    eal_detail::pin_thread(wanted.processors);
    old_affinity_.resize(sizeof before);
    std::memcpy(old_affinity_.data(), &before, sizeof before);
  }
  try {
    if (wanted.id) {
      detail::take_lease(g, *wanted.id);
    } else {
      detail::take_any_lcore(g);
    }
  } catch (...) {
    if (!wanted.processors.empty()) eal_detail::set_thread_affinity(before);
    throw;
  }
  id_ = lcore_id();
  eal_detail::interrupt_thread_on_stop();
}

lcore_registration::~lcore_registration() {
  if (lcore_id() != id_) return;  // another thread's object, or the child of a fork: nothing here is ours to give back
  eal_detail::forget_thread();
  detail::release_lease();
  if (old_affinity_.empty()) return;
  cpu_set_t before;
  std::memcpy(&before, old_affinity_.data(), sizeof before);
  sched_setaffinity(0, sizeof before, &before);  // may fail where processors went offline since; then it stays pinned
}

}  // namespace mpnet
