// SPDX-License-Identifier: BSD-3-Clause
// A caller of the copy between arrays and slots, built for a processor with AVX: the compiler may keep its values in
// whole vector registers meanwhile.  Nothing here but that: what is inline and shared with the rest of the program must
// not be built for such a processor.
#include <mpnet/detail/ring_copy.hpp>

using vector = double __attribute__((vector_size(32)));

bool keeps_vectors(std::byte* to, const std::byte* from, std::size_t bytes);
bool keeps_vectors(std::byte* to, const std::byte* from, std::size_t bytes) {
  // One variable each: an array would lie in memory.  The assembly says that they are in registers before and after.
  vector a{1, 2, 3, 4}, b{5, 6, 7, 8}, c{9, 10, 11, 12}, d{13, 14, 15, 16};
  asm volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d));
  mpnet::detail::copy_bytes(to, from, bytes);
  asm volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d));
  const vector sum = a + b + c + d;
  return sum[0] == 28 && sum[1] == 32 && sum[2] == 36 && sum[3] == 40;
}
