// SPDX-License-Identifier: BSD-3-Clause
// Holds, clones, and giving back mbufs that are shared.  Hot.
#include "pool/mbuf_refs.hpp"

#include <mpnet/detail/lease.hpp>

namespace mpnet {
namespace detail {
namespace {

// Recovery reads these fields of mbufs that other processes own.
void set_link(mbuf& m, mbuf_link value) noexcept {
  // [R-mbuf-link] release: the change of the origin's references, or of `origin`, that came before; pairs with
  // [A-mbuf-link] in mbuf_recovery.cpp.
  std::atomic_ref{m.link}.store(value, std::memory_order_release);
}
void set_origin(mbuf& m, mbuf* origin) noexcept {
  // Relaxed: published by the link.
  std::atomic_ref{m.origin}.store(origin, std::memory_order_relaxed);
}

void show_own_buffer(mbuf& m) noexcept {
  std::byte* own = m.private_area() + m.private_len;
  m.buffer_iova = m.buffer_iova - reinterpret_cast<std::uintptr_t>(m.buffer) + reinterpret_cast<std::uintptr_t>(own);
  m.buffer = own;
  m.buffer_len = m.pool->data_room_bytes;
  m.flags &= ~mbuf_flag::indirect;
}

}  // namespace

bool drop_references(mbuf& m, std::uint32_t holds, std::uint32_t clones) noexcept {
  // Relaxed: the CAS orders.
  std::uint64_t seen = m.references.load(std::memory_order_relaxed);
  for (;;) {
    const std::uint32_t holds_left = holds_of(seen) - holds;
    const std::uint32_t clones_left = clones_of(seen) - clones;
    const bool last = holds_left == 0 && clones_left == 0;
    const std::uint64_t after =
        last ? references_of(1, 0, process_tag, seen) : references_of(holds_left, clones_left, tag_nobody, seen);
    // [R-mbuf] release: this holder is done with the data; pairs with [A-mbuf], here (whoever is last) and in
    // release_segment.
    if (m.references.compare_exchange_weak(seen, after, std::memory_order_acq_rel, std::memory_order_relaxed))
      return last;
  }
}

mbuf* unlink_from_origin(mbuf& m, bool counted) noexcept {
  mbuf* origin = m.origin;
  mbuf* taken = nullptr;
  if (counted) {
    set_link(m, link_changing);
    if (drop_references(*origin, 0, 1)) {
      tag_object(*origin->pool, object_index(*origin->pool, origin), process_tag);
      taken = origin;
    }
  }
  // The origin's tag says who has it before this link is gone, which is the only other trace.
  set_link(m, link_none);
  set_origin(m, nullptr);
  show_own_buffer(m);
  return taken;
}

void reset_for_pool(mbuf& m) noexcept {
  // Relaxed: published by the backend's claim.
  m.references.store(references_of(1, 0, tag_nobody, m.references.load(std::memory_order_relaxed)),
                     std::memory_order_relaxed);
  m.next = nullptr;
  if (m.origin != nullptr) set_origin(m, nullptr);  // a death left it, before there was a link
  if (m.buffer != m.private_area() + m.private_len) show_own_buffer(m);
  m.flags = 0;
}

void put_origin(mbuf& m) noexcept {
  // The references name this process only as long as they are the one trace of who has it: from here its tag is.
  reset_for_pool(m);
  pool_put_one(*m.pool, &m);
}

bool release_shared_segment(mbuf& m) noexcept {
  // Relaxed: drop_references orders.
  const std::uint64_t seen = m.references.load(std::memory_order_relaxed);
  if ((seen & 0xffffffff) != one_hold && !drop_references(m, 1, 0)) return false;
  if (m.link != link_none) {
    if (mbuf* origin = unlink_from_origin(m, true); origin != nullptr) put_origin(*origin);
  }
  reset_for_pool(m);
  return true;
}

}  // namespace detail

void mbuf::hold() noexcept {
  for (mbuf* m = this; m != nullptr; m = m->next) {
    // Relaxed: the caller holds it already.
    m->references.fetch_add(detail::one_hold + detail::one_change, std::memory_order_relaxed);
  }
}

void attach_mbuf(mbuf& m, mbuf& of) noexcept {
  mbuf* origin = of.link == link_none ? &of : of.origin;
  detail::set_origin(m, origin);
  detail::set_link(m, link_changing);
  // Relaxed: `of` keeps the origin alive until the caller lets go of it.
  origin->references.fetch_add(detail::one_clone + detail::one_change, std::memory_order_relaxed);
  detail::set_link(m, link_attached);
  m.buffer = of.buffer;
  m.buffer_iova = of.buffer_iova;
  m.buffer_len = of.buffer_len;
  m.data_offset = of.data_offset;
  m.data_len = of.data_len;
  m.packet_len = of.data_len;
  m.flags = of.flags | mbuf_flag::indirect;
  m.packet_type = of.packet_type;
  m.rss_hash = of.rss_hash;
  m.port = of.port;
  m.vlan_tci = of.vlan_tci;
  m.vlan_tci_outer = of.vlan_tci_outer;
  m.tx = of.tx;
  m.timestamp = of.timestamp;
  m.segment_count = 1;
}

void detach_mbuf(mbuf& m) noexcept {
  if (m.link == link_none) return;
  mbuf* origin = detail::unlink_from_origin(m, true);
  m.reset();
  if (origin != nullptr) detail::put_origin(*origin);
}

}  // namespace mpnet
