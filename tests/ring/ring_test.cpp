// SPDX-License-Identifier: BSD-3-Clause
// A ring's behaviour in one thread: order, bounds, wrap-around, element sizes, zero-copy calls, checked attaching.
#include <catch2/catch.hpp>
#include <mpnet/fixed_ring.hpp>
#include <mpnet/ring.hpp>
#include "ring_memory.hpp"

#include <numeric>

using namespace mpnet;

namespace {

template <std::size_t Size>
struct sized {
  std::array<std::uint32_t, Size / 4> words{};
  static sized of(std::uint32_t n) {
    sized s;
    for (std::size_t i = 0; i < s.words.size(); ++i) s.words[i] = n * 100 + static_cast<std::uint32_t>(i);
    return s;
  }
  friend bool operator==(const sized&, const sized&) = default;
};

template <class T, class Make>
void fifo_through(ring_options options, Make make) {
  test::ring_memory<T> memory{options};
  const ring<T> r = memory.handle();
  std::uint32_t in = 0, out = 0;
  std::vector<T> buffer(options.capacity + 3);
  for (std::size_t round = 0; round < 400; ++round) {
    const std::size_t want = 1 + round * 7 % (options.capacity + 2);
    for (std::size_t i = 0; i < want; ++i) buffer[i] = make(in + static_cast<std::uint32_t>(i));
    const std::size_t free = options.capacity - (in - out);
    const std::size_t put = r.enqueue_burst({buffer.data(), want});
    REQUIRE(put == std::min(want, free));
    in += static_cast<std::uint32_t>(put);
    REQUIRE(r.approx_count() == in - out);
    const std::size_t take = 1 + round * 5 % (options.capacity + 2);
    std::fill(buffer.begin(), buffer.end(), T{});
    const std::size_t got = r.dequeue_burst({buffer.data(), take});
    REQUIRE(got == std::min<std::size_t>(take, in - out));
    for (std::size_t i = 0; i < got; ++i) REQUIRE(buffer[i] == make(out + static_cast<std::uint32_t>(i)));
    REQUIRE((got == buffer.size() || buffer[got] == T{}));
    out += static_cast<std::uint32_t>(got);
  }
}

constexpr ring_sync modes[] = {ring_sync::single, ring_sync::many, ring_sync::many_concurrent};
constexpr ring_sync plain_modes[] = {ring_sync::single, ring_sync::many};

}  // namespace

TEST_CASE("objects come out in the order they went in, in every mode and size", "[ring]") {
  for (const ring_sync producers : modes)
    for (const ring_sync consumers : modes)
      for (const std::size_t capacity : {1, 2, 3, 8, 13, 64}) {
        ring_options options{.capacity = capacity, .producers = producers, .consumers = consumers};
        fifo_through<std::uint64_t>(options, [](std::uint32_t n) { return std::uint64_t{n} + 1; });
        fifo_through<std::uint32_t>(options, [](std::uint32_t n) { return n + 1; });
        fifo_through<sized<12>>(options, sized<12>::of);
        fifo_through<sized<20>>(options, sized<20>::of);
        fifo_through<sized<64>>(options, sized<64>::of);
        options.apart = true;
        fifo_through<std::uint64_t>(options, [](std::uint32_t n) { return std::uint64_t{n} + 1; });
        fifo_through<sized<12>>(options, sized<12>::of);
        fifo_through<sized<64>>(options, sized<64>::of);
      }
}

