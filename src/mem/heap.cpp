// SPDX-License-Identifier: BSD-3-Clause
#include "mem/heap.hpp"

#include <fmt/format.h>
#include <mpnet/heap.hpp>

#include <algorithm>
#include <bit>

#include "mem/extents.hpp"
#include "mem/hugetlb.hpp"
#include "mem/local_state.hpp"

namespace mpnet::mem {
namespace {

constexpr std::uint64_t unit = 64;

std::uint64_t align_up(std::uint64_t value, std::uint64_t to) {
  return (value + to - 1) & ~(to - 1);
}

std::size_t class_of(std::uint64_t size) {
  const auto log = static_cast<std::size_t>(std::bit_width(size / unit)) - 1;
  return std::min(log, size_classes - 1);
}

/// The block lists, edited within one transaction.
class editor {
 public:
  explicit editor(transaction& tx) : tx_(tx), c_(tx.shared()) {}

  std::uint64_t new_block() {
    std::uint64_t number = c_.unused_blocks;
    if (number != 0) {
      tx_.set(c_.unused_blocks, at(number).next);
      return number;
    }
    number = c_.blocks_used + 1;
    if (number > max_blocks) throw error{errc::limit, fmt::format("the heap has {} blocks, its limit", max_blocks)};
    back_blocks(tx_.owner(), number);
    tx_.set(c_.blocks_used, number);
    return number;
  }

  void drop_block(std::uint64_t number) {
    tx_.set(at(number).state, block_unused);
    tx_.set(at(number).next, c_.unused_blocks);
    tx_.set(c_.unused_blocks, number);
  }

  void link_free(std::uint64_t number) {
    block& b = at(number);
    std::uint64_t& head = c_.segments[b.segment].free_lists[class_of(b.size)];
    tx_.set(b.state, block_free);
    tx_.set(b.next_free, head);
    tx_.set(b.previous_free, 0);
    if (head != 0) tx_.set(at(head).previous_free, number);
    tx_.set(head, number);
  }

  void unlink_free(std::uint64_t number) {
    const block& b = at(number);
    if (b.previous_free != 0) {
      tx_.set(at(b.previous_free).next_free, b.next_free);
    } else {
      tx_.set(c_.segments[b.segment].free_lists[class_of(b.size)], b.next_free);
    }
    if (b.next_free != 0) tx_.set(at(b.next_free).previous_free, b.previous_free);
  }

  /// Cuts a block (on no list) at `offset`; returns the new block behind, with the same state and on no list.
  std::uint64_t split(std::uint64_t number, std::uint64_t offset) {
    const std::uint64_t behind = new_block();
    block& b = at(number);
    block& n = at(behind);
    tx_.set(n.offset, offset);
    tx_.set(n.size, b.offset + b.size - offset);
    tx_.set(n.state, b.state);
    tx_.set(n.owner, 0);
    tx_.set(n.used_bytes, 0);
    tx_.set(n.segment, b.segment);
    tx_.set(n.next, b.next);
    tx_.set(n.previous, number);
    if (b.next != 0) tx_.set(at(b.next).previous, behind);
    tx_.set(b.next, behind);
    tx_.set(b.size, offset - b.offset);
    return behind;
  }

  /// Joins a block with the one behind it (both on no list); the one behind goes away.
  void join(std::uint64_t number) {
    block& b = at(number);
    const std::uint64_t gone = b.next;
    tx_.set(b.size, b.size + at(gone).size);
    tx_.set(b.next, at(gone).next);
    if (at(gone).next != 0) tx_.set(at(at(gone).next).previous, number);
    drop_block(gone);
  }

  /// Joins a hole or free block on no list with its like neighbours; returns the one that remains, on no list.
  std::uint64_t merge(std::uint64_t number, block_state state) {
    if (const std::uint64_t n = at(number).next; n != 0 && at(n).state == state) {
      if (state == block_free) unlink_free(n);
      join(number);
    }
    if (const std::uint64_t p = at(number).previous; p != 0 && at(p).state == state) {
      if (state == block_free) unlink_free(p);
      join(p);
      return p;
    }
    return number;
  }

