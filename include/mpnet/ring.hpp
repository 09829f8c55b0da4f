// SPDX-License-Identifier: BSD-3-Clause
// Rings: bounded first-in first-out queues of small values or of pool objects, in the group's region or in any memory,
// used by threads of any number of processes, each of which may be killed at any instruction.  Follows rte_ring.h.
//
// What a death leaves: objects whose enqueue had published them are delivered exactly once, in order; others are not in
// the ring; those that a dead consumer had not yet committed stay in it.  Survivors repair on the spot.
//
// Choose for each side (ring_options):
//   single           one thread uses that side: the fastest, always
//   many             the default; threads take turns.  Right for most uses: a turn costs one atomic instruction, a
//                    stopped thread holds others up for a bounded time only, and zero-copy calls work
//   many_concurrent  threads work side by side in lanes, up to six producers in one of their own.  No order between
//                    producers, but for one's own objects; the memory of eight rings.  For more than one processor on
//                    a side all the time, and for one or few objects a call: faster than `many` everywhere then
// and for the ring `apart`, where producers and consumers run on different processors.  ring_sync says more;
// fixed_ring.hpp has a handle for modes known when the program is compiled.
#pragma once

#include <mpnet/detail/ring_copy.hpp>
#include <mpnet/detail/ring_element.hpp>
#include <mpnet/detail/ring_lanes.hpp>
#include <mpnet/detail/ring_layout.hpp>
#include <mpnet/detail/ring_ops.hpp>
#include <mpnet/error.hpp>
#include <mpnet/group.hpp>

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

namespace mpnet {

/// One ring of the group, for listings.
struct ring_info {
  std::string name;
  std::size_t capacity = 0;
  std::size_t approx_count = 0;
  std::size_t element_size_bytes = 0;
  ring_sync producers{};
  ring_sync consumers{};
  bool shared_between_processes = false;
  bool pool_objects = false;
  bool apart = false;
};

/// All rings of the group, by name.  Control, any thread.  Follows rte_ring_list_dump.
[[nodiscard]] std::vector<ring_info> list_rings(group& g);

namespace detail {
[[nodiscard]] ring_header* ring_create(group& g, std::string_view name, const ring_options& options,
                                       const ring_type& type);
[[nodiscard]] ring_header* ring_create_or_attach(group& g, std::string_view name, const ring_options& options,
                                                 const ring_type& type);
[[nodiscard]] ring_header* ring_lookup(group& g, std::string_view name, const ring_type& type);  // null: none
void ring_destroy(group& g, ring_header* h);
[[nodiscard]] std::string ring_name(group& g, const ring_header* h);
[[nodiscard]] std::uint64_t ring_type_id(const char* type_name, std::size_t size) noexcept;
void throw_no_ring(std::string_view name);
/// Throws incompatible unless the ring has these modes, and no doorbell.
void ring_require(const ring_header& h, ring_sync producers, ring_sync consumers, bool apart);
}  // namespace detail

/// Up to two runs of slots (two where the ring wraps), oldest first.
template <class T>
struct ring_runs {
  std::span<T> first;
  std::span<T> second;
  [[nodiscard]] std::size_t size() const noexcept { return first.size() + second.size(); }
  [[nodiscard]] bool empty() const noexcept { return first.empty(); }
  [[nodiscard]] T& operator[](std::size_t i) const noexcept {
    return i < first.size() ? first[i] : second[i - first.size()];
  }
};

/// A handle on a ring: one pointer, copied freely, owns nothing.  Valid in this process, and, since the region lies at
/// the same address everywhere, in every other member after attach().
template <class T>
class ring {
  static_assert(ring_value<T>, "elements are trivially copyable, 4 to 64 bytes, a multiple of 4");
  static constexpr auto produce = detail::ring_side::producer;
  static constexpr auto consume = detail::ring_side::consumer;
  using amount = detail::ring_amount;

 public:
  using value_type = T;
  ring() noexcept = default;  // a handle on nothing: test before use
  explicit operator bool() const noexcept { return header_ != nullptr; }
  friend bool operator==(ring, ring) noexcept = default;

