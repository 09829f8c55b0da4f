// SPDX-License-Identifier: BSD-3-Clause
#include "eal/services.hpp"

#include <mpnet/error.hpp>
#include <mpnet/process.hpp>

namespace mpnet::eal_detail {
namespace {

services* current_services = nullptr;  // changed by the thread that starts and ends EAL only

cpu_set_t without_lcores(const cpu_set_t& usable, std::span<const lcore_place> lcores) {
  cpu_set_t rest = usable;
  for (const lcore_place& place : lcores)
    for (const unsigned p : place.processors) CPU_CLR(p, &rest);
  return CPU_COUNT(&rest) == 0 ? usable : rest;
}

}  // namespace

services::services(group& g, const cpu_set_t& usable, std::span<const lcore_place> lcores)
    : keep_off_lcores_{[set = without_lcores(usable, lcores)] {
        sched_setaffinity(0, sizeof set, &set);  // may fail where a processor went offline: then it runs on an lcore's
      }},
      events_{keep_off_lcores_},
      messages_{g, keep_off_lcores_,
                [this, &g](process_id, std::uint64_t) { events_.post([&g] { recover_dead(g); }); }},
      watch_{g, events_, messages_},
      before_{current_services} {
  current_services = this;
}

services::~services() {
  current_services = before_;
}

services& services::current() {
  if (current_services == nullptr) throw error{errc::not_found, "this process runs no EAL; make an mpnet::eal first"};
  return *current_services;
}

}  // namespace mpnet::eal_detail