namespace {

// The two handles in turn: what one puts in, the other takes out.
template <ring_sync Mode, bool Apart>
void fixed_beside_any() {
  test::ring_memory<std::uint64_t> memory{{.capacity = 10, .producers = Mode, .consumers = Mode, .apart = Apart}};
  const auto any = memory.handle();
  const fixed_ring<std::uint64_t, Mode, Mode, Apart> fixed{any};
  std::array<std::uint64_t, 12> in{}, out{};
  std::iota(in.begin(), in.end(), 1);
  for (std::size_t round = 0; round < 100; ++round) {
    REQUIRE(fixed.enqueue_bulk({in.data(), 3}));
    REQUIRE(any.enqueue_bulk({in.data() + 3, 3}));
    REQUIRE(fixed.enqueue_burst({in.data() + 6, 5}) == 4);
    REQUIRE_FALSE(fixed.enqueue(7));
    REQUIRE(any.dequeue(out[0]));
    REQUIRE(fixed.dequeue(out[1]));
    REQUIRE_FALSE(fixed.dequeue_bulk({out.data() + 2, 9}));
    REQUIRE(fixed.dequeue_bulk({out.data() + 2, 6}));
    REQUIRE(fixed.dequeue_burst({out.data() + 8, 4}) == 2);
    REQUIRE(std::equal(in.begin(), in.begin() + 10, out.begin()));
  }
}

}  // namespace

TEST_CASE("a fixed handle and the general one work on the same ring in turn", "[ring]") {
  fixed_beside_any<ring_sync::single, false>();
  fixed_beside_any<ring_sync::single, true>();
  fixed_beside_any<ring_sync::many, false>();
  fixed_beside_any<ring_sync::many, true>();
}

TEST_CASE("a fixed handle is refused on a ring that was made otherwise", "[ring]") {
  using fixed = fixed_ring<std::uint64_t, ring_sync::single, ring_sync::single>;
  for (const ring_options& options :
       {ring_options{.capacity = 4, .producers = ring_sync::single},
        ring_options{.capacity = 4, .consumers = ring_sync::single},
        ring_options{.capacity = 4, .producers = ring_sync::single, .consumers = ring_sync::single, .doorbell = true},
        ring_options{.capacity = 4, .producers = ring_sync::single, .consumers = ring_sync::single, .apart = true}}) {
    test::ring_memory<std::uint64_t> memory{options};
    REQUIRE_THROWS_AS(fixed{memory.handle()}, error);
  }
}

TEST_CASE("bulk calls move all or nothing", "[ring]") {
  for (const ring_sync mode : modes) {
    test::ring_memory<std::uint64_t> memory{{.capacity = 10, .producers = mode, .consumers = mode}};
    const auto r = memory.handle();
    std::array<std::uint64_t, 6> in{1, 2, 3, 4, 5, 6}, out{};
    REQUIRE(r.enqueue_bulk(in));
    REQUIRE_FALSE(r.enqueue_bulk(in));
    REQUIRE(r.approx_count() == 6);
    REQUIRE(r.approx_free_count() == 4);
    REQUIRE(r.dequeue_bulk(out));
    REQUIRE(out == in);
    REQUIRE_FALSE(r.dequeue_bulk(out));
    REQUIRE(r.approx_empty());
    REQUIRE(r.enqueue(7));
    REQUIRE(r.dequeue() == 7u);
    REQUIRE_FALSE(r.dequeue().has_value());
  }
}

TEST_CASE("an empty burst moves nothing and leaves the ring usable", "[ring]") {
  for (const ring_sync sync : modes) {
    const test::ring_memory<std::uint32_t> memory{{.capacity = 4, .producers = sync, .consumers = sync}};
    const auto r = memory.handle();
    CHECK(r.enqueue_burst({}) == 0);
    CHECK(r.enqueue_bulk({}));
    CHECK(r.enqueue(7));
    CHECK(r.dequeue_burst({}) == 0);
    CHECK(r.dequeue_bulk({}));
    CHECK(r.reserve(0).empty());
    CHECK(r.peek(0).empty());
    CHECK(r.dequeue() == 7);
  }
}

TEST_CASE("a ring holds exactly its capacity", "[ring]") {
  for (const ring_sync mode : modes)
    for (std::size_t capacity = 1; capacity < 20; ++capacity) {
      test::ring_memory<std::uint32_t> memory{{.capacity = capacity, .producers = mode, .consumers = mode}};
      const auto r = memory.handle();
      std::size_t count = 0;
      while (r.enqueue(1)) ++count;
      REQUIRE(count == capacity);
      REQUIRE(r.approx_full());
      REQUIRE(r.capacity() == capacity);
    }
}

