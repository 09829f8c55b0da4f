// SPDX-License-Identifier: BSD-3-Clause
// The inner side of stopping: which threads a stop signal interrupts, and taking a request back.
#pragma once

namespace mpnet::eal_detail {

/// The calling thread is interrupted by stop signals until forget_thread().  Any lcore thread.
void interrupt_thread_on_stop() noexcept;
void forget_thread() noexcept;

/// In the child of a fork: no stop was asked for, the eventfd is not the parent's, and its threads are not ours.
void new_stop_state_in_child() noexcept;

/// Takes a request back, for the next eal of this process.
void clear_stop() noexcept;

}  // namespace mpnet::eal_detail
