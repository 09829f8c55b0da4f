// SPDX-License-Identifier: BSD-3-Clause
#include <mpnet/detail/cpu.hpp>

namespace mpnet::detail {

#if defined(__x86_64__)
const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
#endif

}  // namespace mpnet::detail
