// SPDX-License-Identifier: BSD-3-Clause
// A group: the processes that share one region, named by --file-prefix.  This is the handle that memzones, rings,
// pools, ports and messages are made from; mpnet::eal converts to it.
#pragma once

#include <mpnet/types.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mpnet {

namespace mem {
struct local_state;  // src/mem/local_state.hpp: this process's half
struct control;      // src/mem/control.hpp: the shared half
}  // namespace mem

enum class process_type : std::uint8_t { primary, secondary, automatic };

/// How a process enters a group.  Fields left at their defaults are taken from the group's config when attaching; a
/// value given that differs from the config is an error.
struct group_options {
  std::string file_prefix = "rte";
  process_type type = process_type::primary;
  std::vector<std::string> huge_dirs{};            // hugetlbfs mounts; empty: those in /proc/mounts
  bool no_huge = false;                            // 4 KiB pages of a tmpfs file
  bool legacy_mem = false;                         // take all of it at start, never grow
  std::optional<std::uint64_t> memory_mib{};       // -m: cap of the group
  std::vector<std::uint64_t> socket_memory_mib{};  // --socket-mem: cap of each NUMA node; empty: none
  std::optional<std::uint64_t> base_address{};     // --base-virtaddr
  std::optional<std::uint32_t> memory_channels{};  // -n
  std::optional<std::string> devices{};            // canonical text of --vdev, -a, -b, --no-pci: compared on attach
};

struct memory_stats {
  std::uint64_t cap_bytes = 0;        // 0: none
  std::uint64_t committed_bytes = 0;  // pages taken from the system
  std::uint64_t used_bytes = 0;       // of these, in blocks and zones
  std::uint64_t block_count = 0;
};

class group {
 public:
  /// Creates, adopts or attaches, as `options.type` and the state of the group ask.  Control; once a process at a time.
  explicit group(const group_options& options);
  /// Leaves: gives back leases and slot; the last member removes the group's files.  Never destroys shared objects that
  /// others may use.
  ~group();
  group(const group&) = delete;
  group& operator=(const group&) = delete;

  [[nodiscard]] process_id self() const noexcept;
  [[nodiscard]] bool is_primary() const noexcept;
  /// True where this process made the region or adopted the vacant role, false where it attached.
  [[nodiscard]] bool created() const noexcept;
  [[nodiscard]] const std::string& file_prefix() const noexcept;
  [[nodiscard]] const std::string& runtime_dir() const noexcept;  // sockets and the lock file live here

  [[nodiscard]] std::uintptr_t base_address() const noexcept;
  /// The address that a device uses for `address`, which must lie in the region.  Hot.
  [[nodiscard]] iova iova_of(const void* address) const noexcept {
    return iova{iova_base + (reinterpret_cast<std::uintptr_t>(address) - base_)};
  }
  static constexpr std::uint64_t iova_base = 4ULL << 30;  // off the MSI window; the region ends below 39 bits

  [[nodiscard]] memory_stats memory(socket_id socket = any_socket) const;

  /// What the destructor does; for forked members, which end with _exit().  Control.
  void leave() noexcept;
  /// In a child made by fork(): enters the same group again, as a member of its own.  For fork_member().
  void enter_again_after_fork(std::string_view name);

  /// For the library's own layers.
  [[nodiscard]] mem::control& control() const noexcept { return *control_; }
  [[nodiscard]] mem::local_state& local() const noexcept { return *local_; }

 private:
  void enter(const group_options& options);

  std::uintptr_t base_ = 0;
  mem::control* control_ = nullptr;
  std::unique_ptr<mem::local_state> local_;
};

}  // namespace mpnet
