// SPDX-License-Identifier: BSD-3-Clause
// What death_probe and the test that watches it share.
#pragma once

#include <cstddef>
#include <cstdint>

struct token {
  std::uint64_t value;
};
inline constexpr std::size_t token_count = 400;
