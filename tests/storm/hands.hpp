// SPDX-License-Identifier: BSD-3-Clause
// What one thread of a storm does: objects in its hands, a random source, and one function for each chore.
#pragma once

#include <mpnet/mpnet.hpp>

#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "storm/board.hpp"
#include "storm/world.hpp"

namespace storm {

/// There are more threads than processors, and who naps is killed in his sleep: so each process has a favourite.
enum class temper : std::uint8_t { data, control, both };

/// A thread of a member.
class hands {
 public:
  hands(board& b, mpnet::eal& e, world& w, unsigned at, unsigned thread, temper likes)
      : board_(b),
        eal_(e),
        world_(w),
        at_(at),
        thread_(thread),
        eager_(likes == temper::both || likes == (thread == 0 ? temper::control : temper::data)),
        incarnation_(b.positions[at].incarnation.load(std::memory_order_relaxed)),  // relaxed: set before the fork
        random_(std::random_device{}()) {}

  /// Chores of data: pools, rings, packets.  Until a stop is asked for.
  void work_on_data();
  /// Chores of control, and of data in between.
  void work_on_control();

 private:
  using item_span = std::span<item*>;
  [[nodiscard]] unsigned any(unsigned below) { return static_cast<unsigned>(random_() % below); }
  void data_chore();
  void control_chore();
  void begin(chore c) noexcept;
  void nap_or_not();
  void broken(const std::string& text) noexcept { report(board_, text); }
  /// Runs `f`; errors of these kinds may happen in a storm, all others may not.
  void tolerate(std::initializer_list<mpnet::errc> kinds, const std::function<void()>& f);

  void own(item_span items) noexcept;
  void disown(item_span items) noexcept;
  std::size_t get(std::size_t n);
  void put(item_span items);
  [[nodiscard]] std::uint64_t next_stamp() noexcept {
    return stamp_of::make(at_ * threads_of_a_member + thread_, incarnation_, ++sequence_);
  }
  [[nodiscard]] std::uint64_t me() const noexcept {
    return stamp_of::make(at_ * threads_of_a_member + thread_, incarnation_, 1);
  }
  void stamp(item_span items) noexcept;
  void accept(item_span items, order_check* order, const char* where);
  void send(const mpnet::ring<item*>& ring, std::size_t n);
  void receive(const mpnet::ring<item*>& ring, std::size_t n, order_check* order, const char* where);

  void do_pool();
  void do_ring();
  void do_lanes();
  void do_neighbour();
  void do_numbers();
  void do_packets();

  void do_heap();
  void do_shelf();
  void do_locks();
  void do_zone();
  void do_temporary();
  void do_port();
  void do_message();
  void do_thread_death();
  void check_replies(const mpnet::ipc::replies& got, std::span<const std::byte> sent);

  board& board_;
  mpnet::eal& eal_;
  world& world_;
  const unsigned at_;
  const unsigned thread_;
  const bool eager_;
  const std::uint64_t incarnation_;
  std::mt19937 random_;
  std::uint64_t sequence_ = 0;
  std::array<item*, 64> items_{};
  std::vector<item*> kept_;
  std::vector<std::pair<void*, std::uint64_t>> own_blocks_;  // of lifetime::process, and what they are filled with
  std::optional<mpnet::port> port_;
  mpnet::queue_claim driven_;
  order_check many_order_, left_order_, numbers_order_;
};

/// What others may ask of this process.
void register_handlers(world& w);
void unregister_handlers();

}  // namespace storm
