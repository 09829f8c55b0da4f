// SPDX-License-Identifier: BSD-3-Clause
// A ring on memory that children of a fork share.
#pragma once

#include <sys/mman.h>
#include <mpnet/ring.hpp>

#include <new>

namespace mpnet::test {

template <class T>
class ring_memory {
 public:
  explicit ring_memory(const ring_options& options) : size_(ring<T>::footprint(options)) {
    bytes_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (bytes_ == MAP_FAILED) throw std::bad_alloc{};
    handle_ = ring<T>::format(bytes_, size_, options);
  }
  ~ring_memory() { ::munmap(bytes_, size_); }
  ring_memory(const ring_memory&) = delete;
  ring_memory& operator=(const ring_memory&) = delete;

  [[nodiscard]] ring<T> handle() const { return handle_; }
  [[nodiscard]] std::byte* bytes() const { return static_cast<std::byte*>(bytes_); }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  void* bytes_ = nullptr;
  ring<T> handle_;
};

}  // namespace mpnet::test
