// SPDX-License-Identifier: BSD-3-Clause
#include <mpnet/cycles.hpp>
#include <mpnet/detail/lease.hpp>

namespace mpnet::detail {

constinit lease* lease_table = nullptr;
constinit std::uint16_t process_tag = 0;
thread_local constinit lease* this_lease = nullptr;

}  // namespace mpnet::detail
