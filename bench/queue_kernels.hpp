// SPDX-License-Identifier: BSD-3-Clause
// The loops in which queues are timed.  One template for all, so that each library's calls are inlined into the same
// code.
//
// A queue Q offers: using item (8 bytes);  unsigned enqueue(const item*, unsigned n) and unsigned dequeue(item*,
// unsigned n), which return how many went; static format(memory); and may have prepare(), enter(worker), join(worker),
// leave(worker). A Q with is_handle is not in the memory itself: attach(memory) returns one, which the loops keep in
// registers.
#pragma once

#include "contestant.hpp"
#include "machine.hpp"

#include <array>
#include <type_traits>

namespace bench {

inline constexpr unsigned queue_capacity = 1023;
inline constexpr unsigned max_burst = 256;

inline void lose_patience(unsigned& tries, unsigned patience) noexcept {
  if (++tries < patience) {
    _mm_pause();
  } else {
    tries = 0;
    sched_yield();
  }
}

template <class Q>
class queue_contestant final : public contestant {
 public:
  using contestant::contestant;
  using item = typename Q::item;

  void prepare() override {
    if constexpr (requires { Q::prepare(); }) Q::prepare();
  }
  void enter(unsigned worker) override {
    if constexpr (requires { Q::enter(worker); }) Q::enter(worker);
  }
  void format(void* memory) override { Q::format(memory); }
  static constexpr bool handle = requires { Q::is_handle; };
  void join(void* memory, unsigned worker, unsigned) override {
    if constexpr (handle) {
      queue_ = Q::attach(memory);
    } else {
      queue_ = static_cast<Q*>(memory);
    }
    if constexpr (requires { get().join(worker); }) get().join(worker);
  }
  void leave(unsigned worker) override {
    if constexpr (requires { get().leave(worker); }) get().leave(worker);
  }

  outcome run(role r, const work& w) override {
    switch (r) {
      case role::produce:
        return loop<true, false>(w);
      case role::consume:
        return loop<false, true>(w);
      case role::alternate:
        break;
    }
    return loop<true, true>(w);
  }

 private:
  [[nodiscard]] Q& get() noexcept {
    if constexpr (handle) {
      return queue_;
    } else {
      return *queue_;
    }
  }

  [[gnu::always_inline]] static void push_all(Q& queue, const item* items, unsigned count, unsigned patience) noexcept {
    unsigned done = queue.enqueue(items, count);
    for (unsigned tries = 0; done != count;) {
      lose_patience(tries, patience);
      done += queue.enqueue(items + done, count - done);
    }
  }
  [[gnu::always_inline]] static void pop_all(Q& queue, item* items, unsigned count, unsigned patience) noexcept {
    unsigned done = queue.dequeue(items, count);
    for (unsigned tries = 0; done != count;) {
      lose_patience(tries, patience);
      done += queue.dequeue(items + done, count - done);
    }
  }

  /// Flattened, so that what is timed is the library's code and not the compiler's idea of what is worth inlining here.
  template <bool Push, bool Pop>
  [[gnu::flatten]] outcome loop(const work& w) noexcept {
    alignas(64) std::array<item, max_burst> items;
    alignas(64) std::array<item, max_burst> taken;
    for (unsigned i = 0; i < max_burst; ++i) items[i] = reinterpret_cast<item>(static_cast<std::uintptr_t>(i + 1) * 64);
    std::conditional_t<handle, Q, Q&> queue = get();
    const unsigned burst = w.burst, patience = w.patience;
    const auto bursts_of = [&](auto n, std::uint64_t count) noexcept {
      for (; count != 0; --count) {
        if constexpr (Push) push_all(queue, items.data(), n, patience);
        if constexpr (Pop) pop_all(queue, taken.data(), n, patience);
      }
    };
    // One object a call is mostly written as such: the 1 is known when the loop is compiled, for every library.
    const auto some_bursts = [&](std::uint64_t count) noexcept {
      if (burst == 1)
        bursts_of(std::integral_constant<unsigned, 1>{}, count);
      else
        bursts_of(burst, count);
    };
    if (w.duration == 0) {
      some_bursts(w.objects / burst);
      return {.objects = w.objects, .busy = 0};
    }
    const std::uint64_t end = cycles() + w.duration;
    std::uint64_t done = 0;
    for (unsigned chunk = 1;; chunk = chunk < 16 ? chunk * 2 : 16) {  // grows: some peers need a millisecond a burst
      some_bursts(chunk);
      done += std::uint64_t{chunk} * burst;
      const auto now = cycles();
      if (now >= end) break;
    }
    return {.objects = done, .busy = 0};
  }

  std::conditional_t<handle, Q, Q*> queue_{};
};

template <class Q>
[[nodiscard]] std::unique_ptr<contestant> make_queue(std::string name, std::string mode, bool across_processes = true) {
  auto made = std::make_unique<queue_contestant<Q>>(std::move(name), std::move(mode));
  made->across_processes = across_processes;
  return made;
}

}  // namespace bench
