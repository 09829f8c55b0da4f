// SPDX-License-Identifier: BSD-3-Clause
// Descriptors, disk, hugepages and addresses that end in the middle of an operation: each operation fails with a text,
// takes nothing with it, and works again once there is room.
#include <signal.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <mpnet/eal.hpp>
#include <mpnet/event.hpp>
#include <mpnet/fork.hpp>
#include <mpnet/heap.hpp>
#include <mpnet/ipc.hpp>
#include <mpnet/lcore.hpp>
#include <mpnet/mbuf.hpp>
#include <mpnet/memzone.hpp>
#include <mpnet/port.hpp>
#include <mpnet/ring.hpp>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "faults/support.hpp"
#include "support/sanitized.hpp"

using namespace mpnet;
using namespace faults;

namespace {

constexpr int told = 1;    // failed with a text, nothing left
constexpr int silent = 2;  // failed otherwise

std::size_t open_fds() {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) ++n;
  return n;
}

/// Leaves room for that many descriptors beyond stdin, stdout and stderr.
void leave_descriptors(int count) {
  ::close_range(3, ~0U, 0);
  rlimit r{};
  ::getrlimit(RLIMIT_NOFILE, &r);
  r.rlim_cur = static_cast<rlim_t>(3 + count);
  ::setrlimit(RLIMIT_NOFILE, &r);
}

void limit(int resource, rlim_t most) {
  rlimit r{};
  ::getrlimit(static_cast<__rlimit_resource_t>(resource), &r);
  r.rlim_cur = std::min(most, r.rlim_max);
  ::setrlimit(static_cast<__rlimit_resource_t>(resource), &r);
}

[[maybe_unused]] std::uint64_t address_bytes() {
  std::ifstream file{"/proc/self/statm"};
  std::uint64_t pages = 0;
  file >> pages;
  return pages * 4096;
}

/// 0, or `told` where `f` threw an error with a text.
int outcome_of(const std::function<void()>& f) {
  try {
    f();
    return 0;
  } catch (const error& e) {
    return std::strlen(e.what()) > 10 ? told : silent;
  } catch (const std::bad_alloc&) {
    return told;  // the address space: there is nothing more to say
  } catch (...) {
    return silent;
  }
}

struct sweep {
  int steps;
  int refused_at_least;
};
/// Does `f` in a child under each limit from 0 on, until it has succeeded three times.  Until then each is refused with
/// a text, and leaves nothing in the runtime directory.
void under_each(const own_runtime& runtime, sweep wanted, const std::function<void(int step)>& set_limit,
                const std::function<void()>& f) {
  int refused = 0;
  int succeeded = 0;
  for (int step = 0; step < wanted.steps && succeeded < 3; ++step) {
    test::child c{[&] {
      set_limit(step);
      return outcome_of(f);
    }};
    const int code = c.wait();
    refused += code == told ? 1 : 0;
    succeeded += code == 0 ? 1 : 0;
    INFO("step " << step);
    CHECK((code == told || code == 0));
    CHECK(runtime.empty());
  }
  CHECK(refused >= wanted.refused_at_least);
  CHECK(succeeded == 3);
}

/// `c` ends with 0, or with 77 where the machine does not let it try.
void check_or_skip(test::child& c, const char* reason) {
  const int code = c.wait(120'000);
  if (code == 77)
    WARN("SKIP: " << reason);
  else
    CHECK(code == 0);
}

std::vector<std::string> eal_arguments(const std::string& prefix) {
  return {"--no-huge", "-m", "64", "--file-prefix", prefix, "--lcores", "0@0,1@0", "--no-pci"};
}

/// What a running application does on the control path; in steps that are each all or nothing.
void use_everything(group& g) {
  auto numbers = ring<std::uint64_t>::create_or_attach(g, "numbers", {.capacity = 64, .doorbell = true});
  [[maybe_unused]] const auto packets =
      mbuf_pool::create_or_attach(g, "packets", {.mbuf_count = 255, .cache_size = 32});
  const port p = create_vdev(g, "net_null0");
  if (p.info().state == port_state::stopped) {
    p.configure({.pool = "packets"});
    p.start();
  }
  deallocate(g, allocate(g, 5 << 20));
  static_cast<void>(numbers.enqueue(1));
  p.stop();
  remove_port(g, p);
}

void start_and_use_everything() {
  eal e{eal_arguments("x")};
  e.launch_all([] { return 0; });
  e.wait_all();
  use_everything(e);
  static_cast<void>(e.messages().send({.name = "hello"}, ipc::destination::everyone()));
}

}  // namespace

