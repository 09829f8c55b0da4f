// SPDX-License-Identifier: BSD-3-Clause
// What the programs of this test share: containers that lie, with all that they hold, in the group's memory.  Nothing
// in them is an address of code or of one process: hashers and comparisons are types, the allocator finds the group of
// whoever uses it.
#pragma once

#include <mpnet/heap.hpp>
#include <mpnet/memzone.hpp>
#include <mpnet/mutex.hpp>

#include <boost/container/flat_map.hpp>
#include <boost/interprocess/containers/map.hpp>
#include <boost/interprocess/containers/string.hpp>
#include <boost/interprocess/containers/vector.hpp>
#include <boost/unordered_map.hpp>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <unordered_map>

namespace containers {

template <class T>
using allocator = mpnet::shared_allocator<T>;

using text = std::basic_string<char, std::char_traits<char>, allocator<char>>;
using boost_text = boost::interprocess::basic_string<char, std::char_traits<char>, allocator<char>>;

/// FNV-1a: the same number in every build, which std::hash does not promise.
struct hasher {
  template <class String>
  std::size_t operator()(const String& s) const noexcept {
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const char c : s) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return hash;
  }
};
static_assert(std::is_empty_v<hasher>);

using std_map = std::unordered_map<text, std::uint64_t, hasher, std::equal_to<text>,
                                   allocator<std::pair<const text, std::uint64_t>>>;
using boost_map = boost::unordered_map<boost_text, std::uint64_t, hasher, std::equal_to<boost_text>,
                                       allocator<std::pair<const boost_text, std::uint64_t>>>;
using ordered_map = boost::interprocess::map<std::uint64_t, text, std::less<std::uint64_t>,
                                             allocator<std::pair<const std::uint64_t, text>>>;
using numbers = boost::interprocess::vector<std::uint64_t, allocator<std::uint64_t>>;
using flat_map = boost::container::flat_map<std::uint64_t, std::uint64_t, std::less<std::uint64_t>,
                                            allocator<std::pair<std::uint64_t, std::uint64_t>>>;

struct contents {
  std_map words;
  boost_map boost_words;
  ordered_map ordered;
  numbers list;
  flat_map flat;
};

/// In a memzone: the lock, and the containers that it guards.
struct table {
  mpnet::mutex lock;
  std::uint64_t rebuilt;  // how often the containers were made anew after a death
  alignas(contents) unsigned char storage[sizeof(contents)];

  contents& inside() { return *std::launder(reinterpret_cast<contents*>(storage)); }
};

inline table& find_table(mpnet::group& g) {
  const auto zone =
      mpnet::find_or_reserve_zone(g, {.name = "table", .layout = sizeof(table), .size_bytes = sizeof(table)},
                                  [](void* memory) { ::new (static_cast<table*>(memory)->storage) contents; });
  return *static_cast<table*>(zone.address);
}

/// Holds the lock for a scope.  A container that somebody died in may be half changed, which nobody can mend: it is
/// left as it is, memory and all, and a new one takes its place.
class guard {
 public:
  explicit guard(table& t) : table_(t) {
    if (t.lock.lock() == mpnet::last_owner::unlocked) return;
    ::new (t.storage) contents;
    ++t.rebuilt;
  }
  ~guard() { table_.lock.unlock(); }
  guard(const guard&) = delete;
  guard& operator=(const guard&) = delete;
  contents* operator->() { return &table_.inside(); }

 private:
  table& table_;
};

inline std::string key_of(std::string_view who, std::uint64_t number) {
  return std::string{who} + " has a key that is too long for a short string: " + std::to_string(number);
}

inline std::uint64_t id_of(std::string_view who, std::uint64_t number) {
  return number * 4 + (who == "writer" ? 0 : who == "reader" ? 1 : 2);
}

/// Puts key `number` of `who` into every container.
inline void insert(guard& inside, std::string_view who, std::uint64_t number) {
  const std::string key = key_of(who, number);
  const std::uint64_t id = id_of(who, number);
  inside->words[text{key.begin(), key.end()}] = number;
  inside->boost_words[boost_text{key.begin(), key.end()}] = number;
  inside->ordered.emplace(id, text{key.begin(), key.end()});
  inside->list.push_back(id);
  inside->flat[id] = number;
}

/// Whether every container has it.
inline bool has(guard& inside, std::string_view who, std::uint64_t number) {
  const std::string key = key_of(who, number);
  const std::uint64_t id = id_of(who, number);
  const auto word = inside->words.find(text{key.begin(), key.end()});
  const auto boost_word = inside->boost_words.find(boost_text{key.begin(), key.end()});
  const auto in_order = inside->ordered.find(id);
  const auto in_flat = inside->flat.find(id);
  return word != inside->words.end() && word->second == number && boost_word != inside->boost_words.end() &&
         boost_word->second == number && in_order != inside->ordered.end() &&
         std::string_view{in_order->second.data(), in_order->second.size()} == key && in_flat != inside->flat.end() &&
         in_flat->second == number;
}

inline void erase(guard& inside, std::string_view who, std::uint64_t number) {
  const std::string key = key_of(who, number);
  const std::uint64_t id = id_of(who, number);
  inside->words.erase(text{key.begin(), key.end()});
  inside->boost_words.erase(boost_text{key.begin(), key.end()});
  inside->ordered.erase(id);
  inside->flat.erase(id);
}

/// The whole of a program: `count` rounds of inserts, each second one taken back, all checked.
inline int work(mpnet::group& g, std::string_view who, std::uint64_t count) {
  table& t = find_table(g);
  for (std::uint64_t i = 0; i < count; ++i) {
    guard inside{t};
    insert(inside, who, i);
    if (i % 2 != 0) erase(inside, who, i - 1);
  }
  guard inside{t};
  for (std::uint64_t i = 0; i < count; ++i) {
    if (has(inside, who, i) != (i % 2 != 0)) return 3;
  }
  return 0;
}

}  // namespace containers
