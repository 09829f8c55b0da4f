// SPDX-License-Identifier: BSD-3-Clause
// Functions that layers above register with this one: eight at most, the same one counts once, none is ever taken out.
// Without a lock, so that a signal handler and the child of a fork may call them at any moment.
#pragma once

#include <mpnet/error.hpp>

#include <array>
#include <atomic>

namespace mpnet::mem {

template <class... Args>
class hooks {
 public:
  using function = void (*)(Args...) noexcept;

  /// Throws limit.
  void add(function f) {
    for (auto& place : places_) {
      function there = nullptr;
      // [R-hook] what the function reads was set up before; pairs with [A-hook]
      if (place.compare_exchange_strong(there, f, std::memory_order_release, std::memory_order_relaxed) || there == f) {
        return;
      }
    }
    throw error{errc::limit, "hooks: more functions than there are places"};
  }
  /// In the order of registration.
  void call(Args... args) const noexcept {
    for (const auto& place : places_) {
      // [A-hook] pairs with [R-hook]
      if (const function f = place.load(std::memory_order_acquire); f != nullptr) f(args...);
    }
  }

 private:
  std::array<std::atomic<function>, 8> places_{};
};

}  // namespace mpnet::mem
