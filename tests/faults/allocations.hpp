// SPDX-License-Identifier: BSD-3-Clause
// The program's operator new, which refuses where a test says so.
#pragma once

namespace faults {

extern thread_local int allocations_left;  // in this thread; negative: without end
extern void (*at_refusal)();               // called before each refusal, where there is one

}  // namespace faults
