// SPDX-License-Identifier: BSD-3-Clause
#include "crash_world.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "crash_judge.hpp"
#include "mem/control.hpp"
#include "support/child.hpp"

namespace mpnet::test {
namespace {

using mem::control;
using mem::lock_file;

constexpr std::size_t kept_bytes = 64U << 10;  // of each granule; blocks of the tests start there

constexpr std::size_t watched_granules = 128;

}  // namespace

bool is_private(const stepped_child::system_call& call) {
  switch (call.number) {
    case SYS_openat:
      return (call.arguments[2] & O_CREAT) == 0;
    case SYS_fcntl:
      return call.arguments[1] != F_SETLK;
    case SYS_write:
    case SYS_fallocate:
    case SYS_ftruncate:
    case SYS_mkdir:
    case SYS_mknod:
    case SYS_mknodat:
    case SYS_rename:
    case SYS_unlink:
    case SYS_unlinkat:
    case SYS_rmdir:
    case SYS_close:
    case SYS_bind:
    case SYS_futex:
      return false;
    default:
      return true;
  }
}

namespace {

template <class T>
std::byte* bytes_of(T& object) {
  return reinterpret_cast<std::byte*>(&object);
}

}  // namespace

crash_world::crash_world(const group_options& options)
    : prefix_(options.file_prefix), twin_dir_("/tmp/" + prefix_ + "-twin") {
  group_ = std::make_unique<group>(options);
  require(::mkdir(twin_dir_.c_str(), 0700) == 0, "make {}", twin_dir_);
  for (std::size_t i = 0; i < twins_.size(); ++i) {
    twins_[i] = std::make_unique<lock_file>(fmt::format("{}/{}", twin_dir_, i));
    for (const off_t byte : {static_cast<off_t>(lock_file::primary_role),
                             lock_file::first_slot + static_cast<off_t>(group_->local().slot)})
      require(twins_[i]->try_lock(byte), "lock a twin");
  }
  control& c = group_->control();
  require(c.config.segment_count == 1, "these tests know groups of one segment");
  const auto add = [this](auto& first, auto& last) {
    parts_.push_back({bytes_of(first), static_cast<std::size_t>(bytes_of(last) - bytes_of(first))});
  };
  add(c.control_lock, c.recoveries[8]);
  add(c.slots[0], c.slots[8]);
  add(c.leases[0], c.leases[8]);
  add(c.leases[max_lcores], c.leases[max_lcores + 4]);
  add(c.undo, c.undo.entries[200]);
  add(c.intent, c.zones[24]);
  add(c.blocks_used, c.segments[0].published[watched_granules / 64]);
  add(c.blocks[0], c.blocks[96]);
  const mem::segment& s = c.segments[0];
  void* const window = ::mmap(nullptr, s.window_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                              group_->local().map->segment_fd(0), 0);
  require(window != MAP_FAILED, "map the segment's file");
  ::madvise(window, s.window_bytes, MADV_DONTFORK);
  window_ = static_cast<std::byte*>(window);
}

crash_world::~crash_world() {
  if (window_ != nullptr) ::munmap(window_, group_->control().segments[0].window_bytes);
  group_.reset();
  for (std::size_t i = 0; i < twins_.size(); ++i) {
    twins_[i].reset();
    ::unlink(fmt::format("{}/{}", twin_dir_, i).c_str());
  }
  ::rmdir(twin_dir_.c_str());
}

std::vector<bool> crash_world::published() const {
  const mem::segment& s = group_->control().segments[0];
  std::vector<bool> found(watched_granules);
  for (std::size_t i = 0; i < found.size(); ++i) found[i] = ((s.published[i / 64].load() >> (i % 64)) & 1) != 0;
  return found;
}

crash_world::image crash_world::save() const {
  image saved;
  for (const part& p : parts_) saved.control.insert(saved.control.end(), p.first, p.first + p.size);
  saved.pages = pages_;
  const std::uint64_t granule = group_->control().segments[0].granule_bytes;
  for (std::size_t i = 0; i < pages_.size(); ++i) {
    if (pages_[i]) saved.contents.emplace_back(window_ + i * granule, window_ + i * granule + kept_bytes);
  }
  return saved;
}

void crash_world::set_pages(const std::vector<bool>& wanted, const std::vector<bool>& present) {
  const auto granule = static_cast<off_t>(group_->control().segments[0].granule_bytes);
  const int fd = group_->local().map->segment_fd(0);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] == present[i]) continue;
    const int mode = wanted[i] ? 0 : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    while (::fallocate(fd, mode, static_cast<off_t>(i) * granule, granule) != 0)
      require(errno == EINTR, "put pages back");
  }
}

