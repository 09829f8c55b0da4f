// SPDX-License-Identifier: BSD-3-Clause
// Kills a process at every instruction of every operation of a ring, and its repairer too.
//
//   ring_crash [--full] [--seed N] [--share N]
//
// Without --full, the expensive parts (nested deaths, freezes, real SIGKILLs) visit a subset of the instructions that
// --seed chooses, and with --share N only each Nth operation runs.  Prints operations, kill points, what went wrong,
// and repairs by kind; a kind of repair that never occurred fails the run, because then nothing was proved.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "ring_crash_world.hpp"

using namespace mpnet;
using namespace mpnet::test;

namespace {

enum class action { enqueue, dequeue, reserve_commit, peek_release };

struct operation {
  action what;
  std::uint32_t count;  // asked for
  bool bulk = false;
  std::uint32_t part = 0;  // of a zero-copy claim: how many are committed
};

constexpr const char* action_names[] = {"enqueue", "dequeue", "reserve and commit", "peek and release"};

struct setting {
  ring_sync producers, consumers;
  bool doorbell = false;
  bool warm = true;  // A was the last to use its side
};

struct totals {
  std::size_t considered = 0, operations = 0, instructions = 0, killed = 0, real = 0, nested = 0, frozen = 0;
  std::size_t rolled_back = 0, rolled_forward = 0, waiters = 0, takeovers = 0;
  std::size_t hangs = 0, losses = 0, duplicates = 0, bad = 0;
};

constexpr std::uint32_t capacity = 7;  // of 8 slots
constexpr std::uint32_t prefilled = 4;
constexpr std::uint32_t marker = object_count - 1;
constexpr std::uint32_t shift = 6;  // objects that passed through before: bursts wrap

bool full = false;
std::size_t seed = 0;
std::size_t share = 1;
totals sum;

// About `points` of `instructions`, other ones with each seed.
step_subset some(std::size_t points, std::size_t instructions) {
  return full ? step_subset{} : step_subset{std::max<std::size_t>(1, instructions / points), seed};
}
// The same where each point costs all the steps before it.
step_subset few(std::size_t points, std::size_t instructions) {
  return some(std::clamp<std::size_t>(points * 200 / std::max<std::size_t>(instructions, 1), 1, points), instructions);
}

template <std::size_t Size>
struct wide {
  std::array<std::uint32_t, Size / 4> words;
};

void require(bool condition, const char* what) {
  if (!condition) throw std::runtime_error{what};
}

void make_robust(detail::lease& l) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&l.alive, &attributes);
  l.incarnation = 1;
}

// In the child: its lease's mutex is its own, so that the kernel marks it when the child is really killed.
void enter(std::size_t who) {
  become(who);
  pthread_mutex_lock(&world->leases[who].alive);
}

/// The tests of one element type under one setting.  Actors: 1 is the one who dies, 2 works beside or after it, 3 is
/// the survivor that the judge speaks through.
template <class T>
class scenario {
 public:
  scenario(arena& a, setting s) : arena_(a), setting_(s) {}

  void run(const operation& op) {
    const bool laned =
        setting_.producers == ring_sync::many_concurrent || setting_.consumers == ring_sync::many_concurrent;
    if (laned && (op.what == action::reserve_commit || op.what == action::peek_release)) return;  // not offered
    const step_case dying{.prepare = [&] { prepare(op); },
                          .enter = [] { enter(1); },
                          .operation = [&] { act(1, op); },
                          .mark_dead = [] { mark_dead(1); }};
    if (++sum.considered % share != seed % share) return;
    try {
      ++sum.operations;
      length_ = for_each_kill_point(arena_, dying, [&] { survive(); }, {hang_steps, 0}).instructions;
      sum.instructions += length_;
      sum.killed += for_each_kill_point(
                        arena_, dying, [&] { survive(); }, some(300, length_))
                        .kill_points;
      sum.real += for_each_real_kill(
                      arena_, dying, [&] { survive(); }, some(6, length_))
                      .kill_points;
      nested(dying);
      freeze(dying, op);
    } catch (const std::exception& e) {
      ++sum.bad;
      fmt::print("FAILED {} bytes{}, producers {}, consumers {}, warm {}, bell {}: {} {}: {}\n", sizeof(T),
                 ring_carries_pool_objects<T> ? " (pool objects)" : "", static_cast<int>(setting_.producers),
                 static_cast<int>(setting_.consumers), setting_.warm, setting_.doorbell,
                 action_names[static_cast<std::size_t>(op.what)], op.count, e.what());
    }
  }

