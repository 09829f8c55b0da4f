// SPDX-License-Identifier: BSD-3-Clause
#include "mem/entry.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <mpnet/cycles.hpp>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "mem/config_file.hpp"
#include "mem/extents.hpp"
#include "mem/heap.hpp"
#include "mem/hugetlb.hpp"
#include "mem/local_state.hpp"
#include "mem/log.hpp"
#include "mem/membership.hpp"
#include "mem/runtime_dir.hpp"
#include "mem/shared_layout.hpp"

namespace mpnet::mem {
namespace {

constexpr int entry_patience_ms = 30'000;

void check_same(std::string_view option, std::uint64_t given, std::uint64_t config, bool is_address = false) {
  if (given == config) return;
  const auto text = [is_address](std::uint64_t value) {
    return is_address ? fmt::format("{:#x}", value) : fmt::format("{}", value);
  };
  throw error{errc::incompatible, fmt::format("{} {} differs from the group's {}; leave the option out when attaching",
                                              option, text(given), text(config))};
}

/// An attaching process repeats no memory or device option; what it gives must agree.
void check_options(const group_options& o, const config_header& c) {
  if (o.base_address) check_same("--base-virtaddr", *o.base_address, c.base_address, true);
  if (o.memory_mib) check_same("-m", *o.memory_mib, c.cap_bytes >> 20);
  if (o.memory_channels) check_same("-n", *o.memory_channels, c.memory_channels);
  for (std::size_t i = 0; i < o.socket_memory_mib.size() && i < max_sockets; ++i) {
    check_same("--socket-mem", o.socket_memory_mib[i], c.socket_cap_bytes[i] >> 20);
  }
  if (o.no_huge && c.no_huge == 0) {
    throw error{errc::incompatible, "--no-huge: the group runs on hugepages; leave the option out when attaching"};
  }
  if (o.legacy_mem && c.legacy_mem == 0) {
    throw error{errc::incompatible,
                "--legacy-mem: the group was started without it; leave the option out when attaching"};
  }
  if (o.devices && *o.devices != c.devices) {
    throw error{errc::incompatible,
                fmt::format("the device options '{}' differ from the group's '{}'; leave them out when "
                            "attaching",
                            *o.devices, c.devices)};
  }
}

void set_clock(const config_header& c) {
  detail::group_clock.hz = c.clock_hz;
  detail::group_clock.use_tsc = c.clock_is_tsc != 0;
}

void fill_header(control& c, const group_options& o, std::uint64_t base, std::uint64_t region_bytes) {
  config_header& h = c.config;
  h.version = config_version;
  h.header_bytes = sizeof h;
  h.layout = shared_layout;
  std::strncpy(h.boot_id, boot_id().c_str(), sizeof h.boot_id - 1);
  h.base_address = base;
  h.region_bytes = region_bytes;
  h.memory_channels = o.memory_channels.value_or(0);
  h.no_huge = o.no_huge ? 1 : 0;
  h.legacy_mem = o.legacy_mem ? 1 : 0;
  h.cap_bytes = o.memory_mib.value_or(0) << 20;
  h.sockets_capped = o.socket_memory_mib.empty() ? 0 : 1;
  for (std::size_t i = 0; i < o.socket_memory_mib.size() && i < max_sockets; ++i) {
    h.socket_cap_bytes[i] = o.socket_memory_mib[i] << 20;
  }
  if (h.cap_bytes == 0 && h.sockets_capped != 0) {
    h.cap_bytes = std::accumulate(h.socket_cap_bytes.begin(), h.socket_cap_bytes.end(), std::uint64_t{0});
  }
  std::strncpy(h.file_prefix, o.file_prefix.c_str(), sizeof h.file_prefix - 1);
  const std::string devices = o.devices.value_or("");
  if (devices.size() >= sizeof h.devices) {
    throw error{errc::limit, fmt::format("the device options take {} bytes, their limit is {}", devices.size(),
                                         sizeof h.devices - 1)};
  }
  std::memcpy(h.devices, devices.c_str(), devices.size() + 1);
  const detail::clock_config clock = detail::measure_clock();
  h.clock_hz = clock.hz;
  h.clock_is_tsc = clock.use_tsc ? 1 : 0;
  h.magic = config_magic;
}

/// Takes a free slot: its byte lock first, so that whoever sees the slot in use also sees who lives.
void join(group& g) {
  local_state& local = g.local();
  control& c = g.control();
  for (std::uint32_t i = 0; i < max_processes; ++i) {
    process_slot& s = c.slots[i];
    if (s.state.load(std::memory_order_acquire) != slot_free) continue;  // [A-slot]
    const off_t byte = lock_file::first_slot + static_cast<off_t>(i);
    if (!local.locks->try_lock(byte)) continue;
    std::uint32_t expected = slot_free;
    if (!s.state.compare_exchange_strong(expected, slot_joining, std::memory_order_acq_rel)) {
      local.locks->unlock(byte);  // somebody came and died between our two looks; the recovery below finds it
      continue;
    }
    local.slot = i;
    local.incarnation = s.incarnation.load(std::memory_order_relaxed) + 1;  // relaxed: ours alone
    s.incarnation.store(local.incarnation, std::memory_order_relaxed);      // relaxed: published by the state
    s.pid = ::getpid();
    s.uid = ::geteuid();
    s.start_ticks = process_start_ticks(s.pid);
    s.joined_ns = realtime_ns();
    struct stat ns {};
    s.pid_namespace = ::stat("/proc/self/ns/pid", &ns) == 0 ? ns.st_ino : 0;
    std::memset(s.command, 0, sizeof s.command);
    const std::string command = process_command(s.pid, sizeof s.command - 1);
    std::memcpy(s.command, command.data(), command.size());
    s.state.store(slot_live, std::memory_order_release);  // [R-slot] pairs with [A-slot]
    c.group_epoch.fetch_add(1, std::memory_order_release);
    detail::lease_table = c.leases.data();
    detail::process_tag = static_cast<std::uint16_t>(i + 1);
    return;
  }
  throw error{errc::limit, fmt::format("join group '{}': it has {} members, its limit", local.prefix, max_processes)};
}

/// The steps of entering, in order; what fails half-way is given back by the members' destructors.
class entry {
 public:
  entry(group& g, std::uintptr_t& base, control*& shared, const group_options& options)
      : group_(g), base_(base), shared_(shared), options_(options), local_(g.local()) {}

