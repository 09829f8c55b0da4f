// SPDX-License-Identifier: BSD-3-Clause
// What this processor has beyond what the program was built for.
#pragma once

namespace mpnet::detail {

#if defined(__x86_64__)
/// AVX2, and an operating system that keeps its registers.  Set before main(); false until then, so code that runs
/// before it takes the plain way.
extern const bool has_avx2;
#endif

}  // namespace mpnet::detail
