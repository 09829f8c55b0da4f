// SPDX-License-Identifier: BSD-3-Clause
// Looking at a group without being in it: maps its config read-only, takes no lock, disturbs nobody, and works beside a
// living or a dead group of any build with the same layout.  What it returns are snapshots that may be torn where the
// group changes at the moment.  For tools such as `mpnet ps`.  Control; one thread an object.
#pragma once

#include <mpnet/group.hpp>
#include <mpnet/memzone.hpp>
#include <mpnet/process.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace mpnet {

struct segment_info {
  std::string path;
  std::uint64_t page_bytes = 0;
  std::uint64_t committed_bytes = 0;
  socket_id socket{};
};

class group_view {
 public:
  /// Throws not_found where there is no such group (not even a dead one), corrupt, incompatible, permission; busy where
  /// this process is a member of the group itself: it has list_processes() and the like.
  explicit group_view(const std::string& file_prefix);
  ~group_view();
  group_view(group_view&& other) noexcept;
  group_view& operator=(group_view&&) = delete;

  [[nodiscard]] bool anyone_lives() const;
  [[nodiscard]] std::vector<process_info> processes() const;
  [[nodiscard]] std::vector<recovery_info> recoveries() const;
  [[nodiscard]] std::vector<zone_info> zones() const;
  [[nodiscard]] std::vector<segment_info> segments() const;
  [[nodiscard]] memory_stats memory() const;
  [[nodiscard]] std::uintptr_t base_address() const noexcept;
  [[nodiscard]] std::string devices() const;  // of the primary's command line
  /// Copies what lies at an address of the region.  False where there is no memory, or this process cannot open the
  /// file that it is in (another mount namespace).  Reads files and maps none: looking at a hole takes no page.
  [[nodiscard]] bool read(std::uintptr_t address, std::span<std::byte> into) const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

/// What listings call a kind of zone: "memzone", "ring", "pool", …
[[nodiscard]] const char* name_of(zone_kind kind) noexcept;

/// The prefixes of the groups in this user's runtime directory, dead ones included, by name.
[[nodiscard]] std::vector<std::string> list_groups();

/// Removes what a dead group left.  False where there was nothing.  Throws busy, naming a pid, while anyone lives.
bool clean_group(const std::string& file_prefix);

}  // namespace mpnet
