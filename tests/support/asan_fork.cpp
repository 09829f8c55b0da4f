// SPDX-License-Identifier: BSD-3-Clause
// Forks under AddressSanitizer.  The runtimes of GCC up to 13 do not hold their own locks over a fork(): the child of a
// process with threads may inherit one that is locked, by a thread that it does not have, and hangs at its next
// allocation.  Here they are held, by the names that they have inside the runtime, which is why it is linked
// statically. Every program of a build with ASan has this file; where the runtime knows no such names, it does so
// itself.
#include <pthread.h>
#include <sys/stat.h>

#include <utility>

namespace __lsan {
void LockThreadRegistry();
void UnlockThreadRegistry();
void LockAllocator();
void UnlockAllocator();
}  // namespace __lsan

namespace __sanitizer {
void StackDepotLockAll();
void StackDepotUnlockAll();
}  // namespace __sanitizer

namespace {

bool held = false;  // written by who holds the locks, or is alone

/// A directory has a link more for each that lies in it.  Asked without an allocation.
bool alone() {
  struct stat tasks {};
  return ::stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink == 3;
}

void lock_runtime() {
  if (alone()) return;  // nobody holds anything, and the stack depot's million locks take 8 ms
  __lsan::LockThreadRegistry();
  __lsan::LockAllocator();
  __sanitizer::StackDepotLockAll();
  held = true;
}

void unlock_runtime() {
  if (!std::exchange(held, false)) return;
  __sanitizer::StackDepotUnlockAll();
  __lsan::UnlockAllocator();
  __lsan::UnlockThreadRegistry();
}

/// Before all other handlers are registered: theirs, which may allocate, run while nothing is locked yet, or any more.
[[gnu::constructor(101)]] void hold_over_forks() {
  ::pthread_atfork(&lock_runtime, &unlock_runtime, &unlock_runtime);
}

}  // namespace
