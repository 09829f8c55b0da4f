// SPDX-License-Identifier: BSD-3-Clause
// net_pcap: files in, the same packets out, across processes and deaths.
#include <pcap/pcap.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "nic/netns.hpp"
#include "nic/support.hpp"
#include "nic/vdev/pcap.hpp"

using namespace mpnet;
using test::bytes_of;
using test::child;
using test::contains;
using test::frame_of;
using test::member;
using test::packet_of;
using test::signal_pipe;
using test::try_it;
using test::unique_prefix;

namespace {

constexpr queue_id q0{0};
using frames = std::vector<std::vector<std::uint8_t>>;

struct folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / unique_prefix("pcap");
  folder() { std::filesystem::create_directories(path); }
  ~folder() { std::filesystem::remove_all(path); }
  [[nodiscard]] std::string file(const char* name) const { return (path / name).string(); }
};

frames many(std::size_t count) {
  frames all;
  for (std::uint32_t i = 0; i < count; ++i) all.push_back(frame_of(60 + i * 13 % 3000, i));
  return all;
}

void write_capture(const std::string& path, const frames& all, int link_type = DLT_EN10MB) {
  pcap_t* p = pcap_open_dead(link_type, 65'535);
  pcap_dumper_t* d = pcap_dump_open(p, path.c_str());
  for (const auto& f : all) {
    pcap_pkthdr h{};
    h.caplen = h.len = static_cast<bpf_u_int32>(f.size());
    pcap_dump(reinterpret_cast<u_char*>(d), &h, f.data());
  }
  pcap_dump_close(d);
  pcap_close(p);
}

frames read_back(const std::string& path) {
  const nic::capture c = nic::read_capture("test", path);
  frames all;
  for (std::size_t i = 0; i < c.count(); ++i) {
    const auto* data = reinterpret_cast<const std::uint8_t*>(c.bytes.data());
    all.emplace_back(data + c.starts[i], data + c.starts[i + 1]);
  }
  return all;
}

std::size_t forward(const port& p, queue_id q, std::size_t most = SIZE_MAX) {
  std::array<mbuf*, 32> burst{};
  std::size_t total = 0;
  while (total < most) {
    const std::size_t n = p.rx_burst(q, {burst.data(), std::min<std::size_t>(burst.size(), most - total)});
    if (n == 0) break;
    total += p.tx_burst(q, {burst.data(), n});
  }
  return total;
}

}  // namespace

TEST_CASE("a capture goes in, and the same packets come out", "[nic][vdev][pcap]") {
  const folder f;
  write_capture(f.file("in"), many(500));
  member m{unique_prefix("pcap")};
  auto pool = m.pool();
  const port p = create_vdev(m.g, "net_pcap0,rx_pcap=" + f.file("in") + ",tx_pcap=" + f.file("out"));
  p.bring_up({.pool = "mbufs"});
  auto claim = p.take_queue(q0);
  CHECK(forward(p, q0) == 500);
  CHECK(read_back(f.file("out")) == many(500));  // some are longer than an mbuf
  CHECK(p.stats().rx_bytes == p.stats().tx_bytes);
  CHECK(pool.stats().in_use == 0);
}

TEST_CASE("a killed driver's successor goes on in both captures where it stopped", "[nic][vdev][pcap][crash]") {
  const folder f;
  const std::string prefix = unique_prefix("pcapkill");
  write_capture(f.file("in"), many(300));
  member m{prefix};
  (void)m.pool();
  const port p = create_vdev(m.g, "net_pcap0,rx_pcap=" + f.file("in") + ",tx_pcap=" + f.file("out"));
  p.bring_up({.pool = "mbufs"});
  signal_pipe done;
  child first{[&]() -> int {
    EXPECT(::chdir("/") == 0);
    member s{prefix, process_type::secondary};
    const auto mine = find_port(s.g, "net_pcap0");
    auto claim = mine->take_queue(q0);
    EXPECT(forward(*mine, q0, 120) == 120);
    done.notify();
    for (;;) ::pause();
  }};
  REQUIRE(done.wait() != 0);
  first.kill(SIGKILL);
  (void)first.wait();
  std::ofstream{f.file("out"), std::ios::app | std::ios::binary} << "half a record";
  auto claim = p.take_queue(q0);
  CHECK(forward(p, q0) == 180);
  CHECK(read_back(f.file("out")) == many(300));
}

