// SPDX-License-Identifier: BSD-3-Clause
// Packet buffers.  An mbuf is a header of two cache lines, the pool's private bytes for each mbuf, and a data room in
// which packet data starts after some headroom; long packets are chains of them.  Follows rte_mbuf.h.
//
// The process that an mbuf's tag names owns it.  Within that process several holders may share it (hold()); to share
// data with another process, clone(): a clone is an mbuf of its own with an owner of its own that keeps the other's
// data alive.  Whoever drops the last hold or clone gives the mbuf back, and so does the death of its process.
#pragma once

#include <mpnet/detail/prefetch.hpp>
#include <mpnet/mbuf_flags.hpp>
#include <mpnet/pool.hpp>

#include <cstdint>
#include <span>

namespace mpnet {

inline constexpr std::uint16_t mbuf_headroom = 128;
inline constexpr std::uint16_t mbuf_default_data_room = 2048 + mbuf_headroom;

/// How an mbuf and its origin stand.  While it says `changing`, only a recount tells whether the origin counts it.
enum mbuf_link : std::uint32_t { link_none, link_attached, link_changing };

/// Written by the owner, but `references`.  All addresses lie in the region and are the same in every process.
struct alignas(cache_line) mbuf {
  // First line: what receiving fills in.
  std::byte* buffer;          // of this mbuf, or of the origin where indirect
  std::uint64_t buffer_iova;  // as devices see it
  std::uint16_t data_offset;  // from buffer to the first byte of data
  std::uint16_t data_len;     // bytes in this segment
  std::uint32_t packet_len;   // bytes in the chain; of the first segment alone
  std::uint64_t flags;        // mbuf_flag
  std::uint32_t packet_type;
  std::uint32_t rss_hash;
  std::uint16_t port;           // where it came in
  std::uint16_t segment_count;  // of the first segment alone
  std::uint16_t vlan_tci;
  std::uint16_t vlan_tci_outer;
  std::uint16_t buffer_len;
  std::uint16_t private_len;
  std::uint32_t link;  // mbuf_link, whether `origin` counts this one as a clone
  std::uint64_t timestamp;
  // Second line: what giving back asks for.  Seldom written, so that a packet which travels costs the first line alone.
  mbuf* next;                 // segment; null at the end
  detail::pool_header* pool;  // that it goes back to
  mbuf* origin;               // whose data this one shows, where indirect; else null
  // Bits 0-15 holds of the owner, 16-31 clones, 32-47 the tag that took the last reference, 48-63 a count of changes.
  // Every process: w.
  std::atomic<std::uint64_t> references;
  tx_offload_lengths tx;
  std::uint32_t dynamic_field[4];  // for the application
  std::uint64_t spare2;