  // --- control path; any thread of any member -----------------------------------------------------------------------
  /// Makes a ring.  Throws exists, invalid_argument, no_memory, limit.  Follows rte_ring_create.
  [[nodiscard]] static ring create(group& g, std::string_view name, const ring_options& options) {
    return ring{detail::ring_create(g, name, options, type())};
  }
  /// Finds a ring that another member made.  Throws not_found; incompatible if its elements are of another type.
  [[nodiscard]] static ring attach(group& g, std::string_view name) {
    detail::ring_header* h = detail::ring_lookup(g, name, type());
    if (h == nullptr) detail::throw_no_ring(name);
    return ring{h};
  }
  /// Whichever comes first; `options` count for the one who makes it.
  [[nodiscard]] static ring create_or_attach(group& g, std::string_view name, const ring_options& options) {
    return ring{detail::ring_create_or_attach(g, name, options, type())};
  }
  /// Empty where there is none of that name; throws incompatible as attach().  Follows rte_ring_lookup.
  [[nodiscard]] static std::optional<ring> lookup(group& g, std::string_view name) {
    detail::ring_header* h = detail::ring_lookup(g, name, type());
    return h == nullptr ? std::nullopt : std::optional<ring>{ring{h}};
  }
  /// Gives the ring's memory back.  The caller makes sure that nobody uses it any more and that what was in it is taken
  /// care of.  Throws not_found for a ring that is not the group's.  Follows rte_ring_free.
  static void destroy(group& g, ring r) { detail::ring_destroy(g, r.header_); }

  // --- on memory of the caller's: process-local rings, tests, benches ---------------------------------------------
  /// Bytes that such a ring takes; throws invalid_argument for a capacity of 0 or more than 2^30.
  [[nodiscard]] static std::size_t footprint(const ring_options& options) {
    return detail::ring_footprint(options, sizeof(T));
  }
  /// The same for a ring without many_concurrent sides.
  [[nodiscard]] static std::size_t footprint(std::size_t capacity) { return footprint({.capacity = capacity}); }
  /// Makes a ring in memory aligned to 128 bytes.  Its threads need no lease; those that have one are safe to kill.
  [[nodiscard]] static ring format(void* memory, std::size_t size_bytes, const ring_options& options) {
    return ring{detail::ring_format(memory, size_bytes, options, type(), detail::ring_standalone)};
  }
  /// Checks what lies there first: throws invalid_argument, corrupt, incompatible.
  [[nodiscard]] static ring attach(void* memory, std::size_t size_bytes) {
    return ring{detail::ring_attach(memory, size_bytes, type())};
  }

  // --- producers; hot ---------------------------------------------------------------------------------------------
  /// Puts up to objects.size() objects in, in order.  Returns how many of the first went in; the rest stays the
  /// caller's. Fewer when the ring is full; 0 also when another thread's claim stood in the way for too long. Follows
  /// rte_ring_enqueue_burst.
  [[nodiscard, gnu::always_inline]] std::size_t enqueue_burst(std::span<const T> objects) const noexcept {
    return put(objects.data(), objects.size(), amount::up_to);
  }
  /// All or none.  Follows rte_ring_enqueue_bulk.
  [[nodiscard, gnu::always_inline]] bool enqueue_bulk(std::span<const T> objects) const noexcept {
    return put(objects.data(), objects.size(), amount::all_or_nothing) == objects.size();
  }
  /// One.  Follows rte_ring_enqueue.
  [[nodiscard, gnu::always_inline]] bool enqueue(const T& object) const noexcept {
    return put(&object, 1, amount::all_or_nothing) == 1;
  }

  /// Up to `count` free slots to write into, oldest first.  If any, the side is claimed: the same thread must commit()
  /// soon, others wait meanwhile.  None on rings with a many_concurrent side.  Follows rte_ring_enqueue_zc_burst_start.
  [[nodiscard]] ring_runs<T> reserve(std::size_t count) const noexcept { return claim_runs<produce>(count); }
  /// Publishes the first `count` of the reserved slots (0: none) and ends the claim.
  void commit(std::size_t count) const noexcept {
    commit_runs<produce>(count);
    if ((header_->producer.flags & detail::ring_doorbell) != 0) [[unlikely]]
      detail::ring_wake_consumers(*header_);
  }

  // --- consumers; hot ---------------------------------------------------------------------------------------------
  /// Takes up to objects.size() objects out, oldest first, to the front of `objects`.  Returns how many; pool objects
  /// among them now belong to this process.  0 when the ring is empty, or when another thread's claim stood in the way
  /// for too long.  Follows rte_ring_dequeue_burst.
  [[nodiscard, gnu::always_inline]] std::size_t dequeue_burst(std::span<T> objects) const noexcept {
    return take(objects.data(), objects.size(), amount::up_to);
  }
  /// All or none.  Follows rte_ring_dequeue_bulk.
  [[nodiscard, gnu::always_inline]] bool dequeue_bulk(std::span<T> objects) const noexcept {
    return take(objects.data(), objects.size(), amount::all_or_nothing) == objects.size();
  }
  /// One.  Follows rte_ring_dequeue.
  [[nodiscard, gnu::always_inline]] bool dequeue(T& object) const noexcept {
    return take(&object, 1, amount::all_or_nothing) == 1;
  }
  [[nodiscard]] std::optional<T> dequeue() const noexcept {
    T object;
    return dequeue(object) ? std::optional<T>{object} : std::nullopt;
  }

