// SPDX-License-Identifier: BSD-3-Clause
// The world of the kill-at-every-instruction tests: one arena with leases, tags, a ring, and what each actor did, and
// the judgement that every object is in exactly one place.  The judgement does not rest on tags: it counts objects.
#pragma once

#include <mpnet/ring.hpp>
#include <ring/ring_repair.hpp>

#include <array>
#include <cstring>
#include <map>
#include <new>
#include <vector>

#include "../support/crash_run.hpp"

namespace mpnet::test {

struct pooled {  // stands for a pool's object
  std::uint32_t id;
};

struct actor_log {  // written by one actor, read by the judge
  std::array<std::uint32_t, 16> put{};
  std::array<std::uint32_t, 16> took{};
  std::uint32_t put_asked = 0, put_count = 0, took_count = 0;
  std::uint32_t put_expected = 0;  // what an enqueue cut short puts if it puts anything; 0: not known
  bool put_done = false, took_begun = false, took_done = false;
  alignas(64) std::array<std::byte, 16 * 64> taken{};  // where dequeues write
};

/// Fills `took` from `taken`.
template <class T>
void decode(actor_log& log);

inline constexpr std::size_t object_count = 64;

struct shared_world {
  std::array<detail::lease, 12> leases;
  std::array<std::size_t, 4> lease_of;  // of actor 1: A, 2: B, 3: the judge
  std::array<actor_log, 4> logs;
  std::array<pooled, object_count> objects;
  std::array<std::uint16_t, object_count> tags;
  std::uint32_t prefilled = 0;  // objects 1 … prefilled were put by the preparation
  // 8 slots of 64 bytes in each lane
  alignas(128) std::array<std::byte, sizeof(detail::ring_header) + sizeof(detail::ring_choices) +
                                         detail::ring_lane_count*(sizeof(detail::ring_header) + 8 * 64)> ring_bytes;
};

extern shared_world* world;

// Elements carry an object's number.
template <class T>
struct element {
  static T make(std::uint32_t id) {
    T value{};
    std::memcpy(&value, &id, 4);
    return value;
  }
  static std::uint32_t id(const T& value) {
    std::uint32_t id;
    std::memcpy(&id, &value, 4);
    return id;
  }
};
template <>
struct element<pooled*> {
  static pooled* make(std::uint32_t id) { return &world->objects[id]; }
  static std::uint32_t id(pooled* p) { return p == nullptr ? 0 : p->id; }
};

template <class T>
void decode(actor_log& log) {
  for (std::size_t i = 0; i < log.took.size(); ++i) {
    T value;
    std::memcpy(&value, log.taken.data() + i * sizeof(T), sizeof(T));
    log.took[i] = element<T>::id(value);
  }
}

/// Makes this thread actor `index`.
inline void become(std::size_t index) {
  detail::lease_table = world->leases.data();
  detail::this_lease = &world->leases[world->lease_of[index]];
  detail::process_tag = static_cast<std::uint16_t>(index);
}

/// What the judge found wrong, by kind.
struct verdict {
  std::size_t hangs = 0, losses = 0, duplicates = 0, disorders = 0;
  std::string text;
  [[nodiscard]] bool clean() const { return hangs + losses + duplicates + disorders == 0; }
  void add(std::size_t& kind, const std::string& what) { ++kind, text += what + "; "; }
};

/// Drains `left` (what is in the ring now, in order) against the logs.
verdict judge(const std::vector<std::uint32_t>& left, bool tags_matter);

}  // namespace mpnet::test

template <>
struct mpnet::ring_element<mpnet::test::pooled*> {
  static constexpr bool is_pool_object = true;
  static void take(mpnet::test::pooled* const* objects, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
      // relaxed: ordered by the ring's commit.
      std::atomic_ref<std::uint16_t>{mpnet::test::world->tags[objects[i]->id]}.store(mpnet::detail::process_tag,
                                                                                     std::memory_order_relaxed);
    }
  }
};
