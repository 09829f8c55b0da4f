// SPDX-License-Identifier: BSD-3-Clause
// Kills a process at every instruction of every operation of a ring, and its repairer too.  Options: crash_run.hpp.
#include <fmt/format.h>

#include <cstdio>

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

// Where a consumer of a ring with lanes looks: where it found something, also at another lane, which starves or does
// not, or it has been in another ring.
enum class look { here, also_elsewhere, at_a_starving_lane, anew };

struct setting {
  ring_sync producers, consumers;
  bool doorbell = false;
  bool warm = true;       // A was the last to use its side; it holds a lane
  bool one_lane = false;  // A and B want the same lane
  bool crowded = false;   // others hold all lanes that can be held, A and B share
  bool shared = true;     // between processes
  bool apart = false;     // lines are handed over
  look first = look::here;
  [[nodiscard]] bool laned() const {
    return producers == ring_sync::many_concurrent || consumers == ring_sync::many_concurrent;
  }
};

constexpr std::uint32_t capacity = 7;  // of 8 slots
constexpr std::uint32_t prefilled = 4;
constexpr std::uint32_t marker = object_count - 1;
constexpr std::uint32_t shift = 6;  // objects that passed through before: bursts wrap

constexpr const char* rolled_back = "claims rolled back";
constexpr const char* rolled_forward = "rolled forward";
constexpr const char* undone_by_waiter = "undone by a waiter";
constexpr const char* finished_by_waiter = "finished by a waiter";
constexpr const char* taken_over = "taken over";
constexpr const char* emptied = "private rings emptied";
crash_run run{"ring_crash", {rolled_back, rolled_forward, undone_by_waiter, finished_by_waiter, taken_over, emptied}};

template <std::size_t Size>
struct wide {
  std::array<std::uint32_t, Size / 4> words;
};

void enter(std::size_t who) {
  become(who);
  hold_lease(*detail::this_lease);
}

void mark_actor_dead(std::size_t who) {
  mark_dead(world->leases[world->lease_of[who]]);
}

/// The tests of one element type under one setting.  Actors: 1 is the one who dies, 2 works beside or after it, 3 is
/// the survivor that the judge speaks through.
template <class T>
class scenario {
 public:
  scenario(arena& a, setting s) : arena_(a), setting_(s) {}

  void cut(const operation& op) {
    if (setting_.laned() && (op.what == action::reserve_commit || op.what == action::peek_release))
      return;  // not offered
    const bool shared = setting_.shared;
    const auto died = [this, shared] { shared ? survive() : survive_alone(); };
    run.cut(arena_, {.title = title(op),
                     .dying = {.prepare = [&] { prepare(op); },
                               .enter = [] { enter(1); },
                               .operation = [&] { act(1, op); },
                               .mark_dead = [] { mark_actor_dead(1); }},
                     .died = died,
                     .repairers = shared ? std::vector{repairer({action::enqueue, 2}), repairer({action::dequeue, 2}),
                                                       conductor()}
                                         : std::vector{conductor()},
                     .both_died = died,
                     .frozen = [&](stepped_child& a, bool kills) { frozen(a, kills, op); }});
  }

  // Not a death: what a bell that is being rung does to who comes meanwhile.
  void ring_the_bell() {
    const operation op{action::enqueue, 1};
    const step_case ringing{.prepare = [&] { prepare(op); },
                            .enter = [] { enter(1); },
                            .operation = [&] { act(1, op); },
                            .mark_dead = [] {}};
    run.attempt("ringing the bell", [&](crash_run::sums&) { for_each_freeze(arena_, ringing, lie_down_beside); });
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
    detail::this_look = {};
    const std::size_t rival = setting_.crowded ? 11 : 7;
    world->lease_of = {0, 1, setting_.one_lane ? rival : std::size_t{2}, 3};
    for (detail::lease& l : world->leases) make_lease(l);
    become(setting_.warm ? 1 : 3);
    for (std::uint32_t i = 0; i < object_count; ++i) world->objects[i].id = i;
    handle() = ring<T>::format(world->ring_bytes.data(), world->ring_bytes.size(),
                               {.capacity = capacity,
                                .producers = setting_.producers,
                                .consumers = setting_.consumers,
                                .shared_between_processes = setting_.shared,
                                .doorbell = setting_.doorbell,
                                .apart = setting_.apart});
    if (setting_.crowded) hold_all_lanes();
    T value{};
    for (std::uint32_t i = 0; i < shift; ++i)
      require(handle().enqueue(element<T>::make(1)) && handle().dequeue(value), "the preparation");
    for (std::uint32_t i = 1; i <= prefilled; ++i) require(handle().enqueue(element<T>::make(i)), "the preparation");
    handle().header()->sleeping = setting_.doorbell ? 1 : 0;
    if (setting_.laned()) look_first();
    world->tags = {};
    world->prefilled = prefilled;
    announce(1, op);
  }

  static void hold_all_lanes() {
    detail::lease* const me = detail::this_lease;
    T value{};
    for (std::size_t i = 4; i < 4 + detail::ring_held_lane_count; ++i) {
      detail::this_lease = &world->leases[i];
      require(handle().enqueue(element<T>::make(1)) && handle().dequeue(value), "the preparation");
    }
    detail::this_lease = me;
  }

