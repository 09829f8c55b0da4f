// SPDX-License-Identifier: BSD-3-Clause
// Rings without their element type: size, formatting, checked attaching, and the slow turns of the hot path.
#include <fmt/format.h>
#include <mpnet/cycles.hpp>
#include <mpnet/error.hpp>
#include <mpnet/ring.hpp>

#include <bit>
#include <cstring>

namespace mpnet::detail {

namespace {
bool is_laned(const ring_options& options) {
  return options.producers == ring_sync::many_concurrent || options.consumers == ring_sync::many_concurrent;
}
}  // namespace

std::uint64_t ring_type_id(const char* type_name, std::size_t size) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325ULL ^ size;
  for (; *type_name != '\0'; ++type_name) hash = (hash ^ static_cast<unsigned char>(*type_name)) * 0x100000001b3ULL;
  return hash;
}

std::size_t ring_footprint(const ring_options& options, std::size_t element_size) {
  const std::size_t capacity = options.capacity;
  if (capacity == 0 || capacity > max_ring_capacity) {
    throw error{errc::invalid_argument,
                fmt::format("ring: capacity {} cannot be; give 1 to {} objects", capacity, max_ring_capacity)};
  }
  const std::size_t one = ring_lane_bytes(std::bit_ceil(capacity), element_size);
  return is_laned(options) ? sizeof(ring_header) + sizeof(ring_choices) + ring_lane_count * one : one;
}

