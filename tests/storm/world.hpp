// SPDX-License-Identifier: BSD-3-Clause
// The objects that all members of a storm use, and what each member checks of them as it goes.
#pragma once

#include <mpnet/mpnet.hpp>

#include <array>
#include <cstdint>
#include <string>

#include "storm/board.hpp"

namespace storm {

/// An object that goes round.  `holder` catches two owners of one object on the spot.
struct item {
  std::atomic<std::uint64_t> holder;
  std::uint64_t stamp;
  std::uint64_t check;
  std::uint64_t payload[5];
};

inline constexpr std::size_t item_count = 4096;
inline constexpr std::size_t packet_count = 2048;
inline constexpr std::size_t shelf_slots = 64;
inline constexpr std::size_t named_zones = 8;
inline constexpr std::uint16_t port_queues = 4;

/// What is changed under locks of the application's own.
struct desk {
  mpnet::mutex shelf_lock;
  std::uint64_t shelf_before, shelf_after;  // equal whenever nobody holds the lock
  void* shelf[shelf_slots];                 // heap blocks that the group owns
  mpnet::spinlock quick_lock;
  std::uint64_t quick_before, quick_after;
  mpnet::mutex zone_locks[named_zones];
};

/// Handles on everything; made by create_or_attach, so that whoever comes first makes it.
struct world {
  explicit world(mpnet::group& g, unsigned at);

  mpnet::pool<item> items;
  mpnet::mbuf_pool packets;
  mpnet::ring<item*> many, lanes;
  mpnet::ring<item*> from_left, to_right;  // single sides: between neighbours
  mpnet::ring<mpnet::mbuf*> wire;
  mpnet::ring<std::uint64_t> numbers;
  desk* table;
};

[[nodiscard]] mpnet::port_config port_queues_config();
[[nodiscard]] std::string neighbour_ring(unsigned left);
[[nodiscard]] std::string temporary_name(unsigned at);
[[nodiscard]] std::string named_zone(unsigned k);
[[nodiscard]] std::string common_zone(unsigned k);

/// The command line of a member, or of the auditor.
[[nodiscard]] std::vector<std::string> eal_arguments(const std::string& prefix, unsigned at);

/// A thread of a member, the place that it fills, and what it sends: later ones, and those of the process that took a
/// dead one's place, are greater.
struct stamp_of {
  static constexpr unsigned threads = member_count * threads_of_a_member;
  [[nodiscard]] static constexpr std::uint64_t make(unsigned thread, std::uint64_t incarnation, std::uint64_t number) {
    return (std::uint64_t{thread} << 56) | ((incarnation & 0xffffff) << 32) | (number & 0xffffffff);
  }
};

/// Checks that what one producer sends arrives in order.
class order_check {
 public:
  /// False where the stamp is not beyond its producer's last one.
  [[nodiscard]] bool in_order(std::uint64_t stamp) {
    if ((stamp >> 56) >= stamp_of::threads) return false;
    std::uint64_t& last = last_[stamp >> 56];
    const bool fine = stamp > last;
    last = stamp;
    return fine;
  }

 private:
  std::array<std::uint64_t, stamp_of::threads> last_{};
};

[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t a, std::uint64_t b) noexcept {
  return (a * 0x9e3779b97f4a7c15ULL) ^ (b + 0x632be59bd9b4e019ULL) * 0xd6e8feb86659fd93ULL;
}

}  // namespace storm
