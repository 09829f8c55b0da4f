// SPDX-License-Identifier: BSD-3-Clause
#include "eal/services.hpp"

namespace mpnet::eal_detail {
namespace {

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
      watch_{g, events_},
      messages_{g, keep_off_lcores_, [this](process_id, std::uint64_t) { watch_.look_now(); }} {}

}  // namespace mpnet::eal_detail
