// SPDX-License-Identifier: BSD-3-Clause
// The files of a group, damaged in any way: a config is either refused with a text that says what to do, or what it
// says can be mapped; and whoever looks at the group from outside finds texts that end and numbers that add up.  The
// input is a list of patches to the files of a real group: where (a byte), offset (four), length (one), bytes.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <mpnet/error.hpp>
#include <mpnet/group_view.hpp>
#include <mpnet/heap.hpp>
#include <mpnet/mbuf.hpp>
#include <mpnet/pool_view.hpp>
#include <mpnet/port.hpp>
#include <mpnet/port_view.hpp>
#include <mpnet/ring_view.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "mem/config_file.hpp"

using namespace mpnet;

namespace {

void require(bool holds, const char* what, const std::string& text = {}) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s: '%s'\n", what, text.c_str());
  std::abort();
}

/// A group that died with something of everything in it.
struct specimen {
  std::string dir = "/dev/shm/mpnet-config-fuzz-" + std::to_string(::getpid());
  int config = -1;
  int memory = -1;

  specimen() {
    std::filesystem::create_directory(dir);
    ::chmod(dir.c_str(), 0700);
    ::setenv("RUNTIME_DIRECTORY", dir.c_str(), 1);
    const pid_t pid = ::fork();
    if (pid == 0) live_and_die();
    ::waitpid(pid, nullptr, 0);
    config = ::open((dir + "/x/config").c_str(), O_RDWR | O_CLOEXEC);
    for (const auto& entry : std::filesystem::directory_iterator{dir + "/x"}) {
      if (entry.path().filename().string().starts_with("mpnet-x-")) memory = ::open(entry.path().c_str(), O_RDWR);
    }
    require(config >= 0 && memory >= 0, "the specimen has files");
    const group_view whole{"x"};
    require(list_pools(whole).size() == 1 && list_rings(whole).size() == 2 && list_ports(whole).size() == 1,
            "the specimen is complete");
  }
  ~specimen() { std::filesystem::remove_all(dir); }

  [[noreturn]] static void live_and_die() {
    group g{{.file_prefix = "x", .type = process_type::primary, .no_huge = true, .memory_mib = 64}};
    const auto pool = mbuf_pool::create(g, "pool", {.mbuf_count = 255, .cache_size = 32});
    static_cast<void>(pool.get());
    static_cast<void>(ring<std::uint64_t>::create(g, "ring", {.capacity = 8}).enqueue(1));
    static_cast<void>(
        ring<std::uint64_t>::create(g, "lanes", {.capacity = 8, .producers = ring_sync::many_concurrent}).enqueue(1));
    create_vdev(g, "net_null0").configure({.pool = "pool"});
    static_cast<void>(allocate(g, 100));
    ::raise(SIGKILL);
    std::abort();
  }
};

struct patch {
  int fd;
  off_t at;
  std::string old;
};

struct area {
  bool memory;
  std::size_t begin, size;
};
constexpr area areas[] = {
    {false, 0, sizeof(mem::config_header)},
    {false, offsetof(mem::control, segments), 128},
    {false, offsetof(mem::control, segments) + offsetof(mem::segment, path), mem::path_bytes + 64},
    {false, offsetof(mem::control, zones_used), 16 + 16 * sizeof(mem::zone_entry)},
    {false, offsetof(mem::control, slots), 4 * sizeof(mem::process_slot)},
    {false, offsetof(mem::control, leases), 16 * sizeof(detail::lease)},
    {false, offsetof(mem::control, recoveries), 4 * sizeof(mem::recovery_record)},
    {false, 0, 4 << 20},
    {true, 0, 1 << 20},
    {true, 0, 2 << 20},
};

std::vector<patch> apply(const specimen& s, const std::uint8_t* data, std::size_t size) {
  std::vector<patch> done;
  while (size >= 6) {
    const area& where = areas[data[0] % std::size(areas)];
    std::uint32_t offset = 0;
    std::memcpy(&offset, data + 1, sizeof offset);
    const std::size_t length = std::min<std::size_t>(data[5] % 17, size - 6);
    const int fd = where.memory ? s.memory : s.config;
    const auto at = static_cast<off_t>(where.begin + offset % where.size);
    std::string old(length, '\0');
    require(::pread(fd, old.data(), length, at) == static_cast<ssize_t>(length), "patched inside");
    require(::pwrite(fd, data + 6, length, at) == static_cast<ssize_t>(length), "patched inside");
    done.push_back({fd, at, std::move(old)});
    data += 6 + length;
    size -= 6 + length;
  }
  return done;
}

void check_refusal(const error& e) {
  const bool known = e.kind() == errc::corrupt || e.kind() == errc::incompatible || e.kind() == errc::not_found;
  require(known && std::strlen(e.what()) > 10, "it is refused as what it is", e.what());
}

void enter(const specimen& s) {
  mem::config_header header{};
  const auto fd = mem::open_config(s.dir + "/x", header);
  if (!fd) return;  // of another boot
  require(header.segment_count <= max_segments && header.region_bytes >= mem::control_window_bytes, "it can be mapped");
  require(std::strlen(header.devices) < sizeof header.devices, "its texts end");
}

void look(const group_view& view) {
  const auto short_enough = [](const std::string& name) { require(name.size() <= max_name_len, "a name", name); };
  for (const process_info& p : view.processes()) require(p.command.size() <= 80 && p.started.size() < 32, "a member");
  for (const recovery_info& r : view.recoveries()) require(r.command.size() <= 80, "a recovery");
  for (const zone_info& z : view.zones()) short_enough(z.name);
  for (const segment_info& s : view.segments()) require(s.path.size() <= mem::path_bytes, "a path");
  static_cast<void>(view.memory());
  static_cast<void>(view.anyone_lives());
  for (const ring_info& r : list_rings(view)) short_enough(r.name);
  for (const pool_snapshot& p : list_pools(view)) {
    std::size_t sum = p.in_backend + p.of_nobody;
    for (const auto& h : p.holders) sum += h.objects;
    require(!p.readable || sum == p.object_count, "every object is counted once", p.name);
  }
  for (const port_snapshot& p : list_ports(view)) {
    short_enough(p.info.name);
    require(p.rx.size() <= max_queues && p.tx.size() <= max_queues, "queues");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const specimen s;
  const std::vector<patch> patches = apply(s, data, size);
  try {
    enter(s);
  } catch (const error& e) {
    check_refusal(e);
  }
  try {
    look(group_view{"x"});
  } catch (const error& e) {
    check_refusal(e);
  }
  for (auto p = patches.rbegin(); p != patches.rend(); ++p) {
    require(::pwrite(p->fd, p->old.data(), p->old.size(), p->at) == static_cast<ssize_t>(p->old.size()), "undone");
  }
  return 0;
}
