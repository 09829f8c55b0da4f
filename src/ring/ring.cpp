// SPDX-License-Identifier: BSD-3-Clause
// Rings without their element type: size, formatting, checked attaching, and the slow turns of the hot path.
#include <fmt/format.h>
#include <mpnet/cycles.hpp>
#include <mpnet/error.hpp>
#include <mpnet/ring.hpp>

#include <bit>
#include <cstring>

namespace mpnet::detail {

#if defined(__x86_64__)
const bool has_wide_copy = __builtin_cpu_supports("avx2") != 0;
#endif

std::uint64_t ring_type_id(const char* type_name, std::size_t size) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325ULL ^ size;
  for (; *type_name != '\0'; ++type_name) hash = (hash ^ static_cast<unsigned char>(*type_name)) * 0x100000001b3ULL;
  return hash;
}

std::size_t ring_footprint(std::size_t capacity, std::size_t element_size) {
  if (capacity == 0 || capacity > max_ring_capacity)
    throw error{errc::invalid_argument,
                fmt::format("ring: capacity {} cannot be; give 1 to {} objects", capacity, max_ring_capacity)};
  const std::size_t bytes = sizeof(ring_header) + std::bit_ceil(capacity) * element_size;
  return (bytes + alignof(ring_header) - 1) & ~(alignof(ring_header) - 1);
}

namespace {

void format_side(ring_own& own, ring_published& published, const ring_header& h, ring_sync sync) {
  // relaxed: nobody else sees the ring before its magic is there.
  own.word.store(0, std::memory_order_relaxed);
  own.next.store(0, std::memory_order_relaxed);
  own.cached_peer.store(0, std::memory_order_relaxed);
  own.capacity = h.capacity;
  own.mask = h.slot_count - 1;
  own.flags = h.flags;
  own.sync = sync;
  published.tail.store(0, std::memory_order_relaxed);
}

bool known_sync(ring_sync sync) {
  return sync == ring_sync::single || sync == ring_sync::many;
}

[[noreturn]] void attach_failed(const char* name, errc code, const std::string& why) {
  throw error{code, fmt::format("attach ring '{}': {}", name, why)};
}

}  // namespace

ring_header* ring_format(void* memory, std::size_t size_bytes, const ring_options& options, const ring_type& type,
                         std::uint32_t extra_flags) {
  const std::size_t needed = ring_footprint(options.capacity, type.element_size);
  if (memory == nullptr || reinterpret_cast<std::uintptr_t>(memory) % alignof(ring_header) != 0)
    throw error{errc::invalid_argument,
                fmt::format("ring: memory at {} is not aligned to {} bytes", memory, alignof(ring_header))};
  if (size_bytes < needed)
    throw error{errc::invalid_argument, fmt::format("ring: {} bytes given, {} needed for {} objects; see footprint()",
                                                    size_bytes, needed, options.capacity)};
  if (!known_sync(options.producers) || !known_sync(options.consumers))
    throw error{errc::unsupported, "ring: a mode that this version does not know; use single or many"};

  auto* h = ::new (memory) ring_header;
  h->type_id = type.id;
  h->capacity = options.capacity;
  h->slot_count = std::bit_ceil(options.capacity);
  h->element_size = type.element_size;
  h->flags = extra_flags;
  if (options.doorbell) h->flags |= ring_doorbell;
  if (type.pool_objects) h->flags |= ring_pool_objects;
  if (type.pool_objects && options.shared_between_processes) h->flags |= ring_tags;
  if (!options.shared_between_processes) h->flags |= ring_private;
  h->producers = options.producers;
  h->consumers = options.consumers;
  h->owner_slot =
      process_tag == 0 ? static_cast<std::uint16_t>(no_process) : static_cast<std::uint16_t>(process_tag - 1);
  h->spare = 0;
  h->size_bytes = needed;
  h->bell.store(0, std::memory_order_relaxed);  // relaxed: as in format_side
  h->sleeping.store(0, std::memory_order_relaxed);
  format_side(h->producer, h->produced, *h, options.producers);
  format_side(h->consumer, h->consumed, *h, options.consumers);
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
  const bool sound =
      h->capacity != 0 && h->capacity <= max_ring_capacity && h->slot_count == std::bit_ceil(h->capacity) &&
      h->size_bytes <= size_bytes && h->size_bytes >= sizeof(ring_header) + h->slot_count * h->element_size &&
      known_sync(h->producers) && known_sync(h->consumers) && h->producer.mask == h->slot_count - 1 &&
      h->consumer.mask == h->slot_count - 1 && h->producer.capacity == h->capacity &&
      h->consumer.capacity == h->capacity && h->producer.sync == h->producers && h->consumer.sync == h->consumers;
  if (!sound) attach_failed(name, errc::corrupt, "its header contradicts itself; destroy it and make it again");
  if ((h->flags & ring_private) != 0 && process_tag != 0 && h->owner_slot + 1 != process_tag)
    attach_failed(name, errc::busy,
                  fmt::format("it was made for process {} alone (shared_between_processes = false)", h->owner_slot));
  return h;
}

std::size_t ring_approx_count(const ring_header& h) noexcept {
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
