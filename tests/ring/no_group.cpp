// SPDX-License-Identifier: BSD-3-Clause
// These tests run on plain memory; where the library's own definition is not linked in, threads get no lease.
#include <mpnet/detail/lease.hpp>

namespace mpnet::detail {
[[gnu::weak]] lease* acquire_anonymous_lease() noexcept {
  return nullptr;
}
}  // namespace mpnet::detail
