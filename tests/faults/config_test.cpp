// SPDX-License-Identifier: BSD-3-Clause
// Config files that are cut off, damaged or somebody else's: refused with their reason before they are believed, and
// nothing of a living group is lost.
#include <fcntl.h>
#include <mpnet/group_view.hpp>
#include <mpnet/memzone.hpp>

#include <cstring>

#include "faults/support.hpp"
#include "mem/control.hpp"

using namespace mpnet;
using namespace faults;
using test::signal_pipe;

namespace {

/// A living group, and ways to put another config in place of its own.
class victim {
 public:
  explicit victim(const std::string& prefix)
      : prefix_(prefix), member_{[this] {
          group g{small_group(prefix_)};
          reserve_zone(g, {.name = "kept", .size_bytes = 64}).publish();
          in_.notify();
          return end_.wait() != 0 ? 0 : 1;
        }} {
    REQUIRE(in_.wait() != 0);
    path_ = runtime_.of(prefix_, "config");
    std::filesystem::rename(path_, path_ + ".away");
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  /// A sparse copy of the real config in its place.
  void copy() const {
    remove();
    const std::string command = "cp --sparse=always -a " + path_ + ".away " + path_;
    REQUIRE(std::system(command.c_str()) == 0);
  }
  void write(std::size_t at, std::uint64_t value) const {
    const int fd = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    REQUIRE(::pwrite(fd, &value, sizeof value, static_cast<off_t>(at)) == sizeof value);
    ::close(fd);
  }
  void remove() const { std::filesystem::remove(path_); }

  /// How a secondary, a primary and an onlooker are refused; they must agree.
  errc refusal(std::string& text) const {
    const errc kind = kind_of([&] { const group g{small_group(prefix_, process_type::secondary)}; }, &text);
    CHECK(kind_of([&] { const group g{small_group(prefix_, process_type::primary)}; }) == kind);
    CHECK(kind_of([&] { const group_view v{prefix_}; }) == kind);
    return kind;
  }
  /// The real config again: everything is as it was.
  void check_unharmed() {
    remove();
    std::filesystem::rename(path_ + ".away", path_);
    {
      group g{small_group(prefix_, process_type::secondary)};
      CHECK(find_zone(g, zone_kind::raw, "kept"));
    }
    end_.notify();
    CHECK(member_.wait() == 0);
    CHECK(runtime_.empty());
  }

 private:
  own_runtime runtime_{"config"};
  std::string prefix_;
  std::string path_;
  signal_pipe in_;
  signal_pipe end_;
  test::child member_;
};

}  // namespace

TEST_CASE("config: a file cut off anywhere is refused as truncated", "[faults][bad-input]") {
  victim v{"victim"};
  std::string text;
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{7}, std::size_t{16}, std::size_t{63}, sizeof(mem::config_header) - 1,
        sizeof(mem::config_header), offsetof(mem::control, segments) + 8, sizeof(mem::control) - 1}) {
    v.copy();
    std::filesystem::resize_file(v.path(), bytes);
    CAPTURE(bytes);
    CHECK(v.refusal(text) == errc::corrupt);
    CHECK_THAT(text, Catch::Contains("config: truncated; if no process of that group lives, remove the file"));
  }
  v.check_unharmed();
}

TEST_CASE("config: a file that is something else is refused", "[faults][bad-input]") {
  victim v{"victim"};
  std::string text;
  v.remove();
  std::ofstream{v.path()} << std::string(100'000, 'x');
  ::chmod(v.path().c_str(), 0600);
  CHECK(v.refusal(text) == errc::corrupt);
  CHECK_THAT(text, Catch::Contains("not a config file of mpnet"));
  v.remove();
  std::filesystem::create_directory(v.path());
  CHECK(kind_of([] { const group g{small_group("victim", process_type::secondary)}; }, &text) == errc::system);
  CHECK_THAT(text, Catch::Contains("config: Is a directory"));
  v.remove();
  REQUIRE(::mkfifo(v.path().c_str(), 0600) == 0);
  CHECK(v.refusal(text) == errc::corrupt);
  CHECK_THAT(text, Catch::Contains("not a regular file"));
  v.remove();
  std::filesystem::create_symlink("/etc/passwd", v.path());
  CHECK(v.refusal(text) == errc::system);
  CHECK_THAT(text, Catch::Contains("a link was planted there; remove it"));
  v.copy();
  ::chmod(v.path().c_str(), 0644);
  CHECK(v.refusal(text) == errc::permission);
  v.check_unharmed();
}

TEST_CASE("config: another build's layout or version is refused by name", "[faults][bad-input]") {
  victim v{"victim"};
  std::string text;
  for (const std::size_t at : {offsetof(mem::config_header, version), offsetof(mem::config_header, layout)}) {
    v.copy();
    v.write(at, 0x77);
    CHECK(v.refusal(text) == errc::incompatible);
    CHECK_THAT(text, Catch::Contains("made by a build with another layout") &&
                         Catch::Contains("use the same release of mpnet, or another --file-prefix"));
  }
  v.check_unharmed();
}

TEST_CASE("config: numbers that would lead outside of the region are refused before anything is mapped",
          "[faults][bad-input]") {
  victim v{"victim"};
  const std::size_t segment = offsetof(mem::control, segments);
  const struct {
    std::size_t at;
    std::uint64_t value;
  } damages[] = {
      {offsetof(mem::config_header, segment_count), 0},
      {offsetof(mem::config_header, segment_count), max_segments + 1},
      {offsetof(mem::config_header, base_address), 0x2000'0000'1000},
      {offsetof(mem::config_header, region_bytes), 4096},
      {offsetof(mem::config_header, region_bytes), ~0ULL},
      {segment + offsetof(mem::segment, page_bytes), 0},
      {segment + offsetof(mem::segment, page_bytes), 3000},
      {segment + offsetof(mem::segment, granule_bytes), 0},
      {segment + offsetof(mem::segment, granule_bytes), 4096},
      {segment + offsetof(mem::segment, window_offset), 0},
      {segment + offsetof(mem::segment, window_offset), (1ULL << 30) + 4096},
      {segment + offsetof(mem::segment, window_offset), ~0ULL << 30},
      {segment + offsetof(mem::segment, window_bytes), 0},
      {segment + offsetof(mem::segment, window_bytes), 1ULL << 62},
  };
  std::string text;
  for (const auto& d : damages) {
    v.copy();
    v.write(d.at, d.value);
    CAPTURE(d.at, d.value);
    CHECK(v.refusal(text) == errc::corrupt);
    CHECK_THAT(text, Catch::Contains("makes no sense"));
  }
  v.check_unharmed();
}

TEST_CASE("config: while members live it is never made anew, though it is gone or of another boot",
          "[faults][bad-input]") {
  victim v{"victim"};
  std::string text;
  const auto enter = [&](process_type type) {
    return kind_of([&] { const group g{small_group("victim", type)}; }, &text);
  };
  for (const bool gone : {true, false}) {
    v.remove();
    if (!gone) {
      v.copy();
      v.write(offsetof(mem::config_header, boot_id), 0x3031'3233'3435'3637);
    }
    for (const process_type type : {process_type::primary, process_type::automatic, process_type::secondary}) {
      CHECK(enter(type) == errc::corrupt);
      CHECK_THAT(text, Catch::Contains("processes of it live, but") && Catch::Contains("is gone or of another boot"));
    }
  }
  v.check_unharmed();
}
