// SPDX-License-Identifier: BSD-3-Clause
// Busy processes move objects through rings and are killed, again and again: the others go on, and in the end every
// object is in exactly one place.
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <mpnet/cycles.hpp>
#include <mpnet/ring.hpp>
#include <ring/ring_repair.hpp>

#include <random>
#include <set>

#include "ring_memory.hpp"

using namespace mpnet;

namespace {

constexpr std::size_t token_count = 96;
constexpr std::size_t worker_count = 3;

struct token {
  std::atomic<std::uint16_t> tag;
};

struct stage {
  std::array<detail::lease, max_leases> leases;
  std::array<token, token_count> tokens;
  std::array<std::atomic<std::uint64_t>, worker_count> rounds;  // each worker's own
  std::atomic<bool> stop;
};

}  // namespace

template <>
struct mpnet::ring_element<token*> {
  static constexpr bool is_pool_object = true;
  static void take(token* const* objects, std::size_t count) noexcept {
    // relaxed: ordered by the ring's commit.
    for (std::size_t i = 0; i < count; ++i)
      objects[i]->tag.store(mpnet::detail::process_tag, std::memory_order_relaxed);
  }
};

namespace {

class shared_stage {
 public:
  shared_stage() {
    void* p = ::mmap(nullptr, sizeof(stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc{};
    stage_ = ::new (p) stage;
    detail::lease_table = stage_->leases.data();
  }
  ~shared_stage() {
    detail::lease_table = nullptr;
    detail::this_lease = nullptr;
    detail::process_tag = 0;
    ::munmap(stage_, sizeof(stage));
  }
  stage* operator->() const { return stage_; }

 private:
  stage* stage_;
};

void take_lease(detail::lease& l) {
  std::memset(static_cast<void*>(&l.alive), 0, sizeof l.alive);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&l.alive, &attributes);
  l.incarnation.fetch_add(1);
  l.key.store(detail::claim_key(l));
  l.state.store(detail::lease_taken);
  pthread_mutex_lock(&l.alive);
  detail::this_lease = &l;
}

// Worker i's process: tag i + 1.  Moves bursts from one ring to the other, there and back.
[[noreturn]] void work(stage& s, std::size_t i, const ring<token*>& a, const ring<token*>& b) {
  ::alarm(60);
  detail::process_tag = static_cast<std::uint16_t>(i + 1);
  take_lease(s.leases[i]);
  std::array<token*, 7> hand{};
  for (std::uint64_t round = 0; !s.stop.load(); ++round) {
    const ring<token*>& from = round % 2 == 0 ? a : b;
    const ring<token*>& to = round % 2 == 0 ? b : a;
    const std::size_t got = from.dequeue_burst({hand.data(), 1 + round % hand.size()});
    for (std::size_t done = 0; done < got;) done += to.enqueue_burst({hand.data() + done, got - done});
    s.rounds[i].fetch_add(1);
  }
  ::_exit(0);
}

pid_t start(stage& s, std::size_t i, const ring<token*>& a, const ring<token*>& b) {
  const pid_t pid = ::fork();
  if (pid == 0) work(s, i, a, b);
  return pid;
}

// What the conductor and the pool do together: repair, look at what lies in rings, give the rest of the dead one's
// back.
std::size_t recover(stage& s, std::size_t i, const ring<token*>& a, const ring<token*>& b,
                    detail::recovery_counts& counts) {
  const auto tag = static_cast<std::uint16_t>(i + 1);
  for (const auto& r : {a, b}) detail::ring_repair(*r.header(), {.tag = tag}, counts);
  std::set<void*> in_rings;
  for (const auto& r : {a, b}) detail::ring_holdings(*r.header(), [&](void* object) { in_rings.insert(object); });
  std::size_t returned = 0;
  for (token& t : s.tokens) {
    std::uint16_t expected = tag;
    if (in_rings.contains(&t) || !t.tag.compare_exchange_strong(expected, 0)) continue;
    token* p = &t;
    while (!a.enqueue(p)) ::usleep(0);
    ++returned;
  }
  return returned;
}

bool others_go_on(stage& s, std::size_t except) {
  for (std::size_t i = 0; i < worker_count; ++i) {
    if (i == except) continue;
    const std::uint64_t before = s.rounds[i].load();
    const auto deadline = detail::monotonic_ns() + 20'000'000'000ULL;
    while (s.rounds[i].load() < before + 4)
      if (detail::monotonic_ns() > deadline)
        return false;
      else
        ::usleep(0);
  }
  return true;
}

// How many claims its owner left on the ring (on its main part).
std::size_t claims_of(const detail::lease& l, const ring<token*>& r) {
  const std::uint64_t key = detail::claim_key(l);
  std::size_t count = 0;
  for (const auto* own : {&r.header()->producer, &r.header()->consumer})
    count += (own->word.load() & detail::key_mask) == key ? 1 : 0;
  return count;
}

void storm(ring_sync mode, std::size_t kills) {
  shared_stage s;
  test::ring_memory<token*> first{{.capacity = token_count, .producers = mode, .consumers = mode}};
  test::ring_memory<token*> second{{.capacity = token_count, .producers = mode, .consumers = mode}};
  const auto a = first.handle(), b = second.handle();
  take_lease(s->leases[worker_count]);
  detail::process_tag = worker_count + 1;
  for (token& t : s->tokens) REQUIRE(a.enqueue(&t));
  std::array<pid_t, worker_count> workers{};
  for (std::size_t i = 0; i < worker_count; ++i) workers[i] = start(*s.operator->(), i, a, b);
  std::mt19937 random{Catch::rngSeed() + static_cast<unsigned>(::getpid())};
  detail::recovery_counts counts;
  std::size_t returned = 0, standing = 0;
  bool alive = true;
  for (std::size_t k = 0; k < kills && alive; ++k) {
    const std::size_t i = k % worker_count;
    alive = others_go_on(*s.operator->(), worker_count);
    for (unsigned long spin = random() % 20'000; spin != 0; --spin) cpu_relax();
    ::kill(workers[i], SIGKILL);
    ::waitpid(workers[i], nullptr, 0);
    standing += claims_of(s->leases[i], a) + claims_of(s->leases[i], b);
    alive = alive && others_go_on(*s.operator->(), i);  // they repair what stands in their way, before anybody recovers
    returned += recover(*s.operator->(), i, a, b, counts);
    workers[i] = start(*s.operator->(), i, a, b);
  }
  s->stop.store(true);
  for (std::size_t i = 0; i < worker_count; ++i) {
    int status = 0;
    ::waitpid(workers[i], &status, 0);
    CHECK(status == 0);
  }
  CHECK(alive);
  std::set<token*> seen;
  std::size_t count = 0;
  token* t = nullptr;
  for (const auto& r : {a, b})
    while (r.dequeue(t)) ++count, seen.insert(t);
  CHECK(count == token_count);
  CHECK(seen.size() == token_count);
  std::printf("ring storm: %zu kills, %zu objects returned, %zu claims left by the dead, %lu repaired by recovery\n",
              kills, returned, standing, static_cast<unsigned long>(counts.rolled_back + counts.rolled_forward));
}

}  // namespace

TEST_CASE("processes killed while they use a ring harm nobody and lose nothing", "[ring][crash]") {
  storm(ring_sync::many, 60);
  storm(ring_sync::many_concurrent, 30);
}

TEST_CASE("a claim of a stopped process is waited for a bounded time, and repaired at once when it dies",
          "[ring][crash]") {
  shared_stage s;
  test::ring_memory<std::uint64_t> memory{{.capacity = 8}};
  const auto r = memory.handle();
  take_lease(s->leases[5]);
  REQUIRE(r.enqueue(7));
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    take_lease(s->leases[6]);
    const bool held = r.peek(1).size() == 1 && r.reserve(2).size() == 2;
    (void)!::write(ready[1], held ? "y" : "n", 1);
    for (;;) ::pause();
  }
  char answer = 0;
  REQUIRE(::read(ready[0], &answer, 1) == 1);
  REQUIRE(answer == 'y');
  std::uint64_t value = 0;
  CHECK_FALSE(r.dequeue(value));  // returns
  CHECK_FALSE(r.enqueue(8));
  CHECK(r.approx_count() == 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK(r.dequeue(value));
  CHECK(value == 7);
  CHECK(r.enqueue(8));
  CHECK(r.dequeue() == 8u);
  CHECK(r.header()->repairs.undone_by_waiters.load() == 2);
  CHECK(r.header()->repairs.undone_by_recovery.load() == 0);
  ::close(ready[0]);
  ::close(ready[1]);
}