  /// Takes `size` bytes at `offset` out of a free block that is on its list.
  std::uint64_t carve(std::uint64_t number, std::uint64_t offset, std::uint64_t size) {
    unlink_free(number);
    if (offset > at(number).offset) {
      const std::uint64_t behind = split(number, offset);
      link_free(number);
      number = behind;
    }
    if (at(number).size > size) link_free(split(number, offset + size));
    return number;
  }

  block& at(std::uint64_t number) { return block_at(c_, number); }

 private:
  transaction& tx_;
  control& c_;
};

/// A free block of the segment that can hold the request, or 0.  First fit within a class, the smallest class first.
std::uint64_t find_free(editor& edit, const segment& s, const block_request& want) {
  for (std::size_t cls = class_of(want.size); cls < size_classes; ++cls) {
    for (std::uint64_t n = s.free_lists[cls]; n != 0; n = edit.at(n).next_free) {
      const block& b = edit.at(n);
      if (align_up(b.offset, want.align) + want.size <= b.offset + b.size) return n;
    }
  }
  return 0;
}

/// Commits the first `bytes`, whole granules, of a hole.
void fill_hole(transaction& tx, editor& edit, std::uint64_t number, std::uint64_t bytes) {
  const block hole = edit.at(number);
  const segment& s = tx.shared().segments[hole.segment];
  commit_granules(tx, hole.segment, (hole.offset - s.window_offset) / s.granule_bytes, bytes / s.granule_bytes);
  if (bytes < hole.size) edit.split(number, hole.offset + bytes);
  edit.link_free(edit.merge(number, block_free));
}

/// Commits granules so that the request fits; false where the segment's window has no hole for it.
bool grow(transaction& tx, editor& edit, std::size_t index, const block_request& want) {
  const segment& s = tx.shared().segments[index];
  for (std::uint64_t n = s.first_block; n != 0; n = edit.at(n).next) {
    const block& hole = edit.at(n);
    if (hole.state != block_hole) continue;
    const bool after_free = hole.previous != 0 && edit.at(hole.previous).state == block_free;
    const std::uint64_t from = after_free ? edit.at(hole.previous).offset : hole.offset;
    const std::uint64_t end = align_up(align_up(from, want.align) + want.size - s.window_offset, s.granule_bytes);
    const std::uint64_t bytes = end - (hole.offset - s.window_offset);
    if (bytes > hole.size) continue;
    fill_hole(tx, edit, n, bytes);
    return true;
  }
  return false;
}

/// Whether the segment has a free block, other than this one, with room for a granule's worth.
bool has_spare(editor& edit, const segment& s, std::uint64_t but) {
  for (std::size_t cls = class_of(s.granule_bytes); cls < size_classes; ++cls) {
    for (std::uint64_t n = s.free_lists[cls]; n != 0; n = edit.at(n).next_free) {
      if (n != but) return true;
    }
  }
  return false;
}

/// Turns the whole granules inside a free block (on its list) into a hole.  One granule of the segment stays behind, so
/// that a caller who allocates and frees in turn does not commit and withdraw in turn; one of each free block would
/// leave more and more memory between the holes.
void shrink(transaction& tx, editor& edit, std::uint64_t number) {
  control& c = tx.shared();
  if (c.config.legacy_mem != 0) return;
  const block b = edit.at(number);
  const segment& s = c.segments[b.segment];
  const std::uint64_t kept = has_spare(edit, s, number) ? 0 : s.granule_bytes;
  const std::uint64_t start = align_up(b.offset - s.window_offset, s.granule_bytes) + kept;
  const std::uint64_t end = (b.offset + b.size - s.window_offset) & ~(s.granule_bytes - 1);
  if (start >= end) return;
  edit.unlink_free(number);
  std::uint64_t hole = number;
  if (s.window_offset + start > b.offset) {
    hole = edit.split(number, s.window_offset + start);
    edit.link_free(number);
  }
  if (s.window_offset + end < b.offset + b.size) edit.link_free(edit.split(hole, s.window_offset + end));
  tx.set(edit.at(hole).state, block_hole);
  edit.merge(hole, block_hole);
  withdraw_granules(tx, b.segment, start / s.granule_bytes, (end - start) / s.granule_bytes);
}

/// The segments to try, the wanted node's first.
std::vector<std::size_t> candidates(const control& c, socket_id socket) {
  std::vector<std::size_t> order;
  const int node = socket == any_socket ? current_node() : static_cast<int>(socket);
  for (const bool wanted : {true, false}) {
    for (std::size_t i = 0; i < c.config.segment_count; ++i) {
      if ((static_cast<int>(c.segments[i].socket) == node) == wanted) order.push_back(i);
    }
    if (socket != any_socket) break;
  }
  return order;
}

}  // namespace

std::uint64_t take_block(transaction& tx, const block_request& request) {
  block_request want = request;
  want.size = align_up(std::max<std::uint64_t>(request.size, 1), unit);
  want.align = std::max(request.align, unit);
  control& c = tx.shared();
  editor edit{tx};
  const auto take = [&](std::size_t index) -> std::uint64_t {
    const std::uint64_t n = find_free(edit, c.segments[index], want);
    if (n == 0) return 0;
    const std::uint64_t got = edit.carve(n, align_up(edit.at(n).offset, want.align), want.size);
    tx.set(edit.at(got).state, block_taken);
    tx.set(edit.at(got).owner, want.owner);
    tx.set(edit.at(got).used_bytes, request.used_bytes);
    tx.set(c.blocks_allocated, c.blocks_allocated + 1);
    tx.set(c.bytes_used, c.bytes_used + request.used_bytes);
    return got;
  };
  const std::vector<std::size_t> order = candidates(c, request.socket);
  for (const std::size_t index : order) {
    if (const std::uint64_t n = take(index); n != 0) return n;
  }
  std::string why = order.empty() ? "no memory on that NUMA node; choose another socket" : "";
  for (const std::size_t index : order) {
    try {
      if (grow(tx, edit, index, want)) return take(index);
      why = "the window of addresses is used up; start the group with fewer page sizes";
    } catch (const error& e) {
      if (e.kind() != errc::no_memory) throw;
      why = e.what();
    }
  }
  throw error{errc::no_memory, fmt::format("allocate {} bytes: {}", request.used_bytes, why)};
}

void give_block(transaction& tx, std::uint64_t number) {
  control& c = tx.shared();
  editor edit{tx};
  tx.set(c.blocks_allocated, c.blocks_allocated - 1);
  tx.set(c.bytes_used, c.bytes_used - edit.at(number).used_bytes);
  tx.set(edit.at(number).owner, 0);
  tx.set(edit.at(number).state, block_free);
  const std::uint64_t merged = edit.merge(number, block_free);
  edit.link_free(merged);
  shrink(tx, edit, merged);
}

std::uint64_t give_blocks_of(transaction& tx, std::uint64_t owner) {
  control& c = tx.shared();
  std::uint64_t given = 0;
  for (std::uint64_t n = 1; n <= c.blocks_used; ++n) {
    if (block_at(c, n).state != block_taken || block_at(c, n).owner != owner) continue;
    give_block(tx, n);
    tx.commit();
    ++given;
  }
  return given;
}

void format_segment(transaction& tx, std::size_t index) {
  editor edit{tx};
  segment& s = tx.shared().segments[index];
  const std::uint64_t n = edit.new_block();
  tx.set(edit.at(n).offset, s.window_offset);
  tx.set(edit.at(n).size, s.window_bytes);
  tx.set(edit.at(n).state, block_hole);
  tx.set(edit.at(n).segment, index);
  tx.set(s.first_block, n);
}

std::uint64_t commit_everything(group& g) {
  std::uint64_t total = 0;
  // Segments are in ascending order of page size; the large pages first, as a cap's last part may fit into small ones
  // only.
  for (std::size_t i = g.control().config.segment_count; i-- != 0;) {
    // A mount's own limit, or another taker, may leave less than the kernel counts as free: then by smaller steps.
    for (std::uint64_t granules = 64; granules != 0;) {
      transaction tx{g};
      editor edit{tx};
      const segment& s = tx.shared().segments[i];
      std::uint64_t hole = s.first_block;
      while (hole != 0 && edit.at(hole).state != block_hole) hole = edit.at(hole).next;
      if (hole == 0) break;
      const std::uint64_t bytes = std::min({committable_bytes(g, i), edit.at(hole).size, granules * s.granule_bytes});
      if (bytes == 0) break;
      try {
        fill_hole(tx, edit, hole, bytes);
        tx.commit();
        total += bytes;
      } catch (const error&) {
        granules /= 2;
      }
    }
  }
  return total;
}

}  // namespace mpnet::mem
