// SPDX-License-Identifier: BSD-3-Clause
// How a process enters a group: the steps in order, from the lock file to a live slot.  Attaching holds the initialise
// lock shared, making a group holds it exclusive; who lives is asked of the kernel through the slots' byte locks.
// Initialising never happens while anyone is alive, attaching never initialises.  Control.
#pragma once

#include <mpnet/group.hpp>

#include <cstdint>

#include "mem/control.hpp"

namespace mpnet::mem {

/// Attaches to the group that the options name, or makes it; `base` and `shared` become the group's.  Throws with what
/// was made by then given back.
void enter_group(group& g, std::uintptr_t& base, control*& shared, const group_options& options);

}  // namespace mpnet::mem