  /// The first byte of data.  Hot.
  template <class T = std::byte>
  [[nodiscard]] T* data(std::size_t offset = 0) const noexcept {
    return reinterpret_cast<T*>(buffer + data_offset + offset);
  }
  /// The data of this segment.
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data(), data_len}; }
  [[nodiscard]] iova data_iova() const noexcept { return iova{buffer_iova + data_offset}; }
  [[nodiscard]] std::uint16_t headroom() const noexcept { return data_offset; }
  [[nodiscard]] std::uint16_t tailroom() const noexcept {
    return static_cast<std::uint16_t>(buffer_len - data_offset - data_len);
  }
  [[nodiscard]] bool is_indirect() const noexcept { return (flags & mbuf_flag::indirect) != 0; }
  /// The pool's private bytes for this mbuf.
  [[nodiscard]] std::byte* private_area() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  /// Holds and clones together.
  [[nodiscard]] std::uint32_t reference_count() const noexcept {
    // Relaxed: a snapshot.
    const auto r = references.load(std::memory_order_relaxed);
    return static_cast<std::uint32_t>((r & 0xffff) + (r >> 16 & 0xffff));
  }
  /// One more hold, for another holder in this process, of each segment.  Each is dropped with free_mbuf().  Hot.
  void hold() noexcept;

  [[nodiscard]] mbuf* last_segment() noexcept {
    mbuf* m = this;
    while (m->next != nullptr) m = m->next;
    return m;
  }

  // Each of these changes this packet's data; null or false, and nothing changed, where there is no room.  Hot; owner.
  /// `len` bytes more in front, in the headroom.  Returns the new first byte.  Follows rte_pktmbuf_prepend.
  [[nodiscard]] std::byte* prepend(std::uint16_t len) noexcept;
  /// `len` bytes more behind the last segment's.  Returns the first of these.  Follows rte_pktmbuf_append.
  [[nodiscard]] std::byte* append(std::uint16_t len) noexcept;
  /// Takes `len` bytes off the front.  Returns the new first byte.  Follows rte_pktmbuf_adj.
  std::byte* adjust(std::uint16_t len) noexcept;
  /// Takes `len` bytes off the end of the last segment.  Follows rte_pktmbuf_trim.
  bool trim(std::uint16_t len) noexcept;
  /// Appends the chain `tail`, which belongs to this packet afterwards.  Follows rte_pktmbuf_chain.
  [[nodiscard]] bool chain(mbuf* tail) noexcept;
  /// Brings all data into the first segment, and frees the others.  Follows rte_pktmbuf_linearize.
  [[nodiscard]] bool linearise() noexcept;
  /// `len` bytes at `offset` of the packet, in place where they lie in one segment, else copied to `buf`; null where
  /// the packet is shorter.  Follows rte_pktmbuf_read.
  [[nodiscard]] const std::byte* read(std::size_t offset, std::size_t len, void* buf) const noexcept;

  /// What an mbuf looks like when it comes from its pool: one empty segment.  Hot.
  void reset() noexcept {
    data_offset = buffer_len < mbuf_headroom ? buffer_len : mbuf_headroom;
    data_len = 0;
    packet_len = 0;
    flags = 0;
    packet_type = 0;
    port = 0xffff;
    segment_count = 1;
    vlan_tci = 0;
    vlan_tci_outer = 0;
  }
};
static_assert(sizeof(mbuf) == 128);
static_assert(offsetof(mbuf, next) == cache_line);

struct mbuf_pool_options {
  std::size_t mbuf_count = 0;
  std::size_t cache_size = 256;
  std::size_t private_bytes = 0;                         // for each mbuf; a multiple of 8
  std::size_t data_room_bytes = mbuf_default_data_room;  // headroom and data, at most 65,535
  socket_id socket = any_socket;
};

/// A pool of mbufs.  A handle, as pool<T> is.  Follows rte_pktmbuf_pool_create.
class mbuf_pool : public pool<mbuf> {
 public:
  mbuf_pool() noexcept = default;
  explicit mbuf_pool(detail::pool_header* header) noexcept : pool<mbuf>(header) {}

  // Control; as the functions of these names in pool<T>.
  [[nodiscard]] static mbuf_pool create(group& g, std::string_view name, const mbuf_pool_options& options);
  [[nodiscard]] static mbuf_pool attach(group& g, std::string_view name);
  [[nodiscard]] static mbuf_pool create_or_attach(group& g, std::string_view name, const mbuf_pool_options& options);
  [[nodiscard]] static mbuf_pool lookup(group& g, std::string_view name);

  [[nodiscard]] std::size_t data_room_bytes() const noexcept { return header_->data_room_bytes; }

