// SPDX-License-Identifier: BSD-3-Clause
// Pools: fixed-size objects in shared memory, handed out and taken back by any member of the group.  Follows
// rte_mempool.h, and survives what that does not: a process that is killed, at any instruction, gives back all it held.
//
// A pool<T> is a handle of one pointer: copy it freely, any thread may use it.  Each lcore keeps a cache of objects of
// its own; a thread without an lcore id goes to the shared backend each time.  Objects keep their contents while they
// are free.  T must be trivially copyable and hold no addresses of code or of private memory.
// Objects move to another process through rings typed as carrying them (ring<T*>, ring<mbuf*>), or by transfer().
#pragma once

#include <mpnet/detail/pool_cache.hpp>
#include <mpnet/detail/ring_element.hpp>
#include <mpnet/memzone.hpp>

#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace mpnet {

struct pool_options {
  std::size_t object_count = 0;   // exactly so many objects
  std::size_t cache_size = 0;     // objects an lcore may keep; 0: no caches.  At most object_count / 1.5
  std::size_t private_bytes = 0;  // for the pool as a whole: pool::private_area
  socket_id socket = any_socket;
  bool contiguous = true;  // always so: the region is one range of device addresses
};

struct pool_stats {
  std::size_t object_count = 0;
  std::size_t available = 0;       // in the backend
  std::size_t in_caches_here = 0;  // in caches of this process
  std::size_t in_use = 0;          // elsewhere: with applications, in rings and queues, in other processes' caches
};

/// Where every object is.  Exact while nobody uses the pool; a snapshot otherwise.
struct pool_audit {
  std::size_t object_count = 0;
  std::size_t in_backend = 0;
  std::size_t in_claims = 0;  // in chunks that somebody is taking from or adding to at the moment
  std::size_t in_caches_here = 0;
  std::size_t in_rings = 0;        // in rings, ports and other holders that the group's directory knows
  std::size_t in_hands_here = 0;   // named by the caller
  std::size_t held_elsewhere = 0;  // by none of these, and tagged as held by a living process
  std::size_t duplicated = 0;      // found in more than one place: corruption
  std::size_t lost = 0;            // found nowhere, and nobody alive answers for them
  [[nodiscard]] bool sound() const noexcept { return duplicated == 0 && lost == 0; }
};

/// A cache that the caller owns, for threads without an lcore id or for a purpose of its own.  Used by one thread at a
/// time; gives its objects back when it goes.
class pool_user_cache {
 public:
  explicit pool_user_cache(detail::pool_cache* cache) noexcept : cache_(cache) {}
  [[nodiscard]] std::size_t count() const noexcept { return cache_->count(); }
  void flush() noexcept;
  [[nodiscard]] detail::pool_cache* get() const noexcept { return cache_.get(); }

 private:
  struct deleter {
    void operator()(detail::pool_cache* cache) const noexcept;
  };
  std::unique_ptr<detail::pool_cache, deleter> cache_;
};

/// What does not depend on the type of the objects.
class pool_base {
 public:
  pool_base() noexcept = default;
  [[nodiscard]] explicit operator bool() const noexcept { return header_ != nullptr; }
  [[nodiscard]] std::size_t object_count() const noexcept { return header_->object_count; }
  [[nodiscard]] std::size_t cache_size() const noexcept { return header_->cache_size; }
  /// `private_bytes` of shared memory that belong to the pool, zeroed when it is made.
  [[nodiscard]] std::span<std::byte> private_area() const noexcept;
  /// Control, any thread.
  [[nodiscard]] pool_stats stats() const;
  /// Accounts for every object.  Control; exact while nobody uses the pool.  `in_hands` are those that the caller knows
  /// to be held by this process.  Reads the backend, all holders in the group's directory and this process's caches;
  /// tags only tell objects held elsewhere from lost ones.
  [[nodiscard]] pool_audit audit(group& g, std::span<void* const> in_hands = {}) const;
  /// A cache that the caller owns.  Control.
  [[nodiscard]] pool_user_cache make_cache(std::size_t size) const;
  [[nodiscard]] detail::pool_header* header() const noexcept { return header_; }
  [[nodiscard]] friend bool operator==(const pool_base&, const pool_base&) noexcept = default;

 protected:
  explicit pool_base(detail::pool_header* header) noexcept : header_(header) {}
  detail::pool_header* header_ = nullptr;
};

namespace detail {
struct pool_format {
  std::size_t object_bytes = 0;
  std::size_t object_align = cache_line;
  std::uint64_t layout = 0;
  std::uint16_t flags = 0;
  std::uint16_t data_room_bytes = 0;
};
using pool_initialiser = std::function<void(pool_header&)>;  // runs once, before anyone else can see the pool

/// The size of a pool's zone.  Throws invalid_argument for options that cannot be.
[[nodiscard]] std::size_t pool_footprint(const pool_options& options, const pool_format& format);
/// Lays a pool out in zeroed memory, all objects in the backend.
pool_header& format_pool(void* memory, const pool_options& options, const pool_format& format);
/// Believes nothing: checks place, magic, sizes and layout.  Makes the pool known to this process.
pool_header& attach_pool(void* memory, std::size_t size_bytes, std::uint32_t index, std::uint64_t layout);

enum class pool_open { create, attach, either, lookup };
pool_header* open_pool(group& g, std::string_view name, const pool_options* options, const pool_format& format,
                       const pool_initialiser& initialise, pool_open how);
void destroy_pool(group& g, std::string_view name, std::uint64_t layout);

/// Registers pools with recovery; called by EAL, and by tests that make groups themselves.
void register_pool_kind();
}  // namespace detail

/// Names a type whose pools should not be mistaken for another's of the same size: specialise with a number of your
/// own.
template <class T>
inline constexpr std::uint64_t shared_type_id = 0;

