// SPDX-License-Identifier: BSD-3-Clause
// How a pool lies in its memory: footprint, formatting, and the checks before a pool made by another process is
// believed.
#include <mpnet/cycles.hpp>
#include <mpnet/error.hpp>
#include <mpnet/pool.hpp>

#include <algorithm>
#include <bit>
#include <string>

#include "pool/backend.hpp"
#include "pool/local.hpp"

namespace mpnet::detail {
namespace {

constexpr std::size_t objects_max = 1ULL << 31;
constexpr std::size_t object_bytes_max = 1ULL << 30;

struct plan {
  std::size_t stride = 0;
  std::size_t chunk_capacity = 0;
  std::size_t chunk_bytes = 0;
  std::size_t chunk_count = 0;
  std::size_t bitmap_words = 0;
  std::size_t bitmap_at = 0;
  std::size_t chunks_at = 0;
  std::size_t tags_at = 0;
  std::size_t private_at = 0;
  std::size_t objects_at = 0;
  std::size_t total = 0;
};

constexpr std::size_t round_up(std::size_t n, std::size_t to) noexcept {
  return (n + to - 1) / to * to;
}

[[noreturn]] void refuse(const std::string& why) {
  throw error{errc::invalid_argument, "make pool: " + why};
}

plan make_plan(const pool_options& options, const pool_format& format) {
  if (options.object_count == 0) refuse("object_count is 0; say how many objects it shall hold");
  if (options.object_count >= objects_max) refuse("object_count is beyond 2^31; make several pools");
  if (options.cache_size * 3 / 2 > options.object_count) {
    refuse("cache_size " + std::to_string(options.cache_size) +
           " is more than object_count / 1.5; one cache could hold "
           "everything: use a smaller cache or more objects");
  }
  if (options.private_bytes > object_bytes_max || format.object_bytes > object_bytes_max) {
    refuse("objects or private area beyond 1 GiB");
  }
  if (format.object_align > 4096) refuse("objects aligned to more than 4096 bytes");
  plan p;
  p.stride = round_up(std::max<std::size_t>(format.object_bytes, 1), std::max(format.object_align, cache_line));
  // A cache moves about its size at a time, in runs that fill whole lines with the state word before them; longer runs
  // than a kilobyte leave no time to ask for the next one early.
  const std::size_t wanted = options.cache_size == 0 ? 32 : std::clamp<std::size_t>(options.cache_size, 16, 256);
  p.chunk_capacity = wanted / 16 * 16 - 2;
  p.chunk_bytes = 8 + p.chunk_capacity * 4;
  // Enough for all objects in full chunks, and some that are partly full; more are never needed than there are objects.
  p.chunk_count = std::min(options.object_count, options.object_count / p.chunk_capacity + 65);
  p.bitmap_words = (p.chunk_count + chunks_per_word - 1) / chunks_per_word;
  p.bitmap_at = sizeof(pool_header);
  p.chunks_at = round_up(p.bitmap_at + p.bitmap_words * sizeof(bitmap_word), cache_line);
  p.tags_at = round_up(p.chunks_at + p.chunk_count * p.chunk_bytes, cache_line);
  p.private_at = round_up(p.tags_at + options.object_count * 2, cache_line);
  p.objects_at = round_up(p.private_at + options.private_bytes, std::max(format.object_align, cache_line));
  p.total = p.objects_at + options.object_count * p.stride;
  return p;
}

/// The inverse of an odd number modulo 2^64, by Newton's iteration: each round doubles the bits that are right.
constexpr std::uint64_t inverse_of(std::uint64_t odd) noexcept {
  std::uint64_t x = odd;  // right in 3 bits
  for (int i = 0; i < 5; ++i) x *= 2 - odd * x;
  return x;
}

void fill_backend(pool_header& pool) noexcept {
  std::uint32_t index = 0;
  for (std::uint32_t i = 0; i < pool.chunk_count; ++i) {
    pool_chunk& chunk = chunk_at(pool, i);
    const std::uint32_t n = std::min(pool.chunk_capacity, pool.object_count - index);
    // Relaxed, all of it: nobody can see the pool yet.
    for (std::uint32_t k = 0; k < n; ++k) chunk.slots[k].store(index++, std::memory_order_relaxed);
    chunk.state.store(open_chunk(n), std::memory_order_relaxed);
    if (n != 0) {
      auto& word = pool.bitmap[i / chunks_per_word].bits;
      word.store(word.load(std::memory_order_relaxed) | 1ULL << i % chunks_per_word, std::memory_order_relaxed);
    }
  }
}

}  // namespace

std::size_t pool_footprint(const pool_options& options, const pool_format& format) {
  return make_plan(options, format).total;
}

pool_header& format_pool(void* memory, const pool_options& options, const pool_format& format) {
  const plan p = make_plan(options, format);
  auto* base = static_cast<std::byte*>(memory);
  auto& pool = *::new (memory) pool_header{};
  pool.index.store(static_cast<std::uint32_t>(max_zones), std::memory_order_relaxed);  // relaxed: nobody sees it yet
  pool.object_count = static_cast<std::uint32_t>(options.object_count);
  pool.stride_bytes = static_cast<std::uint32_t>(p.stride);
  pool.stride_shift = static_cast<std::uint32_t>(std::countr_zero(p.stride));
  pool.stride_inverse = inverse_of(p.stride >> pool.stride_shift);
  pool.objects = base + p.objects_at;
  pool.tags = reinterpret_cast<std::atomic<std::uint16_t>*>(base + p.tags_at);
  pool.chunks = base + p.chunks_at;
  pool.bitmap = reinterpret_cast<bitmap_word*>(base + p.bitmap_at);
  pool.chunk_count = static_cast<std::uint32_t>(p.chunk_count);
  pool.chunk_capacity = static_cast<std::uint32_t>(p.chunk_capacity);
  pool.chunk_bytes = static_cast<std::uint32_t>(p.chunk_bytes);
  pool.bitmap_words = static_cast<std::uint32_t>(p.bitmap_words);
  pool.cache_size = static_cast<std::uint32_t>(options.cache_size);
  pool.object_bytes = static_cast<std::uint32_t>(format.object_bytes);
  pool.private_bytes = static_cast<std::uint32_t>(options.private_bytes);
  pool.private_area = base + p.private_at;
  pool.flags = format.flags;
  pool.uid = monotonic_ns() * 0x9e3779b97f4a7c15ULL ^ reinterpret_cast<std::uintptr_t>(memory) ^ process_tag;
  pool.layout = format.layout;
  pool.total_bytes = p.total;
  pool.data_room_bytes = format.data_room_bytes;
  fill_backend(pool);
  pool.magic = pool_magic;
  return pool;
}

pool_header& attach_pool(void* memory, std::size_t size_bytes, std::uint32_t index, std::uint64_t layout) {
  const auto bad = [](const char* why) -> error {
    return {errc::corrupt, std::string{"attach pool: "} + why + "; whoever wrote there must be found"};
  };
  if (memory == nullptr) throw error{errc::invalid_argument, "attach pool: no memory given; look the pool up by name"};
  if (reinterpret_cast<std::uintptr_t>(memory) % cache_line != 0) throw bad("its memory is not aligned to 64 bytes");
  if (size_bytes < sizeof(pool_header)) throw bad("its memory is smaller than a pool's header");
  auto& pool = *static_cast<pool_header*>(memory);
  if (pool.magic != pool_magic) throw bad("there is no pool in that memory");
  if (pool.total_bytes > size_bytes) throw bad("it claims more memory than its zone has");
  if (layout != 0 && pool.layout != layout) {
    throw error{
        errc::incompatible,
        "attach pool: its objects have another type or size than asked for; attach with the type it was made with"};
  }
  const auto* base = static_cast<const std::byte*>(memory);
  const auto inside = [&](const void* at, std::uint64_t bytes) {
    const auto offset = static_cast<std::uint64_t>(static_cast<const std::byte*>(at) - base);
    return offset >= sizeof(pool_header) && offset <= pool.total_bytes && bytes <= pool.total_bytes - offset;
  };
  if (pool.object_count == 0 || pool.stride_bytes < pool.object_bytes || pool.chunk_capacity == 0 ||
      pool.chunk_bytes != 8 + pool.chunk_capacity * 4 ||
      pool.bitmap_words != (pool.chunk_count + chunks_per_word - 1) / chunks_per_word ||
      !inside(pool.bitmap, std::uint64_t{pool.bitmap_words} * sizeof(bitmap_word)) ||
      !inside(pool.chunks, std::uint64_t{pool.chunk_count} * pool.chunk_bytes) ||
      !inside(pool.tags, std::uint64_t{pool.object_count} * 2) || !inside(pool.private_area, pool.private_bytes) ||
      !inside(pool.objects, std::uint64_t{pool.object_count} * pool.stride_bytes)) {
    throw bad("its header contradicts itself");
  }
  if (index >= max_zones) throw error{errc::invalid_argument, "attach pool: no such entry of the directory"};
  pool.index.store(index, std::memory_order_relaxed);  // relaxed: the same value by everybody, before any object is got
  if (local_of(pool) == nullptr) throw error{errc::no_memory, "attach pool: out of memory"};
  return pool;
}

}  // namespace mpnet::detail
