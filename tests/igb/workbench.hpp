// SPDX-License-Identifier: BSD-3-Clause
// A workbench without a group: an arena that stands for the region, an mbuf pool and rings in it, a software 82576
// whose DMA reaches the arena and nothing else, and the driver's queues on top.  For tests, the fuzzer and the bench.
#pragma once

#include <sys/mman.h>
#include <mpnet/detail/lease.hpp>
#include <mpnet/mbuf.hpp>

#include <cstring>
#include <new>
#include <optional>
#include <stdexcept>
#include <vector>

#include "igb/soft_82576.hpp"
#include "nic/igb/igb_queues.hpp"

namespace mpnet::test {

using namespace mpnet::nic;

class workbench {
 public:
  static constexpr std::uint64_t first_iova = 4ULL << 30;

  explicit workbench(std::size_t mbufs = 1024, std::size_t data_room = mbuf_default_data_room, unsigned queues = 2,
                     std::uint32_t descriptors = 128)
      : leases_(max_leases * sizeof(detail::lease)), arena_(64 << 20), queues_(queues), descriptors_(descriptors) {
    saved_ = {detail::lease_table, detail::this_lease, detail::process_tag};
    detail::lease_table = static_cast<detail::lease*>(leases_.address);
    // Relaxed: one thread.
    for (std::size_t i = 0; i < max_leases; ++i) detail::lease_table[i].incarnation.store(1, std::memory_order_relaxed);
    detail::this_lease = &detail::lease_table[0];
    detail::process_tag = 1;

    mbuf_pool_options options;
    options.mbuf_count = mbufs;
    options.cache_size = mbufs >= 512 ? 256 : 0;
    options.data_room_bytes = data_room;
    const detail::pool_format format = mbuf_pool::format(options);
    pool_options plain;
    plain.object_count = mbufs;
    plain.cache_size = options.cache_size;
    const std::size_t bytes = detail::pool_footprint(plain, format);
    void* memory = take(bytes);
    detail::pool_header& header = detail::format_pool(memory, plain, format);
    mbuf_pool::initialise(header, options, iova_of(header.objects));
    detail::attach_pool(memory, bytes, next_index(), format.layout);
    pool = mbuf_pool{&header};

    device = std::make_unique<soft_82576>(soft_82576::window{arena_.address, arena_.bytes, first_iova});
    hw = {device->bar(), igb::find_model(igb::intel_vendor_id, 0x10C9)};
    rx.resize(queues);
    tx.resize(queues);
    rx_shared = new (take(queues * sizeof(igb::rx_queue))) igb::rx_queue[queues]{};
    tx_shared = new (take(queues * sizeof(igb::tx_queue))) igb::tx_queue[queues]{};
    counters = new (take(2 * queues * sizeof(detail::queue_counters))) detail::queue_counters[2 * queues]{};
    for (unsigned q = 0; q < queues; ++q) prepare(q);
  }
  ~workbench() {
    detail::flush_thread_caches();
    detail::lease_table = saved_.table;
    detail::this_lease = saved_.own;
    detail::process_tag = saved_.tag;
  }
  workbench(const workbench&) = delete;
  workbench& operator=(const workbench&) = delete;

  /// Reset, the usual configuration, and all queues running.
  void bring_up(const igb::receive_config& config = {}) {
    igb::reset(hw);
    igb::set_up_link(hw, igb::pause_mode::none);
    igb::set_up_receive(hw, config);
    igb::set_up_transmit(hw);
    for (unsigned q = 0; q < queues_; ++q) {
      igb::start(hw, q, rx[q], device_address(rx[q].pages, iova_of(rx_shared[q].ring), descriptors_ * 16));
      igb::start(hw, q, tx[q], device_address(tx[q].pages, iova_of(tx_shared[q].ring), descriptors_ * 16));
    }
    igb::enable_transmit(hw, true);
    igb::enable_receive(hw, true);
  }
  void stop_queues() {
    for (unsigned q = 0; q < queues_; ++q) {
      igb::stop(hw, q, rx_shared[q]);
      igb::stop(hw, q, tx_shared[q]);
      igb::give_back_aside(rx[q]);
    }
  }
  /// Before bring_up(): the device sees memory by physical addresses, and no two pages lie side by side there.
  void without_iommu() {
    const std::size_t count = arena_.bytes / dma_pages::page_bytes;
    page_table = std::vector<dma_pages::entry>(count);
    device->windows.clear();
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t physical = (0x100 + (i * 7 + 3) % count) * dma_pages::page_bytes;
      page_table[i].store(physical, std::memory_order_relaxed);  // relaxed: one thread
      auto* page = static_cast<std::byte*>(arena_.address) + i * dma_pages::page_bytes;
      device->windows.push_back({page, dma_pages::page_bytes, physical});
    }
    pages.emplace(page_table);
    for (unsigned q = 0; q < queues_; ++q) rx[q].pages = tx[q].pages = &*pages;
  }

