// SPDX-License-Identifier: BSD-3-Clause
// Locks in shared memory, and what the next owner learns of the last one.
#include <mpnet/memzone.hpp>
#include <mpnet/mutex.hpp>
#include <mpnet/process.hpp>

#include <catch2/catch.hpp>
#include <thread>

#include "mem/membership.hpp"
#include "support/child.hpp"
#include "support/small_group.hpp"

using namespace mpnet;
using test::small_group;

namespace {
struct shared_data {
  mpnet::mutex lock;
  spinlock spin;
  long count;
};
shared_data& data_of(group& g) {
  return *static_cast<shared_data*>(
      find_or_reserve_zone(g, {.name = "data", .size_bytes = sizeof(shared_data)}, [](void*) {}).address);
}
}  // namespace

TEST_CASE("mutex: threads exclude each other, registered or not", "[mem]") {
  group g{small_group(test::unique_prefix("mutex"))};
  shared_data& data = data_of(g);
  std::vector<std::thread> threads;
  for (std::uint16_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      if (i % 2 == 0) detail::take_lease(g, lcore{i});
      for (int n = 0; n < 5000; ++n) {
        const last_owner fate = data.lock.lock();
        ++data.count;
        data.lock.unlock();
        if (fate != last_owner::unlocked) std::abort();
      }
      detail::release_lease();
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(data.count == 20000);
}

TEST_CASE("mutex: a holder's death is told to the next owner, once", "[mem][crash]") {
  const std::string prefix = test::unique_prefix("robust");
  const test::signal_pipe ready;
  const test::signal_pipe locked;
  test::child holder{[&] {
    if (ready.wait() == 0) return 1;
    group g{{.file_prefix = prefix, .type = process_type::secondary}};
    shared_data& data = data_of(g);
    data.lock.lock();
    (void)data.spin.lock();
    locked.notify();
    ::pause();
    return 1;
  }};
  group g{small_group(prefix)};
  shared_data& data = data_of(g);
  ready.notify();
  REQUIRE(locked.wait() != 0);
  CHECK_FALSE(data.lock.try_lock());
  CHECK_FALSE(data.lock.try_lock_for(std::chrono::milliseconds{5}));
  CHECK_FALSE(data.spin.lock(100));
  holder.kill(SIGKILL);
  holder.wait();
  SECTION("before anybody recovered") {}
  SECTION("after the recovery gave the lease back") {
    CHECK(recover_dead(g) == 1);
  }
  CHECK(data.lock.lock() == last_owner::died);
  CHECK(data.spin.lock() == last_owner::died);
  data.lock.unlock();
  data.spin.unlock();
  CHECK(data.lock.lock() == last_owner::unlocked);
  CHECK(data.spin.lock() == last_owner::unlocked);
  data.lock.unlock();
  data.spin.unlock();
}

TEST_CASE("mutex: a thread that ends while holding it counts as dead", "[mem][crash]") {
  group g{small_group(test::unique_prefix("thread-end"))};
  shared_data& data = data_of(g);
  std::thread{[&] { data.lock.lock(); }}.join();
  CHECK(data.lock.lock() == last_owner::died);
  data.lock.unlock();
}