TEST_CASE("zero-copy calls give the ring's own slots, and an abandoned claim moves nothing", "[ring]") {
  for (const ring_sync mode : plain_modes) {
    test::ring_memory<std::uint64_t> memory{{.capacity = 6, .producers = mode, .consumers = mode}};
    const auto r = memory.handle();
    std::uint64_t in = 0, out = 0;
    for (int round = 0; round < 100; ++round) {
      auto slots = r.reserve(4);
      REQUIRE(slots.size() == 4);
      for (std::size_t i = 0; i < slots.size(); ++i) slots[i] = in + i;
      r.commit(3);
      in += 3;
      slots = r.reserve(9);
      REQUIRE(slots.size() == 3);
      r.commit(0);
      REQUIRE(r.approx_count() == 3);
      auto seen = r.peek(2);
      REQUIRE(seen.size() == 2);
      r.release(0);
      seen = r.peek(9);
      REQUIRE(seen.size() == 3);
      for (std::size_t i = 0; i < seen.size(); ++i) REQUIRE(seen[i] == out + i);
      r.release(3);
      out += 3;
      REQUIRE(r.peek(1).empty());
    }
  }
}

TEST_CASE("attaching checks what lies there", "[ring]") {
  const ring_options options{.capacity = 8};
  test::ring_memory<std::uint64_t> memory{options};
  using r64 = ring<std::uint64_t>;
  const auto kind_of = [](auto&& call) {
    try {
      call();
    } catch (const error& e) {
      return e.kind();
    }
    return errc{};
  };
  REQUIRE(kind_of([&] { (void)r64::attach(memory.bytes(), memory.size()); }) == errc{});
  REQUIRE(kind_of([&] { (void)r64::attach(nullptr, memory.size()); }) == errc::invalid_argument);
  REQUIRE(kind_of([&] { (void)r64::attach(memory.bytes() + 8, memory.size()); }) == errc::invalid_argument);
  REQUIRE(kind_of([&] { (void)r64::attach(memory.bytes(), 100); }) == errc::corrupt);
  REQUIRE(kind_of([&] { (void)r64::attach(memory.bytes(), memory.size() - 128); }) == errc::corrupt);
  REQUIRE(kind_of([&] { (void)ring<std::uint32_t>::attach(memory.bytes(), memory.size()); }) == errc::incompatible);
  REQUIRE(kind_of([&] { (void)ring<std::int64_t>::attach(memory.bytes(), memory.size()); }) == errc::incompatible);
  auto* h = memory.handle().header();
  h->slot_count = 1 << 20;
  REQUIRE(kind_of([&] { (void)r64::attach(memory.bytes(), memory.size()); }) == errc::corrupt);
  h->slot_count = 8;
  h->magic = 1;
  REQUIRE(kind_of([&] { (void)r64::attach(memory.bytes(), memory.size()); }) == errc::corrupt);
  REQUIRE(kind_of([&] { (void)r64::footprint(0); }) == errc::invalid_argument);
  REQUIRE(kind_of([&] { (void)r64::footprint(1ULL << 40); }) == errc::invalid_argument);
  REQUIRE(kind_of([&] { (void)r64::format(memory.bytes(), 700, options); }) == errc::invalid_argument);
}

TEST_CASE("positions run past 2^40", "[ring]") {
  for (const ring_sync mode : plain_modes) {
    test::ring_memory<std::uint64_t> memory{{.capacity = 5, .producers = mode, .consumers = mode}};
    const auto r = memory.handle();
    detail::ring_header& h = *r.header();
    const std::uint64_t start = detail::position_mask - 6;
    for (auto* tail : {&h.produced.tail, &h.consumed.tail}) *tail = start;
    for (auto* own : {&h.producer, &h.consumer}) {
      own->word = mode == ring_sync::single ? 0 : start << detail::key_bits;
      own->next = start;
      own->limit = own == &h.producer ? start + 5 : start;
    }
    std::uint64_t in = 0, out = 0;
    for (int round = 0; round < 20; ++round) {
      while (r.enqueue(in)) ++in;
      REQUIRE(in - out == 5);
      REQUIRE(r.approx_full());
      for (int i = 0; i < 3; ++i) REQUIRE(r.dequeue() == out++);
    }
  }
}