  void look_first() const {
    detail::ring_look& l = detail::this_look;
    if (setting_.first == look::also_elsewhere) l.left = 1;
    if (setting_.first == look::anew) l = {};
    if (setting_.first != look::at_a_starving_lane) return;
    const std::uint64_t tail = detail::ring_lane(*handle().header(), l.lane).consumed.tail;
    l = {l.ring, l.lane + 1, 1, l.lane, tail};
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

  static std::vector<detail::ring_header*> parts() {
    detail::ring_header& h = *handle().header();
    if ((h.flags & detail::ring_laned) == 0) return {&h};
    std::vector<detail::ring_header*> lanes;
    for (std::size_t i = 0; i < detail::ring_lane_count; ++i) lanes.push_back(&detail::ring_lane(h, i));
    return lanes;
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

  // Of the dead: the living may hold lanes.
  static bool a_claim_stands() {
    for (const detail::ring_header* part : parts())
      for (const detail::ring_own* own : {&part->producer, &part->consumer})
        if (own->sync != ring_sync::single && detail::key_is_dead(own->word & detail::key_mask)) return true;
    return false;
  }

  static void recover() {
    detail::ring_header& h = *handle().header();
    detail::recovery_counts counts, again;
    const detail::dead_party dead{.slot = process_id{0}, .tag = 1};
    detail::ring_repair(h, dead, counts);
    run.repaired(rolled_back, counts.rolled_back);
    run.repaired(rolled_forward, counts.rolled_forward);
    detail::ring_repair(h, dead, again);
    require(again.rolled_back + again.rolled_forward == 0, "the second repair found something");
    require(!a_claim_stands(), "a claim stands after the repair");
    require(h.sleeping == 0, "the repair left sleepers asleep");
  }

  // A private ring goes with its process: nobody else may see it before recovery, which leaves it empty.
  static void survive_alone() {
    become(3);
    run.repaired(emptied, handle().approx_empty() ? 0 : 1);
    recover();
    require(handle().approx_empty(), "a dead process's private ring is not empty");
    for (std::uint32_t i = 0; i < capacity; ++i) require(handle().enqueue(element<T>::make(16 + i)), "no room");
    require(!handle().enqueue(element<T>::make(marker)), "too much room");
    T value{};
    for (std::uint32_t i = 0; i < capacity; ++i)
      require(handle().dequeue(value) && element<T>::id(value) == 16 + i, "another object");
    require(!handle().dequeue(value), "too many objects");
  }

  // Single sides whose user died before it published; the next one does it unknowingly.
  static void count_takeovers() {
    for (const detail::ring_header* part : parts()) {
      const auto count = [](const detail::ring_own& own, const detail::ring_published& published) {
        run.repaired(taken_over, own.sync == ring_sync::single && own.next != published.tail ? 1 : 0);
      };
      count(part->producer, part->produced);
      count(part->consumer, part->consumed);
    }
  }

  static void count_waiters_repairs() {
    for (const detail::ring_header* part : parts()) {
      run.repaired(undone_by_waiter, part->repairs.undone_by_waiters);
      run.repaired(finished_by_waiter, part->repairs.finished_by_waiters);
    }
  }

  // A single consumer that died between its two stores has taken what its tail does not say.
  static std::size_t objects_to_come() {
    std::size_t sum = 0;
    for (const detail::ring_header* part : parts())
      sum += detail::distance(part->consumer.sync == ring_sync::single ? part->consumer.next : part->consumed.tail,
                              part->produced.tail);
    return sum;
  }

  static void judge_by_draining(bool on_the_spot) {
    const ring<T> r = handle();
    if (on_the_spot) count_takeovers();
    verdict v;
    std::vector<std::uint32_t> left;
    const std::size_t expected = objects_to_come();
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
    if (on_the_spot) count_waiters_repairs();
    for (actor_log& log : world->logs) decode<T>(log);
    const verdict found = judge(left, ring_carries_pool_objects<T>);
    run.hangs += v.hangs;
    run.losses += found.losses;
    run.duplicates += found.duplicates + found.disorders;
    require(v.clean() && found.clean(), v.text + found.text);
  }

  // B, who meets what A left, and may die over it.
  static step_case repairer(const operation& op) {
    return {.prepare = [op] { announce(2, op); },
            .enter = [] { enter(2); },
            .operation = [op] { act(2, op); },
            .mark_dead = [] { mark_actor_dead(2); }};
  }
  static step_case conductor() {
    const auto repair = [] {
      detail::recovery_counts counts;
      detail::ring_repair(*handle().header(), {.slot = process_id{0}, .tag = 1}, counts);
    };
    return {.prepare = [] {}, .enter = [] { enter(2); }, .operation = repair, .mark_dead = [] { mark_actor_dead(2); }};
  }

  // A stands at k, alive, while B works; then A goes on, or is killed.
  void frozen(stepped_child& a, bool kills, const operation& op) const {
    const bool a_produces = op.what == action::enqueue || op.what == action::reserve_commit;
    become(2);
    for (const auto what : {action::enqueue, action::dequeue}) {
      const bool same_side = (what == action::enqueue) == a_produces;
      const ring_sync sync = what == action::enqueue ? setting_.producers : setting_.consumers;
      if (!setting_.shared || (same_side && sync == ring_sync::single)) continue;
      announce(2, {what, 2});
      act(2, {what, 2});
    }
    world->logs[1].put_expected = 0;  // B has changed how much fits
    if (kills)
      a.kill();
    else
      a.finish();
    if (!setting_.shared) a.kill(), survive_alone();
    become(3);
    if (setting_.shared) judge_by_draining(true);
  }

  // A rings the bell and stands somewhere in it; then somebody takes what there is and lies down.  When A has gone on,
  // either the sleeper was woken, or the next producer will see it.
  static void lie_down_beside(stepped_child& a) {
    become(3);
    const detail::ring_header& h = *handle().header();
    T value{};
    while (handle().dequeue(value)) {
    }
    const std::uint32_t bell = h.bell;
    if (handle().wait(std::chrono::milliseconds{1})) return;
    a.finish();
    require(h.sleeping != 0 || h.bell != bell || !handle().approx_empty(), "a sleeper is forgotten");
  }

  [[nodiscard]] std::string title(const operation& op) const {
    return fmt::format(
        "{} bytes{}, producers {}, consumers {}, bell {}, warm {}, one lane {}, crowded {}, shared {}, apart {}, look "
        "{}: {} {}",
        sizeof(T), ring_carries_pool_objects<T> ? " (pool objects)" : "", static_cast<int>(setting_.producers),
        static_cast<int>(setting_.consumers), setting_.doorbell, setting_.warm, setting_.one_lane, setting_.crowded,
        setting_.shared, setting_.apart, static_cast<int>(setting_.first),
        action_names[static_cast<std::size_t>(op.what)], op.count);
  }

  arena& arena_;
  setting setting_;
};

template <class T>
void all_operations(arena& a, const setting& s) {
  scenario<T> in{a, s};
  in.cut({action::enqueue, 1, true});
  in.cut({action::enqueue, 3});
  in.cut({action::enqueue, 3, true});
  in.cut({action::enqueue, 6});        // more than fits
  in.cut({action::enqueue, 6, true});  // so none
  in.cut({action::dequeue, 1, true});
  in.cut({action::dequeue, 3});
  in.cut({action::dequeue, 4, true});
  in.cut({action::dequeue, 9});        // more than there is
  in.cut({action::dequeue, 9, true});  // so none
  in.cut({action::reserve_commit, 3, false, 2});
  in.cut({action::reserve_commit, 2, false, 0});  // thought better of it
  in.cut({action::peek_release, 4, false, 3});
  in.cut({action::peek_release, 3, false, 0});
}

void all_settings(arena& a) {
  using enum ring_sync;
  for (const ring_sync producers : {single, many})
    for (const ring_sync consumers : {single, many}) {
      all_operations<pooled*>(a, {producers, consumers});
      if (producers != consumers) continue;
      all_operations<std::uint32_t>(a, {producers, consumers, true});
      all_operations<wide<12>>(a, {producers, consumers});
      if (run.full()) all_operations<wide<64>>(a, {producers, consumers, true});
      all_operations<std::uint64_t>(a, {producers, consumers, false, false});
      all_operations<pooled*>(a, {.producers = producers, .consumers = consumers, .shared = false});
      all_operations<pooled*>(a, {.producers = producers, .consumers = consumers, .apart = true});
    }
  all_operations<pooled*>(a, {many_concurrent, many_concurrent});
  for (const bool one_lane : {false, true}) {
    setting s{.producers = many_concurrent, .consumers = many_concurrent, .warm = one_lane, .one_lane = one_lane};
    all_operations<pooled*>(a, s);
    s.crowded = true;
    all_operations<pooled*>(a, s);
  }
  scenario<pooled*> chooses{
      a, {.producers = many_concurrent, .consumers = many_concurrent, .warm = false, .one_lane = true, .apart = true}};
  chooses.cut({action::enqueue, 3});
  for (const look first : {look::also_elsewhere, look::at_a_starving_lane, look::anew}) {
    scenario<pooled*> looks{a, {.producers = many_concurrent, .consumers = many_concurrent, .first = first}};
    looks.cut({action::dequeue, 1, true});
    looks.cut({action::dequeue, 3});
  }
  all_operations<pooled*>(a, {many_concurrent, single});
  all_operations<std::uint64_t>(a, {many_concurrent, many});
  all_operations<std::uint64_t>(a, {single, many_concurrent, true, false});
}

}  // namespace

int main(int argc, char** argv) {
  if (!run.begin(argc, argv)) return 77;
  arena a{sizeof(shared_world)};
  world = ::new (a.data()) shared_world;
  all_settings(a);
  scenario<std::uint32_t>{a, {ring_sync::many, ring_sync::many, true}}.ring_the_bell();
  return run.report();
}