  /// Up to `count` of the oldest objects, still in the ring.  As reserve(), with release().  Pool objects belong to
  /// this process from here on, those that release() leaves in the ring included, until they are dequeued. Follows
  /// rte_ring_dequeue_zc_burst_start.
  [[nodiscard]] ring_runs<T> peek(std::size_t count) const noexcept;
  /// Takes the first `count` of the peeked objects out (0: none) and ends the claim.
  void release(std::size_t count) const noexcept { commit_runs<consume>(count); }

  /// Sleeps until the ring is not empty; false when the time is up.  A timeout below 0: forever.  Only rings with a
  /// doorbell; others return at once what !approx_empty() says.  Not hot: a system call.
  [[nodiscard]] bool wait(std::chrono::milliseconds timeout) const noexcept {
    return detail::ring_wait_for_objects(*header_, timeout.count());
  }

  // --- anybody; hot; snapshots that may be old when they are read -------------------------------------------------
  [[nodiscard]] std::size_t capacity() const noexcept { return header_->producer.capacity; }
  [[nodiscard]] std::size_t approx_count() const noexcept { return detail::ring_approx_count(*header_); }
  [[nodiscard]] std::size_t approx_free_count() const noexcept {
    return capacity() - std::min(capacity(), approx_count());
  }
  [[nodiscard]] bool approx_empty() const noexcept { return approx_count() == 0; }
  [[nodiscard]] bool approx_full() const noexcept { return approx_count() >= capacity(); }
  [[nodiscard]] ring_sync producers() const noexcept { return header_->producers; }
  [[nodiscard]] ring_sync consumers() const noexcept { return header_->consumers; }
  /// Its name in the group.  Control.
  [[nodiscard]] std::string name(group& g) const { return detail::ring_name(g, header_); }
  /// For the library's own layers.
  [[nodiscard]] detail::ring_header* header() const noexcept { return header_; }

 private:
  explicit ring(detail::ring_header* h) noexcept : header_(h) {}
  static detail::ring_type type() noexcept {
    return {detail::ring_type_id(typeid(T).name(), sizeof(T)), sizeof(T), ring_carries_pool_objects<T>};
  }

  std::size_t put(const T* objects, std::size_t count, amount how) const noexcept;
  std::size_t take(T* objects, std::size_t count, amount how) const noexcept;
  std::size_t put_general(const T* objects, std::size_t count, amount how) const noexcept;
  std::size_t take_general(T* objects, std::size_t count, amount how) const noexcept;
  template <bool Apart, bool Whole = false>
  static std::size_t put_single(detail::ring_header& h, const T* objects, std::size_t count, amount how) noexcept;
  template <bool Apart, bool Whole = false>
  static std::size_t take_single(detail::ring_header& h, T* objects, std::size_t count, amount how) noexcept;
  template <bool Apart>
  static std::size_t put_many(detail::ring_header& h, const T* objects, std::size_t count, amount how,
                              std::size_t when_busy) noexcept;
  template <bool Apart>
  static std::size_t take_many(detail::ring_header& h, T* objects, std::size_t count, amount how) noexcept;
  static void move_out(detail::ring_header& h, T* objects, std::uint64_t position, std::size_t count) noexcept;
  static std::size_t put_in(detail::ring_header& h, const T* objects, std::size_t count, amount how,
                            std::size_t when_busy) noexcept;
  static std::size_t take_from(detail::ring_header& h, T* objects, std::size_t count, amount how) noexcept;
  template <bool Apart>
  static std::size_t put_in_lane(detail::ring_header& h, const T* objects, std::size_t count, amount how) noexcept;
  static std::size_t put_in_some_lane(detail::ring_header& h, const T* objects, std::size_t count, amount how) noexcept;
  template <ring_sync Sync, bool Apart>
  static std::size_t take_from_lanes(detail::ring_header& h, T* objects, std::size_t count, amount how) noexcept;
  static std::size_t take_from_some_lane(detail::ring_header& h, T* objects, std::size_t count, amount how) noexcept;
  template <detail::ring_side Side>
  ring_runs<T> claim_runs(std::size_t count) const noexcept;
  template <detail::ring_side Side>
  void commit_runs(std::size_t count) const noexcept;

  template <class, ring_sync, ring_sync, bool>
  friend class fixed_ring;

  detail::ring_header* header_ = nullptr;
};

}  // namespace mpnet

#include <mpnet/detail/ring_inline.hpp>
