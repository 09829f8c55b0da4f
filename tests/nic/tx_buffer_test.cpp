// SPDX-License-Identifier: BSD-3-Clause
#include <mpnet/tx_buffer.hpp>

#include <catch2/catch.hpp>

#include "nic/support.hpp"

using namespace mpnet;

TEST_CASE("a tx buffer sends full bursts, flushes, and counts what the queue does not take", "[nic]") {
  test::member m{test::unique_prefix("txbuf")};
  auto pool = m.pool(64);
  const port p = create_vdev(m.g, "net_ring0,size=10");
  p.bring_up({.pool = "mbufs"});
  auto claim = p.take_queue(queue_id{0});
  {
    tx_buffer out{p, queue_id{0}, 4};
    for (int i = 0; i < 3; ++i) CHECK(out.add(pool.alloc()) == 0);
    CHECK(out.pending() == 3);
    CHECK(out.add(pool.alloc()) == 4);
    CHECK(out.add(pool.alloc()) == 0);
    CHECK(out.flush() == 1);
    CHECK(out.flush() == 0);
    for (int i = 0; i < 4; ++i) (void)out.add(pool.alloc());
    CHECK(out.dropped() == 0);
    std::size_t seen = 0;
    out.on_drop(
        [](void* context, std::span<mbuf*> rest) noexcept {
          *static_cast<std::size_t*>(context) += rest.size();
          free_mbufs(rest);
        },
        &seen);
    for (int i = 0; i < 4; ++i) (void)out.add(pool.alloc());  // the ring has room for one more
    CHECK(out.dropped() == 3);
    CHECK(seen == 3);
    (void)out.add(pool.alloc());  // given back by the destructor
  }
  CHECK(pool.stats().in_use == 10);  // in the ring
}