namespace {

ring_path path_of(const ring_own& own, const ring_header& h) {
  const ring_sync sync = own.sync;
  const bool rings = &own == &h.producer && (h.flags & ring_doorbell) != 0;
  if (rings || (h.flags & ring_apart) != 0 || sync == ring_sync::many_concurrent) return ring_path::general;
  return sync == ring_sync::single ? ring_path::single : ring_path::many;
}

void format_side(ring_own& own, ring_published& published, const ring_header& h, ring_sync sync) {
  // relaxed: nobody else sees the ring before its magic is there.
  own.word.store(0, std::memory_order_relaxed);
  own.next.store(0, std::memory_order_relaxed);
  own.limit.store(&own == &h.producer ? h.capacity : 0, std::memory_order_relaxed);
  own.capacity = h.capacity;
  own.mask = h.slot_count - 1;
  own.flags = h.flags;
  own.sync = sync;
  own.path = path_of(own, h);
  own.found_full.store(0, std::memory_order_relaxed);
  own.lanes_used.store(0, std::memory_order_relaxed);
  own.lane_bytes = ring_lane_bytes(h.slot_count, h.element_size);
  published.tail.store(0, std::memory_order_relaxed);
}

bool known_sync(ring_sync sync) {
  return sync <= ring_sync::many_concurrent;
}

// A ring without lanes, or one lane.
ring_header* format_one(void* memory, const ring_options& options, const ring_type& type, std::uint32_t flags,
                        std::size_t size_bytes) {
  auto* h = ::new (memory) ring_header;
  h->type_id = type.id;
  h->capacity = options.capacity;
  h->slot_count = std::bit_ceil(options.capacity);
  h->element_size = type.element_size;
  h->flags = flags;
  h->producers = options.producers;
  h->consumers = options.consumers;
  h->owner_slot =
      process_tag == 0 ? static_cast<std::uint16_t>(no_process) : static_cast<std::uint16_t>(process_tag - 1);
  h->spare = 0;
  h->size_bytes = size_bytes;
  h->bell.store(0, std::memory_order_relaxed);  // relaxed: as in format_side
  h->sleeping.store(0, std::memory_order_relaxed);
  for (auto* count : {&h->repairs.undone_by_waiters, &h->repairs.finished_by_waiters, &h->repairs.undone_by_recovery,
                      &h->repairs.finished_by_recovery, &h->repairs.published_late})
    count->store(0, std::memory_order_relaxed);
  const bool laned = (flags & ring_laned) != 0;
  format_side(h->producer, h->produced, *h, laned ? ring_sync::many_concurrent : options.producers);
  format_side(h->consumer, h->consumed, *h, laned ? ring_sync::many_concurrent : options.consumers);
  return h;
}

std::uint32_t flags_of(const ring_options& options, const ring_type& type) {
  std::uint32_t flags = 0;
  if (options.doorbell) flags |= ring_doorbell;
  if (options.apart) flags |= ring_apart;
  if (type.pool_objects) flags |= ring_pool_objects;
  if (type.pool_objects && options.shared_between_processes) flags |= ring_tags;
  if (!options.shared_between_processes) flags |= ring_private;
  return flags;
}

bool header_is_sound(const ring_header& h, std::size_t size_bytes) {
  if (h.capacity == 0 || h.capacity > max_ring_capacity || h.slot_count != std::bit_ceil(h.capacity)) return false;
  if (!known_sync(h.producers) || !known_sync(h.consumers)) return false;
  const ring_options options{.capacity = h.capacity, .producers = h.producers, .consumers = h.consumers};
  if (((h.flags & ring_laned) != 0) != is_laned(options)) return false;
  if (h.size_bytes > size_bytes || h.size_bytes < ring_footprint(options, h.element_size)) return false;
  for (const ring_own* own : {&h.producer, &h.consumer}) {
    const ring_sync asked = own == &h.producer ? h.producers : h.consumers;
    if (own->mask != h.slot_count - 1 || own->capacity != h.capacity || own->flags != h.flags) return false;
    if (own->lane_bytes != ring_lane_bytes(h.slot_count, h.element_size)) return false;
    if (own->sync != (is_laned(options) ? ring_sync::many_concurrent : asked)) return false;
    if (own->path != path_of(*own, h)) return false;
  }
  return true;
}

// Whether this process owns a private ring; one whose owner died belongs to the first that attaches.
bool ring_is_mine(ring_header& h) {
  const std::atomic_ref<std::uint16_t> owner{h.owner_slot};
  auto nobody = static_cast<std::uint16_t>(no_process);
  const auto me = static_cast<std::uint16_t>(process_tag - 1);
  // [A-owner] recovery has emptied it.  relaxed: a failure is only compared.
  return owner.compare_exchange_strong(nobody, me, std::memory_order_acquire, std::memory_order_relaxed) ||
         nobody == me;
}

[[noreturn]] void attach_failed(const char* name, errc code, const std::string& why) {
  throw error{code, fmt::format("attach ring '{}': {}", name, why)};
}

}  // namespace

ring_header* ring_format(void* memory, std::size_t size_bytes, const ring_options& options, const ring_type& type,
                         std::uint32_t extra_flags) {
  const std::size_t needed = ring_footprint(options, type.element_size);
  if (memory == nullptr || reinterpret_cast<std::uintptr_t>(memory) % alignof(ring_header) != 0)
    throw error{errc::invalid_argument,
                fmt::format("ring: memory at {} is not aligned to {} bytes", memory, alignof(ring_header))};
  if (size_bytes < needed)
    throw error{errc::invalid_argument, fmt::format("ring: {} bytes given, {} needed for {} objects; see footprint()",
                                                    size_bytes, needed, options.capacity)};
  if (!known_sync(options.producers) || !known_sync(options.consumers))
    throw error{errc::unsupported, "ring: a mode that this version does not know; use single, many or many_concurrent"};

  std::uint32_t flags = flags_of(options, type) | extra_flags | (is_laned(options) ? ring_laned : 0U);
  ring_header* h = format_one(memory, options, type, flags, needed);
  if (is_laned(options)) {
    ring_options each = options;
    if (each.producers == ring_sync::many_concurrent) each.producers = ring_sync::many;
    if (each.consumers == ring_sync::many_concurrent) each.consumers = ring_sync::many;
    flags &= ~std::uint32_t{ring_laned | ring_doorbell};  // the bell is the whole ring's
    for (auto& choice : choices_of(*h).of) choice.store(ring_no_choice, std::memory_order_relaxed);  // as format_side
    // A single producer has the first, whichever thread it is.
    h->consumer.lanes_used.store(options.producers == ring_sync::single ? 1 : 0, std::memory_order_relaxed);
    const std::size_t bytes = h->consumer.lane_bytes;
    for (std::size_t i = 0; i < ring_lane_count; ++i) {
      format_one(&ring_lane(*h, i), each, type, flags, bytes)->magic.store(ring_magic, std::memory_order_relaxed);
    }
  }
  // [R-magic] publishes the whole of it; pairs with [A-magic] in ring_attach.
  h->magic.store(ring_magic, std::memory_order_release);
  return h;
}

