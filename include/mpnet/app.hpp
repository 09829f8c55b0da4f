// SPDX-License-Identifier: BSD-3-Clause
// What forwarding applications have in common: the ports of a mask and their pairs, settings that all processes of an
// application share, and counts a port.  Control unless said otherwise.
#pragma once

#include <mpnet/error.hpp>
#include <mpnet/memzone.hpp>
#include <mpnet/port.hpp>

#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mpnet {

/// The ports of a mask (-p), ascending by id.  Throws invalid_argument for an empty mask, naming a port that does not
/// exist and those that do.
[[nodiscard]] std::vector<port> ports_of_mask(group& g, std::uint64_t mask);

/// The same where ports are to be paired, the first with the second, the third with the fourth: also throws for an odd
/// number.
[[nodiscard]] std::vector<port> paired_ports_of_mask(group& g, std::uint64_t mask);

/// The index of a paired port's partner: 0↔1, 2↔3.  Hot.
[[nodiscard]] constexpr std::size_t partner(std::size_t index) noexcept {
  return index ^ 1;
}

namespace detail {
void* shared_settings(group& g, std::string_view name, const void* mine, std::size_t size_bytes,
                      std::size_t align_bytes);
}  // namespace detail

/// Settings that all processes of an application must agree on, in a memzone: the first one's stand, everyone gets
/// these, and compares.  Returns the shared ones.  Throws incompatible where `T` has another size in the group.
template <class T>
T& shared_settings(group& g, std::string_view name, const T& mine) {
  static_assert(std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>, "shared settings are plain data");
  return *static_cast<T*>(detail::shared_settings(g, name, &mine, sizeof(T), alignof(T)));
}

/// What a process did on a port: received from it, sent to it, could not send to it.  Plain numbers: one writer.
struct forward_counts {
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
  std::uint64_t dropped = 0;
};

/// Sends all packets to the queue, or frees what does not go out after some tries, and counts both.  Hot.
void send_or_free(const port& to, queue_id queue, std::span<mbuf*> packets, forward_counts& counts) noexcept;

/// "port 0: received 10, sent 9, dropped 0", a line a port, then their sum, to stdout.
void print_counts(std::span<const port> ports, std::span<const forward_counts> counts);

}  // namespace mpnet
