// SPDX-License-Identifier: BSD-3-Clause
// The loops in which packets travel: through a ring from one process to another, or through ports.  One template for
// all, so that each library's calls are inlined into the same code.
//
// A stage S offers, each for up to n packets and returning how many:
//   receive(packet**, n)         a packet from a pool, or from a port
//   enqueue(packet* const*, n)   into the ring between the processes
//   dequeue(packet**, n)
//   finish(packet**, n)          back to its pool, or out of a port; always all of them
// or, for ports on one core, forward(n): one turn of the poll loop, returning the packets moved.
#pragma once

#include "contestant.hpp"
#include "machine.hpp"
#include "queue_kernels.hpp"

#include <algorithm>
#include <array>

namespace bench {

template <class S>
[[gnu::flatten]] outcome packets_produce(S stage, const work& w) noexcept {
  std::array<typename S::packet*, max_burst> packets;
  std::uint64_t left = w.objects;
  while (left != 0) {
    const auto got = stage.receive(packets.data(), static_cast<unsigned>(std::min<std::uint64_t>(w.burst, left)));
    unsigned sent = stage.enqueue(packets.data(), got);
    for (unsigned tries = 0; sent != got;) {
      lose_patience(tries, w.patience);
      sent += stage.enqueue(packets.data() + sent, got - sent);
    }
    left -= got;
  }
  return {.objects = w.objects, .busy = 0};
}

template <class S>
[[gnu::flatten]] outcome packets_consume(S stage, const work& w) noexcept {
  std::array<typename S::packet*, max_burst> packets;
  std::uint64_t left = w.objects;
  unsigned tries = 0;
  while (left != 0) {
    const auto got = stage.dequeue(packets.data(), w.burst);
    if (got == 0) {
      lose_patience(tries, w.patience);
      continue;
    }
    stage.finish(packets.data(), got);
    left -= got;
  }
  return {.objects = w.objects, .busy = 0};
}

template <class S>
[[gnu::flatten]] outcome packets_alternate(S stage, const work& w) noexcept {
  std::uint64_t done = 0;
  if constexpr (requires { stage.forward(1U); }) {
    while (done < w.objects) done += stage.forward(w.burst);
  } else {
    std::array<typename S::packet*, max_burst> packets;
    while (done < w.objects) {
      const auto in = stage.enqueue(packets.data(), stage.receive(packets.data(), w.burst));
      const auto out = stage.dequeue(packets.data(), in);
      stage.finish(packets.data(), out);
      done += out;
    }
  }
  return {.objects = done, .busy = 0};
}

/// Everything of a contestant but how its pool, ring and ports are made: derived classes fill in stage_.
template <class S>
class packet_contestant : public contestant {
 public:
  using contestant::contestant;
  outcome run(role r, const work& w) override {
    if constexpr (requires { stage_.forward(1U); }) {
      return packets_alternate(stage_, w);
    } else {
      if (r == role::alternate) return packets_alternate(stage_, w);
      return r == role::produce ? packets_produce(stage_, w) : packets_consume(stage_, w);
    }
  }

 protected:
  S stage_{};
};

inline constexpr unsigned packet_count = 8191;
inline constexpr unsigned packet_cache = 256;
inline constexpr unsigned packet_ring_capacity = 1023;

}  // namespace bench
