// SPDX-License-Identifier: BSD-3-Clause
// Making and finding pools of mbufs.  Control.
#include <mpnet/error.hpp>
#include <mpnet/mbuf.hpp>

#include <string>

namespace mpnet {

detail::pool_format mbuf_pool::format(const mbuf_pool_options& options) {
  if (options.data_room_bytes > 0xffff) {
    throw error{errc::invalid_argument, "make mbuf pool: data_room_bytes is beyond 65,535; longer packets are chains"};
  }
  if (options.private_bytes % 8 != 0 || options.private_bytes > 0xffff) {
    throw error{errc::invalid_argument, "make mbuf pool: private_bytes must be a multiple of 8 below 65,536"};
  }
  return {.object_bytes = sizeof(mbuf) + options.private_bytes + options.data_room_bytes,
          .object_align = alignof(mbuf),
          .layout = layout(),
          .flags = detail::pool_of_mbufs,
          .data_room_bytes = static_cast<std::uint16_t>(options.data_room_bytes)};
}

void mbuf_pool::initialise(detail::pool_header& header, const mbuf_pool_options& options, std::uint64_t first_iova) {
  const std::size_t lead = sizeof(mbuf) + options.private_bytes;
  for (std::uint32_t i = 0; i < header.object_count; ++i) {
    std::byte* at = detail::object_at(header, i);
    mbuf& m = *::new (static_cast<void*>(at)) mbuf{};
    m.buffer = at + lead;
    m.buffer_iova = first_iova + static_cast<std::uint64_t>(m.buffer - header.objects);
    m.buffer_len = static_cast<std::uint16_t>(options.data_room_bytes);
    m.private_len = static_cast<std::uint16_t>(options.private_bytes);
    m.pool = &header;
    m.references.store(detail::one_hold, std::memory_order_relaxed);  // relaxed: nobody sees the pool yet
    m.reset();
  }
}

namespace {

mbuf_pool open(group& g, std::string_view name, const mbuf_pool_options& options, detail::pool_open how) {
  const pool_options plain{
      .object_count = options.mbuf_count, .cache_size = options.cache_size, .socket = options.socket};
  return mbuf_pool{detail::open_pool(
      g, name, &plain, mbuf_pool::format(options),
      [&](detail::pool_header& header) {
        mbuf_pool::initialise(header, options, static_cast<std::uint64_t>(g.iova_of(header.objects)));
      },
      how)};
}

}  // namespace

mbuf_pool mbuf_pool::create(group& g, std::string_view name, const mbuf_pool_options& options) {
  return open(g, name, options, detail::pool_open::create);
}
mbuf_pool mbuf_pool::create_or_attach(group& g, std::string_view name, const mbuf_pool_options& options) {
  return open(g, name, options, detail::pool_open::either);
}
mbuf_pool mbuf_pool::attach(group& g, std::string_view name) {
  return mbuf_pool{detail::open_pool(g, name, nullptr, format({}), {}, detail::pool_open::attach)};
}
mbuf_pool mbuf_pool::lookup(group& g, std::string_view name) {
  return mbuf_pool{detail::open_pool(g, name, nullptr, format({}), {}, detail::pool_open::lookup)};
}

}  // namespace mpnet