TEST_CASE("each file is a queue, and infinite_rx starts over", "[nic][vdev][pcap]") {
  const folder f;
  write_capture(f.file("a"), many(3));
  write_capture(f.file("b"), {frame_of(77, 9)});
  member m{unique_prefix("pcapinf")};
  (void)m.pool();
  const port p = create_vdev(m.g, "net_pcap0,rx_pcap=" + f.file("a") + ",rx_pcap=" + f.file("b") + ",infinite_rx=1");
  p.bring_up({.rx_queues = 2, .tx_queues = 2, .pool = "mbufs"});
  auto c0 = p.take_queue(q0);
  auto c1 = p.take_queue(queue_id{1});
  std::array<mbuf*, 7> burst{};
  REQUIRE(p.rx_burst(q0, burst) == 7);
  CHECK(bytes_of(burst[3]) == many(3)[0]);
  CHECK(p.tx_burst(q0, burst) == 7);  // no tx side: dropped
  REQUIRE(p.rx_burst(queue_id{1}, burst) == 7);
  CHECK(bytes_of(burst[6]) == frame_of(77, 9));
  free_mbufs(burst);
}

TEST_CASE("captures that cannot be read are refused with the reason", "[nic][vdev][pcap]") {
  const folder f;
  member m{unique_prefix("pcapbad")};
  const auto refusal = [&](const std::string& arguments) {
    return try_it([&] { (void)create_vdev(m.g, "net_pcap0," + arguments); });
  };
  write_capture(f.file("cut"), many(10));
  std::filesystem::resize_file(f.file("cut"), std::filesystem::file_size(f.file("cut")) - 5);
  CHECK(refusal("rx_pcap=" + f.file("cut")).kind == errc::corrupt);
  CHECK(contains(refusal("rx_pcap=" + f.file("cut")).text, "after 9 packets"));
  std::ofstream{f.file("junk")} << "this is no capture at all";
  CHECK(refusal("rx_pcap=" + f.file("junk")).kind == errc::corrupt);
  std::ofstream{f.file("empty")} << "";
  CHECK(refusal("rx_pcap=" + f.file("empty")).kind == errc::corrupt);
  CHECK(refusal("rx_pcap=" + f.file("absent")).kind == errc::not_found);
  write_capture(f.file("raw"), many(1), DLT_RAW);
  CHECK(refusal("rx_pcap=" + f.file("raw")).kind == errc::unsupported);
  CHECK(contains(refusal("tx_pcap=" + f.file("no/such/folder")).text, "No such file"));
  CHECK(contains(refusal("infinite_rx=1").text, "rx_pcap="));
  CHECK(contains(refusal("tx_pcap=" + f.file("o") + ",infinite_rx=1").text, "infinite_rx"));
  CHECK(contains(refusal("iface=nosuchif").text, "nosuchif"));
  CHECK(contains(refusal("rx_pcap=").text, "names nothing"));
  CHECK(list_ports(m.g).empty());
}

TEST_CASE("net_pcap on an interface receives and sends", "[nic][vdev][pcap]") {
  if (const std::string reason = test::no_network_reason(); !reason.empty()) {
    WARN("SKIP: " << reason);
    return;
  }
  const int ended = test::in_new_network([]() -> int {
    EXPECT(test::add_veth("ma", "mb"));
    member m{unique_prefix("pcaplive")};
    auto pool = m.pool();
    const port p = create_vdev(m.g, "net_pcap0,iface=ma");
    p.bring_up({.pool = "mbufs"});
    auto claim = p.take_queue(q0);
    const test::raw_end far{"mb"};
    std::array<mbuf*, 4> out{};
    for (std::uint32_t i = 0; i < 4; ++i) out[i] = packet_of(pool, frame_of(100 + i, i));
    EXPECT(p.tx_burst(q0, out) == 4);
    for (std::uint32_t i = 0; i < 4; ++i) EXPECT(far.receive() == frame_of(100 + i, i));
    EXPECT(far.send(frame_of(900, 5)));
    std::array<mbuf*, 4> in{};
    std::size_t got = 0;
    for (int i = 0; i < 2000 && got == 0; ++i, ::usleep(1000)) got = p.rx_burst(q0, in);
    EXPECT(got == 1 && bytes_of(in[0]) == frame_of(900, 5));
    free_mbuf(in[0]);
    return 0;
  });
  CHECK(ended == 0);
}