void crash_world::restore(const image& saved) {
  control& c = group_->control();
  const std::vector<bool> present = published();  // whoever judged checked that the file has just these
  epoch_ = std::max(epoch_, c.extent_epoch.load()) + 1;
  const std::byte* from = saved.control.data();
  for (const part& p : parts_) {
    std::memcpy(p.first, from, p.size);
    from += p.size;
  }
  c.extent_epoch = epoch_;
  pages_ = saved.pages;
  set_pages(pages_, present);
  const std::uint64_t granule = c.segments[0].granule_bytes;
  auto contents = saved.contents.begin();
  for (std::size_t i = 0; i < pages_.size(); ++i) {
    if (pages_[i]) std::memcpy(window_ + i * granule, (contents++)->data(), kept_bytes);
  }
  remember();
}

bool crash_world::changed() const {
  const std::byte* from = remembered_.data();
  for (const part& p : parts_) {
    if (std::memcmp(p.first, from, p.size) != 0) return true;
    from += p.size;
  }
  return false;
}

void crash_world::begin() {
  pages_ = published();
  const auto* all = reinterpret_cast<const std::byte*>(&group_->control());
  unwatched_.assign(all, all + offsetof(control, blocks) + 4096);
  remember();
}

void crash_world::remember() {
  remembered_.clear();
  for (const part& p : parts_) remembered_.insert(remembered_.end(), p.first, p.first + p.size);
}

void crash_world::check_unwatched() const {
  const auto* all = reinterpret_cast<const std::byte*>(&group_->control());
  for (std::size_t i = 0; i < unwatched_.size(); i += 8) {
    if (std::memcmp(all + i, unwatched_.data() + i, 8) == 0) continue;
    const bool watched = std::any_of(parts_.begin(), parts_.end(),
                                     [&](const part& p) { return all + i >= p.first && all + i < p.first + p.size; });
    require(watched, "the control segment changed at offset {}, where the test does not look", i);
  }
}

void crash_world::note_pages(const stepped_child& child, const stepped_child::system_call& call) {
  if (call.number != SYS_fallocate || child.call_result() != 0) return;
  struct stat theirs {};
  struct stat ours {};
  require(::stat(fmt::format("/proc/{}/fd/{}", child.pid(), call.arguments[0]).c_str(), &theirs) == 0 &&
              ::fstat(group_->local().map->segment_fd(0), &ours) == 0,
          "look at a descriptor of the child");
  if (theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev) return;
  const std::uint64_t granule = group_->control().segments[0].granule_bytes;
  for (std::uint64_t i = call.arguments[2] / granule; i < (call.arguments[2] + call.arguments[3]) / granule; ++i)
    pages_[i] = (call.arguments[1] & FALLOC_FL_PUNCH_HOLE) == 0;
}

crash_world::progress crash_world::step(stepped_child& child) {
  const auto call = child.next_call();
  progress p{child.step(), false};
  if (call) note_pages(child, *call);
  p.visible = (call && !is_private(*call)) || changed();
  if (p.visible) remember();
  return p;
}

void crash_world::as_if_dead(const std::vector<const stepped_child*>& dead, const std::function<void()>& judge) {
  const image saved = save();
  control& c = group_->control();
  for (const stepped_child* d : dead) d->mark_robust_mutexes(&c.leases.front(), &c.leases.back() + 1);
  auto& locks = group_->local().locks;
  std::swap(locks, twins_[1]);
  try {
    judge();
  } catch (...) {
    std::swap(locks, twins_[1]);
    throw;
  }
  std::swap(locks, twins_[1]);
  restore(saved);
}

// What a copy of this process has of its lock files is nothing.
void crash_world::forget_locks() const {
  group_->local().locks->abandon();
  for (const auto& twin : twins_) twin->abandon();
}

group& crash_world::enter_by_fork() const {
  forget_locks();
  group_->enter_again_after_fork("forked");
  return *group_;
}

group& crash_world::enter() const {
  forget_locks();
  return *new group{{.file_prefix = prefix_, .type = process_type::secondary}};
}

void crash_world::believe_dead(group& g) const {
  auto twin = std::make_unique<lock_file>(twin_dir_ + "/0");
  require(twin->try_lock(lock_file::first_slot + static_cast<off_t>(g.local().slot)), "lock a twin");
  std::swap(g.local().locks, twin);
  static_cast<void>(twin.release());  // stays locked: others must see this process alive
}

bool crash_world::may_enter() const {
  auto& locks = *group_->local().locks;
  if (!locks.try_lock(lock_file::initialise, lock_file::mode::shared)) return false;
  locks.unlock(lock_file::initialise);
  return true;
}

}  // namespace mpnet::test