  /// An empty packet of one segment, or null when the pool is used up.  Hot; any thread.  Follows rte_pktmbuf_alloc.
  [[nodiscard]] mbuf* alloc() const noexcept {
    mbuf* m = get();
    if (m != nullptr) [[likely]]
      m->reset();
    return m;
  }
  /// packets.size() of them, or none and 0.  Hot; any thread.  Follows rte_pktmbuf_alloc_bulk.
  [[nodiscard]] std::size_t alloc_bulk(std::span<mbuf*> packets) const noexcept {
    const std::size_t n = get_bulk(packets);
    reset_all(packets.first(n));
    return n;
  }
  /// As many as there are.  Hot; any thread.
  [[nodiscard]] std::size_t alloc_burst(std::span<mbuf*> packets) const noexcept {
    const std::size_t n = get_burst(packets);
    reset_all(packets.first(n));
    return n;
  }
  /// A packet that shows the same data as `packet`, without copying it; null when the pool is used up.  Neither may be
  /// written to afterwards.  Hot; the owner of `packet`.  Follows rte_pktmbuf_clone.
  [[nodiscard]] mbuf* clone(mbuf* packet) const noexcept;
  /// A packet with its own copy of `len` bytes from `offset`; null when the pool is used up or there are fewer.  Hot.
  /// Follows rte_pktmbuf_copy.
  [[nodiscard]] mbuf* copy(const mbuf* packet, std::size_t offset = 0, std::size_t len = SIZE_MAX) const noexcept;

  [[nodiscard]] static detail::pool_format format(const mbuf_pool_options& options);
  static void initialise(detail::pool_header& header, const mbuf_pool_options& options, std::uint64_t first_iova);

 private:
  static void reset_all(std::span<mbuf* const> packets) noexcept {
    // Where another processor gave them back, their lines are still there: ask for all before waiting for one.
    for (mbuf* m : packets) detail::prefetch_line<true>(m);
    for (mbuf* m : packets) m->reset();
  }
};

namespace detail {
inline constexpr std::uint64_t one_hold = 1;
inline constexpr std::uint64_t one_clone = 1ULL << 16;
inline constexpr std::uint64_t one_change = 1ULL << 48;

/// Drops one hold of a segment that is shared or indirect; true where the caller shall put it back to its pool.
[[nodiscard]] bool release_shared_segment(mbuf& m) noexcept;

[[nodiscard]] inline bool release_segment(mbuf& m) noexcept {
  // Relaxed: an mbuf that one holder has alone is touched by nobody else.
  // [A-mbuf] acquire: who dropped the other references is done with the data; pairs with [R-mbuf] in mbuf_refs.cpp.
  const auto r = m.references.load(std::memory_order_acquire);
  if ((r & 0xffffffff) != one_hold || m.origin != nullptr) [[unlikely]]
    return release_shared_segment(m);
  return true;
}
}  // namespace detail

/// Gives back one segment, which must be in no chain.  Hot; any thread of the owner.
inline void free_segment(mbuf* m) noexcept {
  if (!detail::release_segment(*m)) return;
  if (m->next != nullptr) m->next = nullptr;  // spares the second line a store
  detail::pool_put_one(*m->pool, m);
}

/// Gives back a packet, all segments of it; null is allowed.  Hot; any thread of the owner.  Follows rte_pktmbuf_free.
inline void free_mbuf(mbuf* packet) noexcept {
  while (packet != nullptr) {
    mbuf* next = packet->next;
    free_segment(packet);
    packet = next;
  }
}

/// Gives back packets, of one pool or several.  Hot; any thread of the owner.  Follows rte_pktmbuf_free_bulk.
void free_mbufs(std::span<mbuf* const> packets) noexcept;

/// Makes `m`, a packet of one segment that nobody shares, show the data of the segment `of` (its origin's, where that
/// is indirect itself).  Hot.  Follows rte_pktmbuf_attach.
void attach_mbuf(mbuf& m, mbuf& of) noexcept;
/// Undoes that: `m` is an empty packet again, and the other is given back where this was its last reference.  Hot.
void detach_mbuf(mbuf& m) noexcept;

/// In rings an mbuf moves with all its segments.
template <>
struct ring_element<mbuf*> {
  static constexpr bool is_pool_object = true;
  /// Hot.
  static void take(mbuf* const* packets, std::size_t count) noexcept;
};

/// "mbuf", and which layout of it: builds that differ in that must not share a pool.
template <>
inline constexpr std::uint64_t shared_type_id<mbuf> = 0x6d627566'02;

}  // namespace mpnet