 private:
  static ring<T>& handle() {
    static ring<T> r;
    return r;
  }
  static T* elements(std::size_t who) {
    static T all[4][16];
    return all[who];
  }

  static void act(std::size_t who, const operation& op) {
    actor_log& log = world->logs[who];
    const ring<T> r = handle();
    T* taken = reinterpret_cast<T*>(log.taken.data());
    const std::span<const T> mine{elements(who), op.count};
    if (op.what == action::enqueue) {
      log.put_count =
          static_cast<std::uint32_t>(op.bulk ? (r.enqueue_bulk(mine) ? op.count : 0U) : r.enqueue_burst(mine));
      log.put_done = true;
    } else if (op.what == action::dequeue) {
      log.took_begun = true;
      log.took_count = static_cast<std::uint32_t>(op.bulk ? (r.dequeue_bulk({taken, op.count}) ? op.count : 0U)
                                                          : r.dequeue_burst({taken, op.count}));
      log.took_done = true;
    } else if (op.what == action::reserve_commit) {
      const auto slots = r.reserve(op.count);
      for (std::size_t i = 0; i < slots.size(); ++i) slots[i] = mine[i];
      log.put_count = std::min(op.part, static_cast<std::uint32_t>(slots.size()));
      if (!slots.empty()) r.commit(log.put_count);
      log.put_done = true;
    } else {
      log.took_begun = true;
      const auto slots = r.peek(op.count);
      log.took_count = std::min(op.part, static_cast<std::uint32_t>(slots.size()));
      for (std::size_t i = 0; i < log.took_count; ++i) taken[i] = slots[i];
      if (!slots.empty()) r.release(log.took_count);
      log.took_done = true;
    }
  }

  void prepare(const operation& op) {
    arena_.clear();
    become(setting_.warm ? 1 : 3);
    for (detail::lease& l : world->leases) make_robust(l);
    for (std::uint32_t i = 0; i < object_count; ++i) world->objects[i].id = i;
    handle() = ring<T>::format(world->ring_bytes.data(), world->ring_bytes.size(),
                               {.capacity = capacity,
                                .producers = setting_.producers,
                                .consumers = setting_.consumers,
                                .doorbell = setting_.doorbell});
    T value{};
    for (std::uint32_t i = 0; i < shift; ++i)
      require(handle().enqueue(element<T>::make(1)) && handle().dequeue(value), "the preparation");
    for (std::uint32_t i = 1; i <= prefilled; ++i) require(handle().enqueue(element<T>::make(i)), "the preparation");
    handle().header()->sleeping = setting_.doorbell ? 1 : 0;
    world->tags = {};
    world->prefilled = prefilled;
    announce(1, op);
  }

  // What actor `who` will try, for the judge.
  static void announce(std::size_t who, const operation& op) {
    actor_log& log = world->logs[who];
    const bool puts = op.what == action::enqueue || op.what == action::reserve_commit;
    for (std::uint32_t i = 0; puts && i < op.count; ++i) {
      log.put[i] = static_cast<std::uint32_t>(16 * who + i);
      elements(who)[i] = element<T>::make(log.put[i]);
      world->tags[log.put[i]] = static_cast<std::uint16_t>(who);
    }
    if (puts) log.put_asked = op.count;
    const bool laned = (handle().header()->flags & detail::ring_laned) != 0;  // another lane, other room
    if (puts && who == 1 && !laned)
      log.put_expected = std::min(op.what == action::enqueue ? op.count : op.part, capacity - prefilled);
  }

  // Both sides, of each lane where there are any.
  static std::vector<const detail::ring_own*> sides(detail::ring_header& h) {
    if ((h.flags & detail::ring_laned) == 0) return {&h.producer, &h.consumer};
    std::vector<const detail::ring_own*> all;
    for (std::size_t i = 0; i < detail::ring_lane_count; ++i) {
      detail::ring_header& lane = detail::ring_lane(h, i, detail::ring_lane_bytes(h.slot_count, sizeof(T)));
      all.insert(all.end(), {&lane.producer, &lane.consumer});
    }
    return all;
  }

