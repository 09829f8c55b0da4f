// SPDX-License-Identifier: BSD-3-Clause
#include "nic/devargs.hpp"

#include <catch2/catch.hpp>

#include "nic/support.hpp"

using mpnet::errc;
using mpnet::nic::devargs;
using test::try_it;

TEST_CASE("device arguments are a name and pairs, which may repeat", "[nic][vdev]") {
  const devargs a = devargs::parse("net_pcap0,rx_pcap=a.pcap,rx_pcap=b=c.pcap,infinite_rx=1,,flag");
  CHECK(a.name() == "net_pcap0");
  CHECK(a.get_all("rx_pcap") == std::vector<std::string>{"a.pcap", "b=c.pcap"});
  CHECK(a.get("rx_pcap") == "b=c.pcap");
  CHECK(a.get("flag") == "");
  CHECK_FALSE(a.get("nothing"));
  CHECK(a.number("infinite_rx", 0, 0, 1) == 1);
  CHECK(a.number("absent", 7, 0, 9) == 7);
}

TEST_CASE("device arguments that cannot be read say what is wrong", "[nic][vdev]") {
  CHECK(try_it([] { (void)devargs::parse(""); }).kind == errc::usage);
  CHECK(try_it([] { (void)devargs::parse(",size=3"); }).kind == errc::usage);
  CHECK(try_it([] { (void)devargs::parse("net_null0,=3"); }).kind == errc::usage);
  CHECK(try_it([] { (void)devargs::parse(std::string(64, 'x')); }).kind == errc::usage);
  const devargs a = devargs::parse("net_null0,size=12x,copy=");
  const auto bad = try_it([&] { (void)a.number("size", 64, 1, 100); });
  CHECK(bad.kind == errc::invalid_argument);
  CHECK(test::contains(bad.text, "size=12x"));
  CHECK(try_it([&] { (void)a.number("copy", 0, 0, 1); }).kind == errc::invalid_argument);
  const auto unknown = try_it([&] { a.allow_only({"size", "no-rx"}); });
  CHECK(test::contains(unknown.text, "'copy'"));
  CHECK(test::contains(unknown.text, "size, no-rx"));
}