TEST_CASE("exhaustion: descriptors end at any point of entering and leaving", "[faults]") {
  if (test::skip_sanitized("the sanitizer's checks need descriptors of their own")) return;
  const own_runtime runtime{"fds"};
  under_each(runtime, {.steps = 40, .refused_at_least = 2}, leave_descriptors, [] { const group g{small_group("x")}; });
}

TEST_CASE("exhaustion: descriptors end at any point of a start with threads, messages and ports", "[faults]") {
  if (test::skip_sanitized("the sanitizer's checks need descriptors of their own")) return;
  const own_runtime runtime{"fds"};
  under_each(runtime, {.steps = 80, .refused_at_least = 5}, leave_descriptors, start_and_use_everything);
}

TEST_CASE("exhaustion: without a descriptor left a member goes on, and works as before once there are some",
          "[faults]") {
  if (test::skip_sanitized("the sanitizer's checks need descriptors of their own")) return;
  const std::string prefix = test::unique_prefix("full");
  test::child c{[&] {
    eal e{eal_arguments(prefix)};
    const std::size_t before = open_fds();
    limit(RLIMIT_NOFILE, 3);  // far below what is open: every new one is refused
    int refusals = 0;
    const auto attempt = [&](const std::function<void()>& f) {
      const int code = outcome_of(f);
      refusals += code;
      return code != silent;
    };
    if (!attempt([&] { use_everything(e); })) return 10;  // needs none, but for what devices open
    if (!attempt([&] { static_cast<void>(ipc::fetch_fds("nobody's", std::chrono::milliseconds{100})); })) return 11;
    if (!attempt([&] { const event_loop more; })) return 12;
    if (!attempt([&] { const auto member = fork_member(e, {}, [] { return 0; }); })) return 13;
    if (refusals == 0) return 14;
    limit(RLIMIT_NOFILE, 1024);
    // Threads of the library close theirs a moment later, and may have had one open when they were counted first.
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    while (open_fds() > before) {
      if (std::chrono::steady_clock::now() > end) return 15;
      std::this_thread::yield();
    }
    use_everything(e);
    const event_loop more;
    return 0;
  }};
  CHECK(c.wait() == 0);
}

TEST_CASE("exhaustion: a full runtime directory refuses at any point of entering, and leaves nothing there",
          "[faults]") {
  if (!is_root()) return;
  const own_runtime runtime{"disk"};
  test::child c{[&] {
    if (!own_mounts()) return 77;
    int refused = 0;
    int succeeded = 0;
    for (unsigned kb = 4; kb <= 20480; kb += kb < 64 ? 4 : kb < 4096 ? kb / 4 : 2048) {
      const std::string size = "size=" + std::to_string(kb) + "k,nr_inodes=64,mode=0700";
      if (::mount("none", runtime.path().c_str(), "tmpfs", 0, size.c_str()) != 0) return 77;
      const int code = outcome_of([] {
        eal e{eal_arguments("x")};
        use_everything(e);
      });
      if (code == silent) return 79;
      refused += code == told ? 1 : 0;
      succeeded += code == 0 ? 1 : 0;
      if (!runtime.empty()) return 80;
      if (::umount2(runtime.path().c_str(), MNT_DETACH) != 0) return 81;
    }
    std::printf("%d sizes refused, %d enough\n", refused, succeeded);
    return refused >= 5 && succeeded >= 1 ? 0 : 82;
  }};
  check_or_skip(c, "no mount namespace to be had");
}