  void run() {
    const std::string root = runtime_root();
    local_.prefix = options_.file_prefix;
    open_lock_file(root, lock_file::mode::shared);
    if (!try_attach()) {
      refuse_lonely_secondary();
      // No upgrade of the shared lock: two who try would wait for each other.
      open_lock_file(root, lock_file::mode::exclusive);
      if (!try_attach()) create();
    }
    local_.locks->unlock(lock_file::initialise);
  }

 private:
  /// Opens the lock file and takes the initialise lock; once more where the last member removed the file, or its
  /// directory, meanwhile.
  void open_lock_file(const std::string& root, lock_file::mode mode) {
    constexpr int patience = 1000;
    for (int tries = 1;; ++tries) {
      local_.locks.reset();
      local_.runtime_dir = group_dir(root, options_.file_prefix);
      try {
        local_.locks = std::make_unique<lock_file>(local_.runtime_dir + "/lock");
      } catch (const error& e) {
        if (e.kind() != errc::not_found || tries == patience) throw;
        continue;
      }
      local_.locks->lock(lock_file::initialise, mode, entry_patience_ms,
                         fmt::format("enter group '{}'", local_.prefix));
      if (local_.locks->unlinked()) continue;
      // Only now: whoever removes it unlinks the lock file afterwards.
      local_.shared_dir = group_dir(shared_root(root), options_.file_prefix);
      return;
    }
  }

  void refuse_lonely_secondary() const {
    if (options_.type != process_type::secondary) return;
    throw error{errc::not_found,
                fmt::format("attach to group '{}': no process of it lives; start one with --proc-type=primary "
                            "(and the same --file-prefix) first",
                            local_.prefix)};
  }

  void map_region(std::uint64_t base, std::uint64_t bytes) {
    log(log_level::info, "EAL", fmt::format("Ask a virtual area of {:#x} bytes", bytes));
    local_.map = std::make_unique<region>(base, bytes);
    log(log_level::info, "EAL", fmt::format("Virtual area found at {:#x} (size = {:#x})", base, bytes));
    shared_ = &local_.map->map_control(local_.config_fd.get());
    base_ = base;
  }

  void map_segments() {
    for (std::size_t i = 0; i < shared_->config.segment_count; ++i) {
      local_.map->map_segment(i, open_segment(shared_->segments[i], i, local_.runtime_dir));
    }
    local_.map->sync_extents();
  }

  /// False where nobody lives.
  bool try_attach() {
    if (!anyone_lives(*local_.locks)) return false;
    config_header header{};
    local_.config_fd = open_config(local_.shared_dir, header);
    if (!local_.config_fd) {
      // Never made anew under those who live.
      throw error{errc::corrupt,
                  fmt::format("enter group '{}': processes of it live, but {}/config is gone or of another boot; end "
                              "them, or choose another --file-prefix",
                              local_.prefix, local_.shared_dir)};
    }
    bool role = false;
    if (options_.type != process_type::secondary) {
      role = local_.locks->try_lock(lock_file::primary_role);
      if (!role && options_.type == process_type::primary) refuse_second_primary();
    }
    check_options(options_, header);
    map_region(header.base_address, header.region_bytes);
    map_segments();
    set_clock(shared_->config);
    join(group_);
    if (role) {
      (void)try_become_primary(group_);
      local_.created = true;
    }
    return true;
  }