template <class T>
class pool : public pool_base {
  static_assert(std::is_trivially_destructible_v<T> && std::is_standard_layout_v<T>,
                "objects in shared memory are plain data");

 public:
  /// Called once for each object of a new pool, in order of index.
  using object_initialiser = std::function<void(T& object, std::size_t index)>;

  pool() noexcept = default;

  /// Makes a pool; all objects zeroed, then initialised.  Control.  Throws exists, no_memory, limit, invalid_argument.
  [[nodiscard]] static pool create(group& g, std::string_view name, const pool_options& options,
                                   const object_initialiser& init = {}) {
    return pool{detail::open_pool(g, name, &options, format(), wrap(init), detail::pool_open::create)};
  }
  /// Finds a pool made by anyone.  Control.  Throws not_found, incompatible, corrupt.
  [[nodiscard]] static pool attach(group& g, std::string_view name) {
    return pool{detail::open_pool(g, name, nullptr, format(), {}, detail::pool_open::attach)};
  }
  /// Finds the pool or makes it.  Control.
  [[nodiscard]] static pool create_or_attach(group& g, std::string_view name, const pool_options& options,
                                             const object_initialiser& init = {}) {
    return pool{detail::open_pool(g, name, &options, format(), wrap(init), detail::pool_open::either)};
  }
  /// Finds the pool, or returns an empty handle.  Control.  Throws incompatible, corrupt.
  [[nodiscard]] static pool lookup(group& g, std::string_view name) {
    return pool{detail::open_pool(g, name, nullptr, format(), {}, detail::pool_open::lookup)};
  }
  /// Gives the pool's memory back.  Control; the caller makes sure that nobody uses pool or objects any more.
  static void destroy(group& g, std::string_view name) { detail::destroy_pool(g, name, layout()); }

  /// One object, or null when there is none.  Hot; any thread.  Follows rte_mempool_get.
  [[nodiscard]] T* get() const noexcept { return static_cast<T*>(detail::pool_get_one(*header_)); }
  /// All of objects.size() or, with 0 returned, none.  Hot; any thread.  Follows rte_mempool_get_bulk.
  [[nodiscard]] std::size_t get_bulk(std::span<T*> objects) const noexcept {
    return detail::cache_get(*header_, detail::thread_cache(*header_), erase(objects.data()), objects.size(), true);
  }
  /// As many as there are, up to objects.size().  Hot; any thread.
  [[nodiscard]] std::size_t get_burst(std::span<T*> objects) const noexcept {
    return detail::cache_get(*header_, detail::thread_cache(*header_), erase(objects.data()), objects.size(), false);
  }
  /// Takes back objects of this pool that the caller holds.  Hot; any thread.  Follows rte_mempool_put(_bulk).
  void put(T* object) const noexcept { detail::pool_put_one(*header_, object); }
  void put_bulk(std::span<T* const> objects) const noexcept {
    detail::cache_put(*header_, detail::thread_cache(*header_), erase(objects.data()), objects.size());
  }
  /// The same through a cache of the caller's.
  [[nodiscard]] std::size_t get_bulk(pool_user_cache& cache, std::span<T*> objects) const noexcept {
    return detail::cache_get(*header_, cache.get(), erase(objects.data()), objects.size(), true);
  }
  void put_bulk(pool_user_cache& cache, std::span<T* const> objects) const noexcept {
    detail::cache_put(*header_, cache.get(), erase(objects.data()), objects.size());
  }

  /// This process answers for `objects` from now on, which came by a way that does not say so itself.  Hot.
  void transfer(std::span<T* const> objects) const noexcept {
    detail::take_ownership(erase(objects.data()), objects.size());
  }

  /// All objects, free or not.  Control.
  template <class F>
  void for_each(F&& visit) const {
    for (std::uint32_t i = 0; i < header_->object_count; ++i) visit(*(*this)[i]);
  }
  [[nodiscard]] T* operator[](std::size_t index) const noexcept {
    return reinterpret_cast<T*>(detail::object_at(*header_, static_cast<std::uint32_t>(index)));
  }
  [[nodiscard]] std::size_t index_of(const T* object) const noexcept { return detail::object_index(*header_, object); }

  /// A handle on a pool laid out by detail::format_pool or found by its header.
  explicit pool(detail::pool_header* header) noexcept : pool_base(header) {}

  [[nodiscard]] static constexpr std::uint64_t layout() noexcept {
    return 0x504f4f4cULL << 32 ^ shared_type_id<T> * 0x9e3779b97f4a7c15ULL ^ sizeof(T) << 8 ^ alignof(T);
  }
  [[nodiscard]] static detail::pool_format format() {
    return {.object_bytes = sizeof(T), .object_align = alignof(T), .layout = layout()};
  }

 private:
  static void** erase(T** objects) noexcept { return reinterpret_cast<void**>(objects); }
  static void* const* erase(T* const* objects) noexcept { return reinterpret_cast<void* const*>(objects); }
  static detail::pool_initialiser wrap(const object_initialiser& init) {
    return [&init](detail::pool_header& header) {
      for (std::uint32_t i = 0; i < header.object_count; ++i) {
        T* object = ::new (static_cast<void*>(detail::object_at(header, i))) T{};
        if (init) init(*object, i);
      }
    };
  }
};

/// Any pointer in a ring is taken for a pool's object; a ring<T*> moves ownership.  Pointers to anything else:
/// unowned<T*>.
template <class T>
struct ring_element<T*> {
  static constexpr bool is_pool_object = true;
  /// Hot.
  static void take(T* const* objects, std::size_t count) noexcept {
    detail::take_ownership(reinterpret_cast<void* const*>(objects), count);
  }
};

}  // namespace mpnet
