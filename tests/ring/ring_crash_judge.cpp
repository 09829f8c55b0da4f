// SPDX-License-Identifier: BSD-3-Clause
#include "ring_crash_world.hpp"

namespace mpnet::test {

shared_world* world = nullptr;

namespace {

// Where an object was seen: in the ring (0) or with actor 1, 2, 3.
using places = std::map<std::uint32_t, std::vector<std::size_t>>;

// An actor that was cut in the middle of taking has either committed all that it copied, or nothing.
void judge_cut_taker(std::size_t actor, places& seen, verdict& v) {
  const actor_log& log = world->logs[actor];
  std::size_t elsewhere = 0, copied = 0;
  for (const std::uint32_t id : log.took) {
    if (id == 0) continue;
    ++copied;
    if (seen.contains(id)) ++elsewhere;
  }
  if (elsewhere != 0 && elsewhere != copied) v.add(v.duplicates, "a cut dequeue took a part of its objects");
  if (elsewhere != 0) return;
  for (const std::uint32_t id : log.took)
    if (id != 0) seen[id].push_back(actor);
}

void judge_order(const std::vector<std::uint32_t>& ids, const char* whose, verdict& v) {
  // Numbers rise for each producer: 1 … for the preparation, 16 × actor … for the actors.
  std::array<std::uint32_t, 8> last{};
  for (const std::uint32_t id : ids) {
    if (id == 0 || id >= object_count) {
      v.add(v.losses, std::string{"a slot without an object, "} + whose);
      return;
    }
    if (id <= last[id / 16]) v.add(v.disorders, std::string{"out of order, "} + whose);
    last[id / 16] = id;
  }
}

}  // namespace

verdict judge(const std::vector<std::uint32_t>& left, bool tags_matter) {
  verdict v;
  places seen;
  judge_order(left, "in the ring", v);
  for (const std::uint32_t id : left) seen[id].push_back(0);
  for (std::size_t actor = 1; actor < world->logs.size(); ++actor) {
    const actor_log& log = world->logs[actor];
    if (!log.took_done) continue;
    const std::vector<std::uint32_t> taken{log.took.begin(), log.took.begin() + log.took_count};
    judge_order(taken, "taken", v);
    for (const std::uint32_t id : taken) seen[id].push_back(actor);
  }
  // The latest first: what it committed was not committed by those before it.
  for (std::size_t actor = world->logs.size() - 1; actor > 0; --actor)
    if (world->logs[actor].took_begun && !world->logs[actor].took_done) judge_cut_taker(actor, seen, v);

  for (const auto& [id, where] : seen) {
    if (where.size() > 1) v.add(v.duplicates, "object " + std::to_string(id) + " twice");
    // What a process has must carry its tag, or its death would lose it.
    if (tags_matter && where.front() != 0 && world->tags[id] != where.front())
      v.add(v.losses, "object " + std::to_string(id) + " has the tag of " + std::to_string(world->tags[id]));
  }
  for (std::uint32_t id = 1; id <= world->prefilled; ++id)
    if (!seen.contains(id)) v.add(v.losses, "object " + std::to_string(id) + " is nowhere");
  for (const actor_log& log : world->logs) {
    std::uint32_t found = 0;
    for (std::uint32_t i = 0; i < log.put_asked; ++i) found += seen.contains(log.put[i]) ? 1 : 0;
    if (log.put_done && found != log.put_count)
      v.add(v.losses, std::to_string(log.put_count) + " put, " + std::to_string(found) + " there");
    for (std::uint32_t i = 0; i < found; ++i)
      if (!seen.contains(log.put[i])) v.add(v.losses, "a cut enqueue left a hole");
    if (!log.put_done && found != 0 && log.put_expected != 0 && found != log.put_expected)
      v.add(v.losses, "a cut enqueue put a part of its objects");
  }
  return v;
}

}  // namespace mpnet::test
