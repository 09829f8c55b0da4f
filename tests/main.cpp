// SPDX-License-Identifier: BSD-3-Clause
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

// The library forks members out of processes with threads, and their children start threads of their own.
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() {
  return "die_after_fork=0";
}

// A lease's mutex is held as long as its thread lives: every lock that the thread takes comes after it, and none of
// them is ever held by who waits for the lease's, because nobody waits for it.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "deadlock:lock_for_life\nrace:holdings_of_one\n";
}
