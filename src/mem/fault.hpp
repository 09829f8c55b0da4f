// SPDX-License-Identifier: BSD-3-Clause
// Fatal signals.  A fault in the region's closed part opens the extent when it is published, and the access goes on.
// Any other fatal signal would have peers wait for the core dump: this process's other threads are parked, its leases
// marked dead and its locks dropped first; then the handler that was there before, or the default action, runs.
#pragma once

#include <mpnet/group.hpp>

namespace mpnet::mem {

void install_fault_handlers(group& g);
void remove_fault_handlers() noexcept;
/// In the child of a plain fork(): the handlers stay, but know no group.
void forget_region_in_child() noexcept;

}  // namespace mpnet::mem
