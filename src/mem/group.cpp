// SPDX-License-Identifier: BSD-3-Clause
// The handle of a process's group: one a process, entered (entry.cpp), left, and forgotten in the child of a plain
// fork.
#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "mem/conductor.hpp"
#include "mem/config_file.hpp"
#include "mem/entry.hpp"
#include "mem/fault.hpp"
#include "mem/heap.hpp"
#include "mem/local_state.hpp"
#include "mem/log.hpp"
#include "mem/membership.hpp"
#include "mem/nudge.hpp"

namespace mpnet {
namespace {

using mem::local_state;
using mem::lock_file;

constexpr int leaving_patience_ms = 5000;

std::atomic<group*> the_group{nullptr};  // one a process

/// In the child of a plain fork(): the region is not mapped, no lock is held, nothing may be used.
void after_fork_in_child() {
  detail::lease_table = nullptr;
  detail::this_lease = nullptr;
  detail::process_tag = 0;
  // relaxed: the child has one thread
  if (group* g = the_group.exchange(nullptr, std::memory_order_relaxed); g != nullptr) {
    g->local().forked.store(true, std::memory_order_relaxed);
    mem::forget_region_in_child();
    g->local().locks->abandon();
  }
}

/// After an entry that failed: the directories that it made, where no group is in them.
void remove_empty_dirs(const local_state& local) noexcept {
  if (!local.locks) {  // the lock file could not be opened: only what is empty goes
    ::rmdir(local.runtime_dir.c_str());
    ::rmdir(local.shared_dir.c_str());
    return;
  }
  if (::access((local.shared_dir + "/config").c_str(), F_OK) == 0) return;
  try {
    if (local.locks->try_lock(lock_file::initialise) && !mem::anyone_lives(*local.locks)) {
      mem::remove_group_dirs(local.shared_dir, local.runtime_dir);
    }
  } catch (const error&) {
    // The error that is on its way already matters more.
  }
}

}  // namespace

namespace mem {

void check_usable(const group& g) {
  if (!g.local().forked.load(std::memory_order_relaxed)) return;  // relaxed: set before the child has threads
  throw error{errc::unsupported,
              "this process is the child of a plain fork(), which is no member of the group; use "
              "mpnet::fork_member(), or exec"};
}

}  // namespace mem

group::group(const group_options& options) : local_(std::make_unique<local_state>()) {
  group* expected = nullptr;
  if (!the_group.compare_exchange_strong(expected, this, std::memory_order_acq_rel)) {
    throw error{errc::busy,
                fmt::format("enter group '{}': this process is in group '{}'; a process is in one group at a time",
                            options.file_prefix, expected->file_prefix())};
  }
  static const int once = ::pthread_atfork(nullptr, nullptr, after_fork_in_child);
  (void)once;
  enter(options);
}

void group::enter(const group_options& options) {
  try {
    mem::enter_group(*this, base_, control_, options);
    mem::install_fault_handlers(*this);
  } catch (...) {
    detail::lease_table = nullptr;
    detail::process_tag = 0;
    the_group.store(nullptr, std::memory_order_release);
    remove_empty_dirs(*local_);
    throw;
  }
  mem::recover_dead(*this);  // as the newest survivor
  mem::nudge_members(*control_, local_->runtime_dir, local_->slot);
}

void group::enter_again_after_fork(std::string_view name) {
  const group_options options{.file_prefix = local_->prefix, .type = process_type::secondary};
  local_ = std::make_unique<local_state>();  // the copy of the parent's half closes its descriptors and holds no lock
  the_group.store(this, std::memory_order_release);
  enter(options);
  if (name.empty()) return;
  mem::process_slot& s = control_->slots[local_->slot];
  std::memset(s.command, 0, sizeof s.command);
  std::memcpy(s.command, name.data(), std::min(name.size(), sizeof s.command - 1));
}

group::~group() {
  leave();
}

void group::leave() noexcept {
  if (local_->forked.load(std::memory_order_relaxed) || control_ == nullptr) return;  // relaxed: see check_usable
  mem::remove_fault_handlers();
  try {
    mem::leave(*this);
    control_ = nullptr;
    detail::lease_table = nullptr;
    // Where addresses or descriptors have run out, removing the files needs some of these.
    const auto files = local_->map->take_files();
    local_->map.reset();
    local_->config_fd.reset();
    // Two that leave at once must not each take the other for the one who stays: the lock is waited for.
    local_->locks->lock(mem::lock_file::initialise, mem::lock_file::mode::exclusive, leaving_patience_ms,
                        "look for other members");
    if (!mem::anyone_lives(*local_->locks)) {
      // A file that this process sees under no name (its hugetlbfs is mounted elsewhere) keeps no page at least.
      for (const mem::unique_fd& file : files) {
        if (file && ::ftruncate(file.get(), 0) != 0) break;  // then the next start has to remove it
      }
      mem::remove_stale_files(local_->shared_dir, local_->runtime_dir, local_->prefix);
      mem::remove_group_dirs(local_->shared_dir, local_->runtime_dir);
    }
  } catch (const error& e) {
    log(log_level::warning, "EAL", fmt::format("leave group '{}': {}", local_->prefix, e.what()));
  } catch (const std::bad_alloc&) {
    // As if it had died here: its locks go with the object, and survivors, or the next start, do the rest.
  }
  control_ = nullptr;
  detail::lease_table = nullptr;
  detail::process_tag = 0;
  the_group.store(nullptr, std::memory_order_release);
}

process_id group::self() const noexcept {
  return process_id{static_cast<std::uint16_t>(local_->slot)};
}
bool group::is_primary() const noexcept {
  return local_->primary;
}
bool group::created() const noexcept {
  return local_->created;
}
const std::string& group::file_prefix() const noexcept {
  return local_->prefix;
}
const std::string& group::runtime_dir() const noexcept {
  return local_->runtime_dir;
}
std::uintptr_t group::base_address() const noexcept {
  return base_;
}

memory_stats group::memory(socket_id socket) const {
  const mem::transaction tx{const_cast<group&>(*this)};
  const mem::control& c = tx.shared();
  memory_stats stats;
  stats.cap_bytes = c.config.cap_bytes;
  for (std::size_t i = 0; i < c.config.segment_count; ++i) {
    const mem::segment& s = c.segments[i];
    if (socket != any_socket && s.socket != static_cast<std::uint64_t>(socket)) continue;
    stats.committed_bytes += s.committed * s.granule_bytes;
    for (std::uint64_t n = s.first_block; n != 0 && socket != any_socket; n = mem::block_at(*control_, n).next) {
      if (mem::block_at(*control_, n).state != mem::block_taken) continue;
      stats.used_bytes += mem::block_at(*control_, n).used_bytes;
      ++stats.block_count;
    }
  }
  if (socket == any_socket) {
    stats.used_bytes = c.bytes_used;
    stats.block_count = c.blocks_allocated;
  }
  return stats;
}

group& this_group() {
  group* g = the_group.load(std::memory_order_acquire);
  if (g == nullptr) throw error{errc::not_found, "this process is in no group; make an mpnet::eal first"};
  return *g;
}

}  // namespace mpnet
