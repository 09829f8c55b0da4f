// SPDX-License-Identifier: BSD-3-Clause
// Threads made while this lives take no signals: those go to the application's threads.  Signals that a fault raises
// stay with the thread that has it, and a crash elsewhere must be able to park them.
#pragma once

#include <pthread.h>

#include <csignal>

#include "mem/fault.hpp"

namespace mpnet::ipc {

class block_signals {
 public:
  block_signals() noexcept {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTRAP}) sigdelset(&all, fault);
    sigdelset(&all, mem::park_signal());
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~block_signals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  block_signals(const block_signals&) = delete;
  block_signals& operator=(const block_signals&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace mpnet::ipc