TEST_CASE("exhaustion: memory that ends in the middle of use is an error that changes nothing", "[faults]") {
  if (!is_root()) return;
  const own_runtime runtime{"memory"};
  test::child c{[&] {
    if (!own_mounts()) return 77;
    if (::mount("none", runtime.path().c_str(), "tmpfs", 0, "size=24m,mode=0700") != 0) return 77;
    group g{small_group("x")};
    void* first = allocate(g, 1 << 20);  // leaves half of a granule for small blocks
    const memory_stats before = g.memory();
    const std::string balloon = runtime.path() + "/balloon";
    {
      std::ofstream file{balloon, std::ios::binary};
      const std::string megabyte(1 << 20, 'b');
      while (file.write(megabyte.data(), 1 << 20) && file.flush()) {
      }
    }
    int refused = 0;
    const auto refuses = [&](const std::function<void()>& f) {
      std::string text;
      const errc kind = kind_of(f, &text);
      ++refused;
      return kind == errc::no_memory && text.find("free space") != std::string::npos;
    };
    if (!refuses([&] { static_cast<void>(allocate(g, 3 << 20)); })) return 10;
    if (!refuses([&] { static_cast<void>(reserve_zone(g, {.name = "z", .size_bytes = 3 << 20})); })) return 11;
    if (!refuses([&] { static_cast<void>(ring<std::uint64_t>::create(g, "r", {.capacity = 1 << 20})); })) return 12;
    if (!refuses([&] { static_cast<void>(mbuf_pool::create(g, "p", {.mbuf_count = 4095, .cache_size = 0})); }))
      return 13;
    // Small blocks need descriptors of blocks, whose memory ends too.
    std::vector<void*> blocks;
    std::string text;
    const errc kind = kind_of(
        [&] {
          for (;;) blocks.push_back(allocate(g, 64));
        },
        &text);
    if (kind != errc::no_memory || blocks.size() < 1000) return 14;
    for (void* block : blocks) deallocate(g, block);
    if (g.memory().used_bytes != before.used_bytes || g.memory().block_count != before.block_count) return 15;
    if (!list_zones(g).empty()) return 16;
    std::filesystem::remove(balloon);
    void* block = allocate(g, 3 << 20);
    std::memset(block, 1, 3 << 20);
    deallocate(g, first);
    use_everything(g);
    return 0;
  }};
  check_or_skip(c, "no mount namespace to be had");
}

TEST_CASE("exhaustion: hugepages that end in the middle of use are an error that changes nothing", "[faults]") {
  if (!is_root()) return;
  const own_runtime runtime{"huge"};
  const std::string mount = runtime.path() + "/pages";
  std::filesystem::create_directory(mount);
  test::child c{[&] {
    if (!own_mounts()) return 77;
    // Of the machine's pages it may have four, so that other tests keep theirs.
    if (::mount("none", mount.c_str(), "hugetlbfs", 0, "size=8M,pagesize=2M,mode=0700") != 0) return 77;
    group_options options{.file_prefix = "x", .type = process_type::primary, .huge_dirs = {mount}};
    group g{options};
    if (std::string text; kind_of([&] { static_cast<void>(allocate(g, 64)); }, &text) != errc{}) return 77;
    void* most = allocate(g, 6 << 20);
    const memory_stats before = g.memory();
    std::string text;
    if (kind_of([&] { static_cast<void>(allocate(g, 4 << 20)); }, &text) != errc::no_memory) return 10;
    if (text.find("reserve more") == std::string::npos) return 11;
    if (kind_of([&] { static_cast<void>(mbuf_pool::create(g, "p", {.mbuf_count = 8191})); }) != errc::no_memory)
      return 12;
    if (g.memory().used_bytes != before.used_bytes || g.memory().committed_bytes != before.committed_bytes) return 13;
    std::memset(most, 1, 6 << 20);
    deallocate(g, most);
    most = allocate(g, 5 << 20);
    std::memset(most, 2, 5 << 20);
    return 0;
  }};
  check_or_skip(c, "no mount namespace, or no free hugepage");
}

