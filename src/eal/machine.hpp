// SPDX-License-Identifier: BSD-3-Clause
// Which processors there are, which of them this process may use, and where that puts the lcores asked for.
// Control path; reads sysfs and the calling thread's affinity.
#pragma once

#include <sched.h>

#include <span>
#include <vector>

#include "eal/options.hpp"

namespace mpnet::eal_detail {

struct machine {
  std::vector<unsigned> online;   // ascending
  std::vector<unsigned> allowed;  // of these, in the calling thread's affinity
};

[[nodiscard]] machine read_machine();

/// The lcores that the options ask for, or one for each allowed processor.  Throws not_found, with a remedy, where a
/// processor does not exist or may not be used; usage where the main lcore is not among them.
[[nodiscard]] std::vector<lcore_place> place_lcores(const parsed_options& options, const machine& m);

/// The affinity of the calling thread.  Throws system.
[[nodiscard]] cpu_set_t thread_affinity();
void set_thread_affinity(const cpu_set_t& set);
void pin_thread(std::span<const unsigned> processors);

}  // namespace mpnet::eal_detail
