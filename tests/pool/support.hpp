// SPDX-License-Identifier: BSD-3-Clause
// Pools on plain shared memory, with a lease table of the test's own: what the tests of the hot half need of a group.
#pragma once

#include <sys/mman.h>
#include <mpnet/detail/lease.hpp>
#include <mpnet/mbuf.hpp>
#include <mpnet/pool.hpp>

#include <catch2/catch.hpp>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace pool_test {

using namespace mpnet;

/// Zeroed memory that children share.
class memory {
 public:
  explicit memory(std::size_t bytes) : bytes_(bytes) {
    address_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(address_ != MAP_FAILED);
  }
  ~memory() { munmap(address_, bytes_); }
  memory(const memory&) = delete;
  memory& operator=(const memory&) = delete;
  [[nodiscard]] void* get() const noexcept { return address_; }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_; }

 private:
  void* address_;
  std::size_t bytes_;
};

/// Leases on plain memory; the calling thread holds lease `index` and the process has tag `tag`.
class leases {
 public:
  leases() : memory_(max_leases * sizeof(detail::lease)) {
    saved_ = {detail::lease_table, detail::this_lease, detail::process_tag};
    detail::lease_table = static_cast<detail::lease*>(memory_.get());
    for (std::size_t i = 0; i < max_leases; ++i) detail::lease_table[i].incarnation.store(1, std::memory_order_relaxed);
    become(0, 1);
  }
  ~leases() {
    detail::flush_thread_caches();
    detail::lease_table = saved_.table;
    detail::this_lease = saved_.own;
    detail::process_tag = saved_.tag;
  }
  leases(const leases&) = delete;
  leases& operator=(const leases&) = delete;
  static void become(std::uint16_t index, std::uint16_t tag) {
    detail::this_lease = &detail::lease_table[index];
    detail::process_tag = tag;
  }
  static void mark_dead(std::uint16_t index) {
    detail::alive_word(detail::lease_table[index]).fetch_or(FUTEX_OWNER_DIED, std::memory_order_release);
  }

 private:
  struct saved {
    detail::lease* table;
    detail::lease* own;
    std::uint16_t tag;
  };
  memory memory_;
  saved saved_{};
};

struct message {
  char text[64];
};

/// A pool of T in plain memory under entry `index` of the directory.
template <class T = message>
class plain_pool {
 public:
  explicit plain_pool(const pool_options& options, std::uint32_t index = 7)
      : index_(index), memory_(detail::pool_footprint(options, pool<T>::format())) {
    detail::format_pool(memory_.get(), options, pool<T>::format());
    handle_ = pool<T>{&detail::attach_pool(memory_.get(), memory_.size(), index, pool<T>::layout())};
  }
  ~plain_pool() { detail::flush_thread_caches(); }
  plain_pool(const plain_pool&) = delete;
  plain_pool& operator=(const plain_pool&) = delete;
  pool<T>* operator->() { return &handle_; }
  pool<T>& operator*() { return handle_; }
  [[nodiscard]] detail::pool_header& header() { return *handle_.header(); }

 private:
  std::uint32_t index_;
  memory memory_;
  pool<T> handle_;
};

class plain_mbuf_pool {
 public:
  explicit plain_mbuf_pool(const mbuf_pool_options& options, std::uint32_t index = 9)
      : memory_(detail::pool_footprint(plain(options), mbuf_pool::format(options))) {
    detail::format_pool(memory_.get(), plain(options), mbuf_pool::format(options));
    handle_ = mbuf_pool{&detail::attach_pool(memory_.get(), memory_.size(), index, mbuf_pool::layout())};
    mbuf_pool::initialise(*handle_.header(), options, 0x100000000);
  }
  ~plain_mbuf_pool() { detail::flush_thread_caches(); }
  plain_mbuf_pool(const plain_mbuf_pool&) = delete;
  plain_mbuf_pool& operator=(const plain_mbuf_pool&) = delete;
  mbuf_pool* operator->() { return &handle_; }
  mbuf_pool& operator*() { return handle_; }

 private:
  static pool_options plain(const mbuf_pool_options& o) {
    return {.object_count = o.mbuf_count, .cache_size = o.cache_size};
  }
  memory memory_;
  mbuf_pool handle_;
};

}  // namespace pool_test