TEST_CASE("exhaustion: hugepages of a group whose last member was killed are free after the next start", "[faults]") {
  if (!is_root()) return;
  const own_runtime runtime{"last"};
  const std::string mount = runtime.path() + "/pages";
  std::filesystem::create_directory(mount);
  test::child c{[&] {
    if (!own_mounts()) return 77;
    if (::mount("none", mount.c_str(), "hugetlbfs", 0, "size=8M,pagesize=2M,mode=0700") != 0) return 77;
    const group_options options{.file_prefix = "x", .type = process_type::primary, .huge_dirs = {mount}};
    const auto free_pages = [&] {
      struct statfs fs {};
      return ::statfs(mount.c_str(), &fs) == 0 ? fs.f_bfree : 0;
    };
    const auto all = free_pages();
    test::child dead{[&] {
      group g{options};
      std::memset(allocate(g, 3 << 20), 1, 3 << 20);
      return ::raise(SIGKILL);
    }};
    if (dead.wait() != 1000 + SIGKILL) return 77;  // no page was to be had
    if (free_pages() == all) return 10;
    {
      group g{options};
      if (g.memory().committed_bytes != 0 || g.memory().block_count != 0) return 11;
    }
    return free_pages() == all && std::filesystem::is_empty(mount) ? 0 : 12;
  }};
  check_or_skip(c, "no mount namespace, or no free hugepage");
}

TEST_CASE("exhaustion: too little address space is an error that says how to raise it", "[faults]") {
  if (test::skip_sanitized("the sanitizer itself takes more addresses than any limit leaves")) return;
  const own_runtime runtime{"addresses"};
  test::child none{[] {
    limit(RLIMIT_AS, address_bytes() + (64U << 20));
    std::string text;
    if (kind_of([] { const group g{small_group("x")}; }, &text) != errc::system) return 10;
    return text.find("raise the address space limit (ulimit -v)") != std::string::npos ? 0 : 11;
  }};
  CHECK(none.wait() == 0);
  CHECK(runtime.empty());
  // The region fits, and then the limit comes at any point of the start.
  std::uint64_t region_bytes = 0;
  {
    const std::uint64_t before = address_bytes();
    const group g{small_group("x")};
    region_bytes = address_bytes() - before;
  }
  const auto leave_addresses = [region_bytes](int step) {
    limit(RLIMIT_AS, address_bytes() + region_bytes + (static_cast<rlim_t>(step + 1) << 22));
  };
  under_each(runtime, {.steps = 60, .refused_at_least = 1}, leave_addresses, start_and_use_everything);
}

TEST_CASE("exhaustion: a limit of file sizes is an error, not the signal that the kernel would send", "[faults]") {
  const own_runtime runtime{"filesize"};
  test::child first{[] {
    limit(RLIMIT_FSIZE, 1 << 20);
    std::string text;
    if (kind_of([] { const group g{small_group("x")}; }, &text) != errc::limit) return 10;
    return text.find("raise the file size limit (ulimit -f)") != std::string::npos ? 0 : 11;
  }};
  CHECK(first.wait() == 0);
  CHECK(runtime.empty());
  const test::signal_pipe in;
  test::child second{[&] {
    if (in.wait() == 0) return 9;
    limit(RLIMIT_FSIZE, 1 << 20);
    return kind_of([] { const group g{small_group("x", process_type::secondary)}; }) == errc::limit ? 0 : 10;
  }};
  const group g{small_group("x")};
  in.notify();
  CHECK(second.wait() == 0);
}
