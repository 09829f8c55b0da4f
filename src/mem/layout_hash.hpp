// SPDX-License-Identifier: BSD-3-Clause
// The layout hash: what two builds must agree on to share memory.  FNV-1a over {field, offset, size} of each shared
// struct, at compile time.  It covers layout, not the build: unlike builds with like layouts may share a group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace mpnet::mem {

struct layout_field {
  std::string_view name;
  std::size_t offset;
  std::size_t size;
};

consteval std::uint64_t layout_hash(std::uint64_t seed, std::initializer_list<layout_field> fields) {
  std::uint64_t hash = seed ^ 0xcbf29ce484222325ULL;
  const auto mix = [&hash](std::uint64_t byte) { hash = (hash ^ (byte & 0xff)) * 0x100000001b3ULL; };
  for (const layout_field& f : fields) {
    for (const char c : f.name) mix(static_cast<unsigned char>(c));
    for (int i = 0; i < 8; ++i) mix(f.offset >> (8 * i));
    for (int i = 0; i < 8; ++i) mix(f.size >> (8 * i));
  }
  return hash;
}

}  // namespace mpnet::mem

#define MPNET_FIELD(type, member)                                   \
  mpnet::mem::layout_field {                                        \
#type "." #member, offsetof(type, member), sizeof(type::member) \
  }
