// SPDX-License-Identifier: BSD-3-Clause
// What tests of ports share: a member of a group with its message endpoint, a pool, packets to compare.
#pragma once

#include <mpnet/error.hpp>
#include <mpnet/group.hpp>
#include <mpnet/ipc.hpp>
#include <mpnet/mbuf.hpp>
#include <mpnet/port.hpp>

#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "nic/port_table.hpp"
#include "ring/ring_repair.hpp"
#include "support/child.hpp"

namespace test {

struct member {
  explicit member(const std::string& prefix, mpnet::process_type type = mpnet::process_type::primary)
      : g{options(prefix, type)}, messages{g} {}

  static mpnet::group_options options(const std::string& prefix, mpnet::process_type type) {
    mpnet::nic::register_port_kind();
    mpnet::detail::register_pool_kind();
    mpnet::detail::register_ring_kind();
    mpnet::group_options o{.file_prefix = prefix, .type = type};
    if (type == mpnet::process_type::primary) {
      o.no_huge = true;
      o.memory_mib = 128;
    }
    return o;
  }

  [[nodiscard]] mpnet::mbuf_pool pool(std::size_t count = 1024) {
    return mpnet::mbuf_pool::create_or_attach(g, "mbufs", {.mbuf_count = count, .cache_size = 0});
  }

  mpnet::group g;
  mpnet::ipc::endpoint messages;
};

/// The kind and the text of the error that `f` throws; errc{} where it throws none.
struct outcome {
  mpnet::errc kind{};
  std::string text;
};
inline outcome try_it(const std::function<void()>& f) {
  try {
    f();
  } catch (const mpnet::error& e) {
    return {e.kind(), e.what()};
  }
  return {};
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline mpnet::mbuf* packet_of(const mpnet::mbuf_pool& pool, const std::vector<std::uint8_t>& bytes) {
  mpnet::mbuf* m = pool.alloc();
  if (m == nullptr) return nullptr;
  std::memcpy(m->append(static_cast<std::uint16_t>(bytes.size())), bytes.data(), bytes.size());
  return m;
}

inline std::vector<std::uint8_t> bytes_of(const mpnet::mbuf* m) {
  std::vector<std::uint8_t> bytes;
  for (; m != nullptr; m = m->next) {
    const auto* data = m->data<std::uint8_t>();
    bytes.insert(bytes.end(), data, data + m->data_len);
  }
  return bytes;
}

/// A broadcast Ethernet frame of an experimental type; `tag` makes it different from others.
inline std::vector<std::uint8_t> frame_of(std::size_t len, std::uint32_t tag) {
  std::vector<std::uint8_t> f(len);
  for (std::size_t i = 0; i < len; ++i) f[i] = static_cast<std::uint8_t>(i * 7 + tag);
  for (std::size_t i = 0; i < 6; ++i) f[i] = 0xff;
  f[6] = 2;
  f[12] = 0x88;
  f[13] = 0xb5;
  std::memcpy(&f[14], &tag, 4);
  return f;
}

}  // namespace test