ring_header* ring_attach(void* memory, std::size_t size_bytes, const ring_type& type, const char* name) {
  if (memory == nullptr || reinterpret_cast<std::uintptr_t>(memory) % alignof(ring_header) != 0)
    attach_failed(name, errc::invalid_argument, fmt::format("{} is no address of a ring", memory));
  if (size_bytes < sizeof(ring_header))
    attach_failed(name, errc::corrupt, fmt::format("{} bytes are too few for a ring", size_bytes));
  auto* h = static_cast<ring_header*>(memory);
  // [A-magic] what the creator wrote is complete.
  if (h->magic.load(std::memory_order_acquire) != ring_magic)
    attach_failed(name, errc::corrupt, "no ring lies there, or one of another version");
  if (h->element_size != type.element_size)
    attach_failed(name, errc::incompatible,
                  fmt::format("its elements have {} bytes, those asked for {}; attach with the "
                              "type that it was made with",
                              h->element_size, type.element_size));
  if (h->type_id != type.id)
    attach_failed(name, errc::incompatible,
                  "its elements are of another type; attach with the type that it was made with");
  if (!header_is_sound(*h, size_bytes))
    attach_failed(name, errc::corrupt, "its header contradicts itself; destroy it and make it again");
  if ((h->flags & ring_private) != 0 && process_tag != 0 && !ring_is_mine(*h))
    attach_failed(name, errc::busy,
                  fmt::format("it was made for process {} alone (shared_between_processes = false)", h->owner_slot));
  return h;
}

void ring_require(const ring_header& h, ring_sync producers, ring_sync consumers, bool apart) {
  const bool has_bell = (h.flags & ring_doorbell) != 0;
  if (h.producers == producers && h.consumers == consumers && ((h.flags & ring_apart) != 0) == apart && !has_bell)
    return;
  throw error{errc::incompatible,
              "fixed_ring: the ring was made with other modes, another `apart`, or a doorbell; name what it was made "
              "with, or use ring<T>"};
}

std::size_t ring_approx_count(const ring_header& h) noexcept {
  if ((h.flags & ring_laned) != 0) {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < ring_lane_count; ++i)
      sum += ring_approx_count(ring_lane(const_cast<ring_header&>(h), i));
    return sum;
  }
  // [A-ctail] [A-ptail] the consumers' tail first: then the difference cannot be negative, at most too large.
  const std::uint64_t consumed = h.consumed.tail.load(std::memory_order_acquire);
  const std::uint64_t produced = h.produced.tail.load(std::memory_order_acquire);
  return std::min(distance(consumed, produced), h.capacity);
}

std::uint64_t ring_key_slow(const ring_own& own) noexcept {
  lease* l = this_lease;
  if (l == nullptr && (own.flags & ring_standalone) != 0) return key_of_nobody;
  l = current_lease();
  if (l == nullptr) return 0;
  l->key.store(claim_key(*l), std::memory_order_relaxed);  // relaxed: for this thread
  return claim_key(*l);
}

}  // namespace mpnet::detail
