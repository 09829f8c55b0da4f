// SPDX-License-Identifier: BSD-3-Clause
// The Toeplitz hash of receive side scaling, bit by bit as Microsoft's "RSS hashing functions" defines it: slow, plain,
// and written apart from everything that it checks.
#pragma once

#include <cstdint>
#include <span>

namespace mpnet::test {

inline std::uint32_t toeplitz(std::span<const std::uint8_t> key, std::span<const std::uint8_t> input) {
  std::uint32_t hash = 0;
  for (std::size_t bit = 0; bit < input.size() * 8; ++bit) {
    if ((input[bit / 8] & (0x80U >> (bit % 8))) == 0) continue;
    std::uint32_t window = 0;  // 32 bits of the key from `bit` on
    for (std::size_t i = bit; i < bit + 32; ++i) {
      window = (window << 1) | ((key[i / 8] >> (7 - i % 8)) & 1U);
    }
    hash ^= window;
  }
  return hash;
}

}  // namespace mpnet::test
