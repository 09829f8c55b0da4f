// SPDX-License-Identifier: BSD-3-Clause
// PCI addresses, lists, and the lock that keeps two groups off one device.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>
#include <mpnet/error.hpp>

#include <catch2/catch.hpp>
#include <filesystem>

#include "nic/pci.hpp"

using namespace mpnet;
using namespace mpnet::nic;

TEST_CASE("PCI addresses are read in both forms and nothing else is", "[nic][pci]") {
  CHECK(to_string(*parse_pci_address("0000:01:00.0")) == "0000:01:00.0");
  CHECK(to_string(*parse_pci_address("af:1f.7")) == "0000:af:1f.7");
  for (const char* bad : {"", "01:00", "0000:01:00", "01:20.0", "01:00.8", "01:00.0x", "zz:00.0"}) {
    CHECK_FALSE(parse_pci_address(bad));
  }
}

TEST_CASE("Allow and block lists choose devices", "[nic][pci]") {
  const pci_address a{0, 1, 0, 0}, b{0, 2, 0, 0};
  CHECK(pci_filter{}.permits(a));
  CHECK_FALSE(pci_filter{.block = {a}}.permits(a));
  CHECK(pci_filter{.block = {a}}.permits(b));
  CHECK(pci_filter{.allow = {a}}.permits(a));
  CHECK_FALSE(pci_filter{.allow = {a}}.permits(b));
  CHECK_FALSE(pci_filter{.none = true}.permits(a));
}

TEST_CASE("A device that the kernel drives is refused with the command that binds it", "[nic][pci]") {
  pci_device d;
  d.address = {0, 3, 0, 0};
  d.kernel_driver = "igb";
  try {
    require_vfio_pci(d, false);
    FAIL("no error");
  } catch (const error& e) {
    CHECK_THAT(e.what(), Catch::Matchers::Contains("driverctl set-override 0000:03:00.0 vfio-pci"));
    CHECK_THAT(e.what(), Catch::Matchers::Contains("igb"));
  }
}

TEST_CASE("A device belongs to one group at a time, and is free when its last member is gone", "[nic][pci]") {
  const std::string root = fmt::format("/tmp/mpnet-pci-test-{}", getpid());
  int ready[2], go[2];
  REQUIRE(pipe(ready) == 0);
  REQUIRE(pipe(go) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const device_lock held{root, "0000:01:00.0", "theirs"};
    char c = 'x';
    static_cast<void>(!write(ready[1], &c, 1));
    static_cast<void>(!read(go[0], &c, 1));
    _exit(0);
  }
  char c;
  REQUIRE(read(ready[0], &c, 1) == 1);
  try {
    device_lock mine{root, "0000:01:00.0", "mine"};
    FAIL("two groups have it");
  } catch (const error& e) {
    CHECK(e.kind() == errc::busy);
    CHECK_THAT(e.what(), Catch::Matchers::Contains("'theirs'"));
    CHECK_THAT(e.what(), Catch::Matchers::Contains(std::to_string(child)));
  }
  {
    device_lock same_group{root, "0000:01:00.0", "theirs"};
    REQUIRE(kill(child, SIGKILL) == 0);
    REQUIRE(waitpid(child, nullptr, 0) == child);
  }
  CHECK_NOTHROW(device_lock{root, "0000:01:00.0", "mine"});
  std::filesystem::remove_all(root);
}
