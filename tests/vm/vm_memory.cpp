// SPDX-License-Identifier: BSD-3-Clause
// A member that makes its group's memory grow while others forward, lets the device read from what it added, and gives
// it back.
//   vm_memory [EAL options] -- PORT QUEUE PACKETS   sends PACKETS frames of type 88b5 out of the port's tx queue
#include <mpnet/mpnet.hpp>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace mpnet;

long free_pages() {
  long n = -1;
  std::ifstream{"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"} >> n;
  return n;
}

/// Each packet from a buffer of its own, so that the device reads all over the new memory.
void send_all(const port& p, queue_id queue, const mbuf_pool& pool, std::size_t count) {
  std::vector<mbuf*> packets(count);
  if (pool.alloc_bulk(packets) != count) throw error{errc::no_memory, "the pool is smaller than it should be"};
  std::uint32_t number = 0;
  for (mbuf* m : packets) {
    auto* f = static_cast<std::uint8_t*>(std::memset(m->append(60), 0, 60));
    std::memset(f, 0xff, 6);
    std::memcpy(f + 6, p.mac().bytes.data(), 6);
    f[12] = 0x88;
    f[13] = 0xb5;
    std::memcpy(f + 14, &number, sizeof(number));
    ++number;
  }
  for (std::size_t sent = 0; sent < count && !stop_requested();) {
    sent += p.tx_burst(queue, {packets.data() + sent, std::min<std::size_t>(count - sent, 32)});
    std::this_thread::sleep_for(std::chrono::milliseconds{1});  // the emulated peer loses what comes faster
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_main([&] {
    eal e{argc, argv};
    if (e.args().size() != 3) throw error{errc::usage, "PORT QUEUE PACKETS"};
    const stop_on_signals signals;
    const port p = *find_port(e, list_ports(e).at(static_cast<std::size_t>(std::stoi(e.args()[0]))).id);
    const queue_id queue{static_cast<std::uint16_t>(std::stoi(e.args()[1]))};
    const auto count = static_cast<std::size_t>(std::stoi(e.args()[2]));
    const long before = free_pages();
    long grown = 0;
    {
      const auto pool = mbuf_pool::create(e, "GROWN", {.mbuf_count = count, .cache_size = 0});
      grown = free_pages();
      {
        const queue_claim claim = p.take_queue(queue, queue_side::tx);
        send_all(p, queue, pool, count);
        // The ring has 512 descriptors; the last one used is just before its tail.
        while (p.tx_descriptor(queue, 511) == descriptor_state::full && !stop_requested()) {
        }
      }
    }
    mbuf_pool::destroy(e, "GROWN");
    std::printf("free hugepages: %ld before, %ld with the pool, %ld after it\n", before, grown, free_pages());
  });
}