  [[noreturn]] void refuse_second_primary() const {
    const int pid = local_.locks->holder(lock_file::primary_role);
    const std::string holder = pid > 0 ? fmt::format("process {} ('{}', started {})", pid, process_command(pid, 80),
                                                     start_time_text(process_start_ticks(pid)))
                                       : unseen_primary();
    throw error{errc::busy,
                fmt::format("start a primary of group '{}': {} is its primary; use --proc-type=secondary or auto, "
                            "or another --file-prefix",
                            local_.prefix, holder)};
  }

  /// A primary in a PID namespace that this process does not see.  The config is not mapped yet.
  [[nodiscard]] std::string unseen_primary() const {
    const int fd = local_.config_fd.get();
    std::uint32_t number = 0;
    process_slot s{};
    if (::pread(fd, &number, sizeof number, offsetof(control, primary_slot)) != sizeof number || number == 0 ||
        number > max_processes ||
        ::pread(fd, static_cast<void*>(&s), sizeof s,
                static_cast<off_t>(offsetof(control, slots) + (number - 1) * sizeof s)) != sizeof s) {
      return "a process of another PID namespace";
    }
    return fmt::format("process {} of another PID namespace ('{}')", s.pid,
                       std::string_view{s.command, ::strnlen(s.command, sizeof s.command)});
  }

  /// What cannot be had is said before anything is made.
  void refuse_missing_nodes() const {
    const std::vector<int> nodes = numa_nodes();
    for (std::size_t i = 0; i < options_.socket_memory_mib.size(); ++i) {
      const bool there = std::find(nodes.begin(), nodes.end(), static_cast<int>(i)) != nodes.end();
      if (there || options_.socket_memory_mib[i] == 0) continue;
      throw error{errc::invalid_argument,
                  fmt::format("--socket-mem: {} MB asked for on node {}, and the machine's nodes are {}; give a number "
                              "for each of these, 0 for none",
                              options_.socket_memory_mib[i], i, fmt::join(nodes, ", "))};
    }
  }

  void create() {
    refuse_missing_nodes();
    remove_stale_files(local_.shared_dir, local_.runtime_dir, local_.prefix);
    const std::uint64_t base = options_.base_address.value_or(default_base);
    const std::uint64_t bytes = planned_region_bytes(options_);
    if (bytes > (508ULL << 30)) {
      throw error{errc::limit,
                  "the windows of all NUMA nodes and page sizes exceed 508 GiB; choose page sizes with --huge-dir"};
    }
    local_.config_fd = create_config(local_.shared_dir);
    try {
      map_region(base, bytes);
      create_segments(*shared_, options_, local_.shared_dir);
      fill_header(*shared_, options_, base, bytes);
      map_segments();
      set_clock(shared_->config);
      join(group_);
      (void)try_become_primary(group_);
      format_segments();
      publish_config(local_.shared_dir);
    } catch (...) {
      // Where addresses or descriptors have run out, removing the files needs some of these.
      local_.map.reset();
      local_.config_fd.reset();
      remove_stale_files(local_.shared_dir, local_.runtime_dir, local_.prefix);
      throw;
    }
    local_.created = true;
  }

  void format_segments() {
    for (std::size_t i = 0; i < shared_->config.segment_count; ++i) {
      transaction tx{group_};
      format_segment(tx, i);
      tx.commit();
    }
    const std::uint64_t page_bytes = shared_->segments[0].page_bytes;
    const std::uint64_t bytes = options_.legacy_mem ? take_all(page_bytes) : shared_->config.cap_bytes;
    log(log_level::info, "EAL", fmt::format("Requesting {} pages of size {}", bytes / page_bytes, page_bytes));
  }

  /// --legacy-mem.  Pages that are not there are missed before any is taken from others.
  std::uint64_t take_all(std::uint64_t page_bytes) const {
    const std::uint64_t wanted = shared_->config.cap_bytes & ~(shared_->segments[0].granule_bytes - 1);
    std::uint64_t got = 0;
    for (std::size_t i = 0; i < shared_->config.segment_count; ++i) got += committable_bytes(group_, i);
    if (got != 0 && got >= wanted) got = commit_everything(group_);
    if (got == 0 || got < wanted) {
      throw error{errc::no_memory,
                  fmt::format("--legacy-mem: {} asked for, {} MiB to be had; reserve more pages with: "
                              "{}{}",
                              wanted == 0 ? "all pages" : fmt::format("{} MiB", wanted >> 20), got >> 20,
                              reserve_command(page_bytes), wanted == 0 ? ", or give -m" : "")};
    }
    return got;
  }

  group& group_;
  std::uintptr_t& base_;
  control*& shared_;
  const group_options& options_;
  local_state& local_;
};

}  // namespace

void enter_group(group& g, std::uintptr_t& base, control*& shared, const group_options& options) {
  entry{g, base, shared, options}.run();
}

}  // namespace mpnet::mem