  [[nodiscard]] std::uint64_t iova_of(const void* p) const {
    return first_iova +
           static_cast<std::uint64_t>(static_cast<const std::byte*>(p) - static_cast<const std::byte*>(arena_.address));
  }
  [[nodiscard]] std::size_t free_mbufs() const {
    const pool_stats s = pool.stats();
    return s.available + s.in_caches_here;
  }
  /// An mbuf with these bytes, in segments of at most `segment` bytes.
  [[nodiscard]] mbuf* packet_of(std::span<const std::uint8_t> bytes, std::size_t segment = SIZE_MAX) {
    mbuf* first = nullptr;
    for (std::size_t at = 0; at < bytes.size();) {
      mbuf* m = pool.alloc();
      if (m == nullptr) throw std::runtime_error{"the pool is empty"};
      const std::size_t n = std::min({segment, bytes.size() - at, std::size_t{m->tailroom()}});
      std::memcpy(m->append(static_cast<std::uint16_t>(n)), bytes.data() + at, n);
      at += n;
      if (first == nullptr) {
        first = m;
      } else if (!first->chain(m)) {
        throw std::runtime_error{"chain"};
      }
    }
    return first;
  }
  [[nodiscard]] static packet bytes_of(mbuf* m) {
    packet out;
    for (; m != nullptr; m = m->next) {
      const auto* p = m->data<std::uint8_t>();
      out.insert(out.end(), p, p + m->data_len);
    }
    return out;
  }
  std::vector<mbuf*> receive(unsigned queue, bool scattered = false, std::size_t most = 64) {
    std::vector<mbuf*> out(most);
    out.resize((scattered ? igb::rx_burst_scattered : igb::rx_burst)(&rx[queue], out.data(), most));
    return out;
  }
  std::size_t send(unsigned queue, std::span<mbuf*> packets) {
    return igb::tx_burst(&tx[queue], packets.data(), packets.size());
  }
  [[nodiscard]] std::uint64_t count(const std::atomic<std::uint64_t>& c) const {
    return c.load(std::memory_order_relaxed);  // relaxed: one thread
  }

  mbuf_pool pool;
  std::unique_ptr<soft_82576> device;
  igb::hw hw;
  std::vector<igb::rx_context> rx;
  std::vector<igb::tx_context_local> tx;
  igb::rx_queue* rx_shared = nullptr;
  igb::tx_queue* tx_shared = nullptr;
  detail::queue_counters* counters = nullptr;  // rx, then tx
  std::vector<dma_pages::entry> page_table;    // without_iommu()
  std::optional<dma_pages> pages;

 private:
  struct mapping {
    explicit mapping(std::size_t n) : bytes(n) {
      address = mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
      if (address == MAP_FAILED) throw std::bad_alloc{};
    }
    ~mapping() { munmap(address, bytes); }
    mapping(const mapping&) = delete;
    mapping& operator=(const mapping&) = delete;
    std::size_t bytes;
    void* address;
  };
  static std::uint32_t next_index() {
    static std::uint32_t last = 0;
    return last = static_cast<std::uint32_t>(last % (max_zones - 1) + 1);
  }
  void* take(std::size_t bytes) {
    void* p = static_cast<std::byte*>(arena_.address) + used_;
    used_ += (bytes + 4095) & ~std::size_t{4095};
    if (used_ > arena_.bytes) throw std::bad_alloc{};
    return p;
  }
  void prepare(unsigned q) {
    igb::rx_queue& r = rx_shared[q];
    r.descriptor_count = descriptors_;
    r.ring = static_cast<igb::rx_desc*>(take(descriptors_ * sizeof(igb::rx_desc)));
    r.slots = static_cast<mbuf**>(take(descriptors_ * sizeof(mbuf*)));
    igb::tx_queue& t = tx_shared[q];
    t.descriptor_count = descriptors_;
    t.ring = static_cast<igb::tx_desc*>(take(descriptors_ * sizeof(igb::tx_desc)));
    t.slots = static_cast<mbuf**>(take(descriptors_ * sizeof(mbuf*)));
    t.batch_end = static_cast<std::uint16_t*>(take(descriptors_ * sizeof(std::uint16_t)));
    rx[q] = {.queue = &r,
             .doorbell = hw.regs.doorbell(igb::RDT[q]),
             .pool = pool.header(),
             .counters = &counters[q],
             .mask = descriptors_ - 1,
             .buffer_bytes = static_cast<std::uint16_t>((pool.data_room_bytes() - mbuf_headroom) & ~std::size_t{1023}),
             .port = 7,
             .rss_flag = mbuf_flag::rx_rss_hash};
    tx[q] = {.queue = &t,
             .doorbell = hw.regs.doorbell(igb::TDT[q]),
             .counters = &counters[queues_ + q],
             .mask = descriptors_ - 1};
  }

  struct saved {
    detail::lease* table;
    detail::lease* own;
    std::uint16_t tag;
  };
  mapping leases_, arena_;
  std::size_t used_ = 0;
  unsigned queues_;
  std::uint32_t descriptors_;
  saved saved_{};
};

}  // namespace mpnet::test
