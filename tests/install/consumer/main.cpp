// SPDX-License-Identifier: BSD-3-Clause
// What somebody else's program takes from an installed mpnet: headers, the library, thread-local state that crosses the
// library's border, an exception thrown inside it.
#include <mpnet/cycles.hpp>
#include <mpnet/detail/lease.hpp>
#include <mpnet/error.hpp>
#include <mpnet/group.hpp>

#include <unistd.h>
#include <cstdio>
#include <string>
#include <thread>

int main() {
  int failures = 0;
  std::thread{[&] { failures += mpnet::lcore_id() != mpnet::no_lcore; }}.join();
  failures += mpnet::lcore_id() != mpnet::no_lcore;
  failures += mpnet::tsc_hz() == 0;
  failures += mpnet::make_error_code(mpnet::errc::busy).message().empty();
  std::printf("consumer: %d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
