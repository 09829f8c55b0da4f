// SPDX-License-Identifier: BSD-3-Clause
// What forwarding applications have in common: the ports of a mask and their pairs, settings that all processes of an
// application share, and counts a port.  Control unless said otherwise.
#pragma once

#include <mpnet/error.hpp>
#include <mpnet/memzone.hpp>
#include <mpnet/port.hpp>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mpnet {

/// The ports of a mask (-p), ascending by id.  Throws invalid_argument for an empty mask, naming a port that does not
/// exist and those that do.
[[nodiscard]] std::vector<port> ports_of_mask(group& g, std::uint64_t mask);

/// The same where ports are to be paired, the first with the second, the third with the fourth: also throws for an odd
/// number, naming the port without a partner.
[[nodiscard]] std::vector<port> paired_ports_of_mask(group& g, std::uint64_t mask);

/// The index of a paired port's partner: 0↔1, 2↔3.  Hot.
[[nodiscard]] constexpr std::size_t partner(std::size_t index) noexcept {
  return index ^ 1;
}

namespace detail {
void* shared_settings(group& g, std::string_view name, std::size_t size_bytes,
                      const std::function<void(void*)>& initialise);
void* find_settings(group& g, std::string_view name, std::size_t size_bytes);
template <class T>
inline constexpr bool is_settings = std::is_standard_layout_v<T>&& std::is_trivially_destructible_v<T>;
}  // namespace detail

/// A struct of an application's settings and counts that all of its processes share, in a memzone.  Who comes first
/// makes it: zeroed, then `initialise(T&)`, before anyone can see it.  Throws incompatible where T has another size in
/// the group.
template <class T, class F>
T& shared_settings(group& g, std::string_view name, F initialise) {
  static_assert(detail::is_settings<T>, "shared settings are plain data");
  static_assert(alignof(T) <= cache_line);
  return *static_cast<T*>(
      detail::shared_settings(g, name, sizeof(T), [&](void* place) { initialise(*static_cast<T*>(place)); }));
}

/// The same where others have made it already; null where nobody has.
template <class T>
[[nodiscard]] T* find_settings(group& g, std::string_view name) {
  static_assert(detail::is_settings<T>, "shared settings are plain data");
  return static_cast<T*>(detail::find_settings(g, name, sizeof(T)));
}

/// Throws incompatible, naming the option and both values, unless they are the same.
void must_agree(std::string_view option, std::uint64_t theirs, std::uint64_t mine);

/// The command line without its program name, with --proc-type set to `type` whatever was given.  For processes whose
/// role is not a matter of choice.
[[nodiscard]] std::vector<std::string> with_process_type(int argc, char** argv, std::string_view type);

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
