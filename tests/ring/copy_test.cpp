// SPDX-License-Identifier: BSD-3-Clause
// The copy between arrays and slots leaves the vector registers of its caller alone.
#include <catch2/catch.hpp>
#include <cstddef>
#include <vector>

bool keeps_vectors(std::byte* to, const std::byte* from, std::size_t bytes);  // avx_caller.cpp

TEST_CASE("ring: a caller built for AVX alone finds its vector registers as they were", "[ring]") {
  if (__builtin_cpu_supports("avx") == 0) {
    WARN("SKIP: this processor has no AVX");
    return;
  }
  for (const std::size_t bytes : {32, 64, 68, 128, 1000}) {
    std::vector<std::byte> to(bytes), from(bytes);
    for (std::size_t i = 0; i < bytes; ++i) from[i] = static_cast<std::byte>(i * 7 + 1);
    CHECK(keeps_vectors(to.data(), from.data(), bytes));
    CHECK(to == from);
  }
}
