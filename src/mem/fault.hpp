// SPDX-License-Identifier: BSD-3-Clause
// Fatal signals.  A fault in the region's closed part opens the extent when it is published, and the access goes on.
// Any other fatal signal would have peers wait for the core dump: this process's other threads are parked, its leases
// marked dead and its locks dropped first; then the handler that was there before, or the default action, runs.
#pragma once

#include <mpnet/group.hpp>

namespace mpnet::mem {

/// What a crashing thread parks the others with.  Who blocks signals in a thread leaves this one open: a thread that
/// cannot be parked goes on writing to the region, and then the kernel's word, after the dump, has to do.
[[nodiscard]] int park_signal() noexcept;

/// Calls `function` in a process that crashes, after its leases are marked dead and its locks dropped, before its core
/// is dumped: layers above let go of what tells peers that it lives.  Async-signal-safe functions only.  Control.
void at_crash(void (*function)() noexcept);

void install_fault_handlers(group& g);
void remove_fault_handlers() noexcept;
/// In the child of a plain fork(): the handlers stay, but know no group.
void forget_region_in_child() noexcept;

}  // namespace mpnet::mem