  // What a survivor sees, does and finds after a death: once when recovery comes first, once when it just goes on.
  void survive() {
    const auto saved = arena_.save();
    become(3);
    recover();
    judge_by_draining(false);
    arena_.restore(saved);
    judge_by_draining(true);
  }

  static void recover() {
    detail::ring_header& h = *handle().header();
    detail::recovery_counts counts, again;
    const detail::dead_party dead{.slot = process_id{0}, .tag = 1};
    detail::ring_repair(h, dead, counts);
    sum.rolled_back += counts.rolled_back;
    sum.rolled_forward += counts.rolled_forward;
    detail::ring_repair(h, dead, again);
    require(again.rolled_back + again.rolled_forward == 0, "the second repair found something");
    for (const detail::ring_own* own : sides(h))
      require(own->sync == ring_sync::single || (own->word & detail::key_mask) == 0, "a claim stands after the repair");
    require(h.sleeping == 0, "the repair left sleepers asleep");
  }

  static void judge_by_draining(bool on_the_spot) {
    const ring<T> r = handle();
    detail::ring_header& h = *r.header();
    for (const detail::ring_own* own : sides(h)) {
      // The published block follows its side's own.
      const std::uint64_t tail = reinterpret_cast<const detail::ring_published*>(own + 1)->tail;
      if (!on_the_spot) break;
      if (own->sync == ring_sync::single) sum.takeovers += own->next != tail ? 1 : 0;
      if (own->sync != ring_sync::single) sum.waiters += (own->word & detail::key_mask) != 0 ? 1 : 0;
    }
    verdict v;
    std::vector<std::uint32_t> left;
    // A single consumer that died between its two stores has taken what its tail does not say.
    const std::size_t expected = h.consumers == ring_sync::single && h.producers != ring_sync::many_concurrent
                                     ? detail::distance(h.consumer.next, h.produced.tail)
                                     : r.approx_count();
    T value{};
    while (r.dequeue(value)) left.push_back(element<T>::id(value));
    if (left.size() != expected) v.add(v.hangs, "consumers hang");
    std::uint32_t fits = 0;
    while (r.enqueue(element<T>::make(marker))) ++fits;
    // What a single producer had not published when it died comes now, before the markers.
    std::uint32_t late = 0;
    for (std::uint32_t i = 0; r.dequeue(value); ++i) {
      if (element<T>::id(value) == marker) continue;
      ++late;
      left.push_back(element<T>::id(value));
    }
    if (fits + late != capacity) v.add(v.hangs, fmt::format("producers hang: room for {} and {} late", fits, late));
    if (late != 0 && !on_the_spot) v.add(v.hangs, "the repair did not publish everything");
    for (actor_log& log : world->logs) decode<T>(log);
    const verdict found = judge(left, ring_carries_pool_objects<T>);
    sum.hangs += v.hangs;
    sum.losses += found.losses;
    sum.duplicates += found.duplicates + found.disorders;
    require(v.clean() && found.clean(), (v.text + found.text).c_str());
  }

  // A dies at k, and the one that repairs it dies at j.
  void nested(const step_case& dying) {
    const operation ops[] = {{action::enqueue, 2}, {action::dequeue, 2}};
    for (std::size_t which = 0; which < 3; ++which) {
      if (!full && which != (seed + sum.operations) % 3) continue;
      const step_case repairer{.prepare =
                                   [&] {
                                     if (which < 2) announce(2, ops[which]);
                                   },
                               .enter = [] { enter(2); },
                               .operation =
                                   [&] {
                                     detail::recovery_counts counts;
                                     if (which < 2)
                                       act(2, ops[which]);
                                     else
                                       detail::ring_repair(*handle().header(), {.slot = process_id{0}, .tag = 1},
                                                           counts);
                                   },
                               .mark_dead = [] { mark_dead(2); }};
      sum.nested += for_each_nested_kill(
                        arena_, dying, repairer, [&] { survive(); }, few(6, length_), some(12, length_))
                        .kill_points;
    }
  }

