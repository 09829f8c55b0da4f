// SPDX-License-Identifier: BSD-3-Clause
// Apart from those who allocate: where both are inlined GCC takes them for a pair that does not belong together.
#include "faults/allocations.hpp"

#include <cstdlib>
#include <new>

namespace faults {

thread_local int allocations_left = -1;
void (*at_refusal)() = nullptr;

}  // namespace faults

void* operator new(std::size_t bytes) {
  if (faults::allocations_left == 0) {
    if (faults::at_refusal != nullptr) faults::at_refusal();
    throw std::bad_alloc{};
  }
  if (faults::allocations_left > 0) --faults::allocations_left;
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  return memory != nullptr ? memory : throw std::bad_alloc{};
}
// The delete below takes what this one gives; a sanitizer's own would be another family.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
