// SPDX-License-Identifier: BSD-3-Clause
// What layers do in the child of fork_member() before it enters the group: drop copies of what is the parent's.
#pragma once

namespace mpnet::mem {

/// Registers a hook; the order is that of registration.  Control, before the first fork.
void at_member_fork(void (*hook)());
void run_fork_hooks();

}  // namespace mpnet::mem
