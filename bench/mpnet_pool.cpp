// SPDX-License-Identifier: BSD-3-Clause
// mpnet's pools as contestants: worker 0 is the group's primary and makes the pool, the others attach.
#include "mpnet_pool.hpp"

#include <mpnet/pool.hpp>

#include "mpnet_group.hpp"
#include "pool_kernels.hpp"

#include <optional>

namespace bench {
namespace {

struct alignas(64) pool_object {
  std::byte bytes[pool_object_bytes];
};

struct mpnet_handle {
  mpnet::pool<pool_object> pool;
  bool get(void** objects, unsigned n) const noexcept {
    if (n == 1) return (*objects = pool.get()) != nullptr;
    return pool.get_bulk({reinterpret_cast<pool_object**>(objects), n}) == n;
  }
  void put(void* const* objects, unsigned n) const noexcept {
    if (n == 1) return pool.put(static_cast<pool_object*>(*objects));
    pool.put_bulk({reinterpret_cast<pool_object* const*>(objects), n});
  }
};

class mpnet_pool final : public pool_contestant<mpnet_handle> {
 public:
  explicit mpnet_pool(unsigned cache_size)
      : pool_contestant("mpnet", "cache " + std::to_string(cache_size)), cache_size_(cache_size) {}

  void format(void* memory) override {
    format_handover(memory);
    member_.emplace(true, 0U);
    pool_.pool = mpnet::pool<pool_object>::create(member_->group(), "bench",
                                                  {.object_count = pool_objects, .cache_size = cache_size_});
  }
  void join(void* memory, unsigned worker, unsigned workers) override {
    if (worker != 0) {
      member_.emplace(false, worker);
      pool_.pool = mpnet::pool<pool_object>::attach(member_->group(), "bench");
    }
    join_handover(memory, workers);
  }
  void leave(unsigned) override { member_.reset(); }

 private:
  unsigned cache_size_;
  std::optional<membership> member_;
};

}  // namespace

contestants mpnet_pools() {
  contestants all;
  all.push_back(std::make_unique<mpnet_pool>(256));
  all.push_back(std::make_unique<mpnet_pool>(512));
  return all;
}

}  // namespace bench
