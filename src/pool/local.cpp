// SPDX-License-Identifier: BSD-3-Clause
// The caches of this process's threads, and where to find them.  A thread's caches are made on its first use of a pool
// while it has an lcore id; they go with that id, or with the thread.
#include "pool/local.hpp"

#include <mpnet/detail/lease.hpp>

#include <algorithm>
#include <cstdlib>
#include <new>

#include "pool/backend.hpp"

namespace mpnet::detail {

namespace {
constinit pool_cache* no_caches[max_zones] = {};
}  // namespace

thread_local constinit pool_cache** thread_caches = no_caches;

namespace {

std::atomic<pool_local*> locals[max_zones];
std::mutex locals_mutex;
std::atomic<std::uint32_t> epoch{1};  // counts changes of `locals`

/// Gives the caches back when a thread ends.  Made after the thread took its lease, so it goes before the lease does.
struct thread_end {
  ~thread_end() { flush_thread_caches(); }
  bool armed = false;
};
thread_local thread_end at_thread_end;

pool_cache* ensure_thread_cache(pool_header& pool) noexcept {
  if (pool.cache_size == 0 || lcore_id() == no_lcore) return nullptr;
  if (thread_caches == no_caches) {
    auto* row = static_cast<pool_cache**>(std::calloc(max_zones, sizeof(pool_cache*)));
    if (row == nullptr) return nullptr;
    thread_caches = row;
    at_thread_end.armed = true;
  }
  // Relaxed: see thread_cache.
  pool_cache*& cache = thread_caches[pool.index.load(std::memory_order_relaxed)];
  if (cache != nullptr && cache->owner == nullptr) {
    std::free(cache);
    cache = nullptr;
  }
  if (cache == nullptr) cache = new_cache(pool, pool.cache_size, false);
  return cache;
}

std::size_t take_stranded(pool_header& pool, void** out, std::size_t n) noexcept {
  // Relaxed: only asks whether to look.
  pool_local* local = locals[pool.index.load(std::memory_order_relaxed)].load(std::memory_order_relaxed);
  if (local == nullptr || local->stranded_count.load(std::memory_order_relaxed) == 0) return 0;
  const std::scoped_lock lock{local->mutex};
  const std::size_t moved = std::min(n, local->stranded.size());
  std::copy(local->stranded.end() - static_cast<std::ptrdiff_t>(moved), local->stranded.end(), out);
  local->stranded.resize(local->stranded.size() - moved);
  local->stranded_count.store(local->stranded.size(), std::memory_order_relaxed);  // relaxed: under the mutex
  return moved;
}

void add_or_strand(pool_header& pool, chunk_hints* hints, void* const* objects, std::size_t n) noexcept {
  const std::size_t moved = backend_add(pool, hints, objects, n);
  if (moved < n) [[unlikely]]
    strand(pool, objects + moved, n - moved);
}

std::size_t take(pool_header& pool, chunk_hints* hints, void** out, std::size_t n) noexcept {
  const std::size_t moved = backend_take(pool, hints, out, n);
  return moved == n ? moved : moved + take_stranded(pool, out + moved, n - moved);
}

}  // namespace

void strand(pool_header& pool, void* const* objects, std::size_t n) noexcept {
  pool_local* local = local_of(pool);
  if (local == nullptr) return;  // still this process's by their tags, and given back when it ends
  const std::scoped_lock lock{local->mutex};
  try {
    local->stranded.insert(local->stranded.end(), objects, objects + n);
  } catch (...) {
    return;  // likewise
  }
  local->stranded_count.store(local->stranded.size(), std::memory_order_relaxed);  // relaxed: under the mutex
}

namespace {
pool_local* retired = nullptr;  // all that were; under locals_mutex

/// The pool is gone; its caches, each of which belongs to a thread or a user, hold nothing and take nothing from now
/// on. `local` itself stays, for lookups that still read it.
void retire(pool_local& local) noexcept {
  const std::scoped_lock lock{local.mutex};
  for (pool_cache* cache = local.caches; cache != nullptr; cache = cache->next) {
    cache->set_count(0);
    cache->capacity = 0;
    cache->size = 0;
    cache->owner = nullptr;
  }
  local.caches = nullptr;
  local.stranded.clear();
  local.stranded_count.store(0, std::memory_order_relaxed);  // relaxed: under the mutex
  local.objects_bytes = 0;
  local.retired_before = retired;
  retired = &local;
}
}  // namespace

pool_local* local_of(pool_header& pool) noexcept {
  const std::uint32_t index = pool.index.load(std::memory_order_relaxed);  // relaxed: see thread_cache
  // [A-pool-local] acquire: what the maker of the entry wrote; pairs with [R-pool-local].
  if (pool_local* known = locals[index].load(std::memory_order_acquire); known != nullptr && known->uid == pool.uid) {
    return known;
  }
  const std::scoped_lock lock{locals_mutex};
  pool_local* known = locals[index].load(std::memory_order_relaxed);  // relaxed: under the mutex
  if (known != nullptr && known->uid == pool.uid) return known;
  auto* fresh = new (std::nothrow) pool_local;
  if (fresh == nullptr) return nullptr;
  if (known != nullptr) retire(*known);  // another process destroyed that pool
  fresh->header = &pool;
  fresh->uid = pool.uid;
  fresh->objects = pool.objects;
  fresh->objects_bytes = std::uint64_t{pool.object_count} * pool.stride_bytes;
  // [R-pool-local] release: pairs with [A-pool-local].  An entry of a pool that is gone is left to whoever still reads
  // it; that is a few bytes for each pool that was destroyed by another process.
  locals[index].store(fresh, std::memory_order_release);
  epoch.fetch_add(1, std::memory_order_relaxed);  // relaxed: a hint about what lookups remember
  return fresh;
}

void forget_local(std::uint32_t index) noexcept {
  if (index >= max_zones) return;  // nobody here ever found it
  const std::scoped_lock lock{locals_mutex};
  pool_local* local = locals[index].load(std::memory_order_relaxed);  // relaxed: under the mutex
  if (local == nullptr) return;
  retire(*local);
  locals[index].store(nullptr, std::memory_order_relaxed);  // relaxed: nobody uses the pool any more
  epoch.fetch_add(1, std::memory_order_relaxed);            // relaxed: likewise
}

pool_header* find_pool_of(const void* object) noexcept {
  thread_local pool_header* last = nullptr;
  thread_local std::uint32_t last_epoch = 0;
  // Relaxed: whoever forgets a pool makes sure that nobody uses it.
  const std::uint32_t now = epoch.load(std::memory_order_relaxed);
  if (last != nullptr && last_epoch == now && contains(*last, object)) return last;
  for (auto& entry : locals) {
    // [A-pool-local] acquire: pairs with [R-pool-local].
    pool_local* local = entry.load(std::memory_order_acquire);
    if (local == nullptr) continue;
    const auto offset = static_cast<std::uint64_t>(static_cast<const std::byte*>(object) - local->objects);
    if (offset >= local->objects_bytes) continue;
    last = local->header;
    last_epoch = now;
    return last;
  }
  return nullptr;
}

void take_ownership(void* const* objects, std::size_t n) noexcept {
  pool_header* pool = nullptr;
  for (std::size_t i = 0; i < n; ++i) {
    if (pool == nullptr || !contains(*pool, objects[i])) pool = find_pool_of(objects[i]);
    if (pool != nullptr) tag_object(*pool, object_index(*pool, objects[i]), process_tag);
  }
}

pool_cache* new_cache(pool_header& pool, std::size_t size, bool private_to_user) noexcept {
  pool_local* local = local_of(pool);
  if (local == nullptr) return nullptr;
  const std::size_t capacity = std::max<std::size_t>(size + size / 2, pool.chunk_capacity);
  const std::size_t bytes = offsetof(pool_cache, objects) + capacity * sizeof(void*);
  void* memory = std::aligned_alloc(cache_line, (bytes + cache_line - 1) / cache_line * cache_line);
  if (memory == nullptr) return nullptr;
  auto* cache = ::new (memory) pool_cache{};
  cache->capacity = static_cast<std::uint32_t>(capacity);
  cache->size = static_cast<std::uint32_t>(size);
  cache->private_to_user = private_to_user;
  cache->pool = &pool;
  // Lcores start in different places of the backend, and stay there as long as it serves them.
  if (this_lease != nullptr) cache->hints.filled_word = lease_index(*this_lease) % pool.bitmap_words;
  cache->hints.room_word = cache->hints.filled_word;
  cache->owner = local;
  const std::scoped_lock lock{local->mutex};
  cache->next = local->caches;
  local->caches = cache;
  return cache;
}

void flush_cache(pool_cache& cache) noexcept {
  if (cache.count() == 0) return;
  add_or_strand(*cache.pool, &cache.hints, cache.objects, cache.count());
  cache.set_count(0);
}

void delete_cache(pool_cache* cache) noexcept {
  if (cache == nullptr) return;
  flush_cache(*cache);
  if (pool_local* local = cache->owner; local != nullptr) {
    const std::scoped_lock lock{local->mutex};
    for (pool_cache** link = &local->caches; *link != nullptr; link = &(*link)->next) {
      if (*link != cache) continue;
      *link = cache->next;
      break;
    }
  }
  std::free(cache);
}

void flush_thread_caches() noexcept {
  if (thread_caches == no_caches) return;
  pool_cache** row = thread_caches;
  thread_caches = no_caches;
  for (std::size_t i = 0; i < max_zones; ++i) delete_cache(row[i]);
  std::free(row);
}

void flush_process_caches() noexcept {
  flush_thread_caches();
  for (auto& entry : locals) {
    pool_local* local = entry.load(std::memory_order_acquire);  // [A-pool-local], pairs with [R-pool-local]
    if (local == nullptr) continue;
    const std::scoped_lock lock{local->mutex};
    for (pool_cache* cache = local->caches; cache != nullptr; cache = cache->next) {
      const std::size_t moved = backend_add(*cache->pool, &cache->hints, cache->objects, cache->count());
      cache->set_count(cache->count() - static_cast<std::uint32_t>(moved));
    }
    const std::size_t moved = backend_add(*local->header, nullptr, local->stranded.data(), local->stranded.size());
    local->stranded.erase(local->stranded.begin(), local->stranded.begin() + static_cast<std::ptrdiff_t>(moved));
    local->stranded_count.store(local->stranded.size(), std::memory_order_relaxed);  // relaxed: under the mutex
  }
}

void visit_local(pool_header& pool, void (*visit)(void* context, void* object), void* context) {
  pool_local* local = local_of(pool);
  if (local == nullptr) return;
  const std::scoped_lock lock{local->mutex};
  for (pool_cache* cache = local->caches; cache != nullptr; cache = cache->next) {
    for (std::uint32_t i = 0; i < cache->count(); ++i) visit(context, cache->objects[i]);
  }
  for (void* object : local->stranded) visit(context, object);
}

std::size_t count_local(pool_header& pool) noexcept {
  pool_local* local = local_of(pool);
  if (local == nullptr) return 0;
  const std::scoped_lock lock{local->mutex};
  std::size_t n = local->stranded.size();
  for (pool_cache* cache = local->caches; cache != nullptr; cache = cache->next) n += cache->count();
  return n;
}

std::size_t pool_get_slow(pool_header& pool, pool_cache* cache, void** out, std::size_t n, bool all_or_none) noexcept {
  if (n == 0) return 0;
  if (cache == nullptr || (cache->owner == nullptr && !cache->private_to_user)) cache = ensure_thread_cache(pool);
  if (cache == nullptr) {
    const std::size_t moved = take(pool, nullptr, out, n);
    if (moved == n || !all_or_none) return moved;
    add_or_strand(pool, nullptr, out, moved);
    return 0;
  }
  std::uint32_t have = cache->count();
  if (n <= cache->size) {
    while (have < n) {  // whole chunks, as far as there are
      const std::size_t moved = take(pool, &cache->hints, cache->objects + have,
                                     std::min<std::size_t>(pool.chunk_capacity, cache->capacity - have));
      if (moved == 0) break;
      have += static_cast<std::uint32_t>(moved);
      cache->set_count(have);
    }
    if (have < n && all_or_none) return 0;
    const auto moved = std::min<std::uint32_t>(have, static_cast<std::uint32_t>(n));
    copy_pointers(out, cache->objects + have - moved, moved);
    cache->set_count(have - moved);
    return moved;
  }
  // More than a cache holds: what it has, then straight from the backend.
  const std::uint32_t first = std::min<std::uint32_t>(have, static_cast<std::uint32_t>(n));
  copy_pointers(out, cache->objects + have - first, first);
  const std::size_t moved = first + (first < n ? take(pool, &cache->hints, out + first, n - first) : 0);
  if (moved == n || !all_or_none) {
    cache->set_count(have - first);
    return moved;
  }
  add_or_strand(pool, &cache->hints, out + first, moved - first);
  return 0;
}

void pool_put_slow(pool_header& pool, pool_cache* cache, void* const* objects, std::size_t n) noexcept {
  if (n == 0) return;
  if (cache == nullptr || (cache->owner == nullptr && !cache->private_to_user)) cache = ensure_thread_cache(pool);
  if (cache == nullptr || n > cache->size) {
    add_or_strand(pool, cache == nullptr ? nullptr : &cache->hints, objects, n);
    return;
  }
  std::uint32_t have = cache->count();
  while (have != 0 && have + n > cache->capacity) {  // the warm end first: what another lcore takes next is still near
    const std::uint32_t now = std::min(have, pool.chunk_capacity);
    have -= now;
    cache->set_count(have);
    add_or_strand(pool, &cache->hints, cache->objects + have, now);
  }
  copy_pointers(cache->objects + have, objects, n);
  cache->set_count(have + static_cast<std::uint32_t>(n));
}

}  // namespace mpnet::detail