  // A stands at k, alive, while B works; then A goes on, or is killed.
  void freeze(const step_case& dying, const operation& op) {
    const bool a_produces = op.what == action::enqueue || op.what == action::reserve_commit;
    for (const bool kills : {false, true})
      sum.frozen += for_each_freeze(
                        arena_, dying,
                        [&](stepped_child& a) {
                          become(2);
                          for (const auto what : {action::enqueue, action::dequeue}) {
                            const bool same_side = (what == action::enqueue) == a_produces;
                            const ring_sync sync = what == action::enqueue ? setting_.producers : setting_.consumers;
                            if (same_side && sync == ring_sync::single) continue;
                            announce(2, {what, 2});
                            act(2, {what, 2});
                          }
                          world->logs[1].put_expected = 0;  // B has changed how much fits
                          if (kills)
                            a.kill();
                          else
                            a.finish();
                          become(3);
                          judge_by_draining(true);
                        },
                        few(kills ? 4 : 6, length_))
                        .kill_points;
  }

  arena& arena_;
  setting setting_;
  std::size_t length_ = 0;  // of the operation, in instructions
};

template <class T>
void all_operations(arena& a, const setting& s) {
  scenario<T> in{a, s};
  in.run({action::enqueue, 1, true});
  in.run({action::enqueue, 3});
  in.run({action::enqueue, 6});  // more than fits
  in.run({action::dequeue, 1, true});
  in.run({action::dequeue, 3});
  in.run({action::dequeue, 9});  // more than there is
  in.run({action::reserve_commit, 3, false, 2});
  in.run({action::peek_release, 4, false, 3});
}

void all_settings(arena& a) {
  constexpr ring_sync modes[] = {ring_sync::single, ring_sync::many};
  for (const ring_sync producers : modes)
    for (const ring_sync consumers : modes) {
      all_operations<pooled*>(a, {producers, consumers});
      if (producers != consumers) continue;
      all_operations<std::uint32_t>(a, {producers, consumers, true});
      all_operations<wide<12>>(a, {producers, consumers});
      if (full) all_operations<wide<64>>(a, {producers, consumers, true});
      all_operations<std::uint64_t>(a, {producers, consumers, false, false});
    }
  all_operations<pooled*>(a, {ring_sync::many_concurrent, ring_sync::many_concurrent});
  all_operations<std::uint64_t>(a, {ring_sync::single, ring_sync::many_concurrent, true, false});
}

int report() {
  fmt::print("ring_crash: {} operations, {} instructions, seed {}{}\n", sum.operations, sum.instructions, seed,
             full ? ", full" : "");
  fmt::print("  kill points: {} each instruction, {} with SIGKILL, {} of a repairer, {} frozen\n", sum.killed, sum.real,
             sum.nested, sum.frozen);
  fmt::print("  hangs {}, losses {}, duplicates {}, failures {}\n", sum.hangs, sum.losses, sum.duplicates, sum.bad);
  fmt::print("  repairs: rolled back {}, rolled forward {}, by a waiter {}, taken over {}\n", sum.rolled_back,
             sum.rolled_forward, sum.waiters, sum.takeovers);
  if (sum.rolled_back * sum.rolled_forward * sum.waiters * sum.takeovers == 0) {
    fmt::print("FAILED: a kind of repair never occurred, so it was not tested\n");
    return 1;
  }
  return sum.bad == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  seed = static_cast<std::size_t>(std::time(nullptr));
  for (int i = 1; i < argc; ++i) {
    if (std::string_view{argv[i]} == "--full") full = true;
    if (std::string_view{argv[i]} == "--seed" && i + 1 < argc) seed = std::strtoul(argv[++i], nullptr, 10);
    if (std::string_view{argv[i]} == "--share" && i + 1 < argc)
      share = std::max(1UL, std::strtoul(argv[++i], nullptr, 10));
  }
  if (!can_step()) {
    fmt::print("SKIP: this system does not let a process single-step its child (ptrace)\n");
    return 77;
  }
  arena a{sizeof(shared_world)};
  world = ::new (a.data()) shared_world;
  all_settings(a);
  return report();
}
