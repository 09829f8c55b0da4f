// SPDX-License-Identifier: BSD-3-Clause
// What a pool tells about itself, and caches of the user's own.  Control.
#include <mpnet/pool.hpp>

#include <mpnet/error.hpp>

#include <algorithm>

#include "pool/backend.hpp"
#include "pool/local.hpp"

namespace mpnet {
std::span<std::byte> pool_base::private_area() const noexcept {
  return {header_->private_area, header_->private_bytes};
}

pool_stats pool_base::stats() const {
  pool_stats s;
  s.object_count = header_->object_count;
  detail::backend_visit(*header_, [&](std::uint32_t, bool) { ++s.available; });
  s.available = std::min(s.available, s.object_count);  // objects that moved meanwhile may have been met twice
  s.in_caches_here = detail::count_local(*header_);
  s.in_use = s.object_count - std::min(s.object_count, s.available + s.in_caches_here);
  return s;
}

pool_user_cache pool_base::make_cache(std::size_t size) const {
  if (size == 0)
    throw error{errc::invalid_argument, "make a pool's cache: size is 0; say how many objects it may keep"};
  if (size * 3 / 2 > header_->object_count) {
    throw error{errc::invalid_argument, "make a pool's cache: it could hold the whole pool; use a smaller size"};
  }
  detail::pool_cache* cache = detail::new_cache(*header_, size, true);
  if (cache == nullptr) throw error{errc::no_memory, "make a pool's cache: out of memory"};
  return pool_user_cache{cache};
}

void pool_user_cache::flush() noexcept {
  detail::flush_cache(*cache_);
}
void pool_user_cache::deleter::operator()(detail::pool_cache* cache) const noexcept {
  detail::delete_cache(cache);
}

}  // namespace mpnet
