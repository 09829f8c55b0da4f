// SPDX-License-Identifier: BSD-3-Clause
// Ports over memory: the table, claims on queues, states, statistics, net_null and net_ring, across real processes.
#include <sys/mman.h>

#include <catch2/catch.hpp>

#include "mem/conductor.hpp"
#include "nic/support.hpp"

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

constexpr queue_id q0{0}, q1{1};

port_config with_pool(std::uint16_t queues = 1) {
  return {.rx_queues = queues, .tx_queues = queues, .pool = "mbufs"};
}

}  // namespace

TEST_CASE("net_null receives packets of the size asked for and frees what it is given", "[nic][vdev]") {
  member m{unique_prefix("null")};
  auto pool = m.pool();
  const port p = create_vdev(m.g, "net_null0,size=100,copy=1");
  p.bring_up(with_pool());
  auto claim = p.take_queue(q0);
  std::array<mbuf*, 32> burst{};
  REQUIRE(p.rx_burst(q0, burst) == 32);
  for (mbuf* b : burst) {
    CHECK(b->packet_len == 100);
    CHECK(b->port == static_cast<std::uint16_t>(p.id()));
  }
  CHECK(p.tx_burst(q0, burst) == 32);
  const port_stats s = p.stats();
  CHECK(s.rx_packets == 32);
  CHECK(s.rx_bytes == 3200);
  CHECK(s.tx_packets == 32);
  CHECK(s.tx_bytes == 3200);
  const pool_audit audit = pool.audit(m.g);
  CHECK(audit.sound());
  CHECK(audit.in_backend == audit.object_count);
}

TEST_CASE("net_null counts sent bytes only where it is asked to look at what is sent", "[nic][vdev]") {
  member m{unique_prefix("nullbytes")};
  (void)m.pool();
  for (const auto& [arguments, bytes] : {std::pair{"net_null0", 0U}, std::pair{"net_null1,tx-bytes=1", 640U}}) {
    const port p = create_vdev(m.g, arguments);
    p.bring_up(with_pool());
    auto claim = p.take_queue(q0);
    std::array<mbuf*, 10> burst{};
    REQUIRE(p.rx_burst(q0, burst) == burst.size());
    CHECK(p.tx_burst(q0, burst) == burst.size());
    CHECK(p.stats().tx_packets == burst.size());
    CHECK(p.stats().tx_bytes == bytes);
  }
}

TEST_CASE("receiving without free mbufs is counted and goes on when there are some again", "[nic][vdev]") {
  member m{unique_prefix("nombuf")};
  (void)m.pool(16);
  const port p = create_vdev(m.g, "net_null0");
  p.bring_up(with_pool());
  auto claim = p.take_queue(q0);
  std::array<mbuf*, 32> burst{};
  const std::size_t got = p.rx_burst(q0, burst);
  CHECK(got == 16);
  std::array<mbuf*, 4> more{};
  CHECK(p.rx_burst(q0, more) == 0);
  CHECK(p.stats().rx_nombuf == 2);
  free_mbufs({burst.data(), got});
  CHECK(p.rx_burst(q0, more) == 4);
  free_mbufs(more);
}

TEST_CASE("bursts on queues that this process does not drive return nothing", "[nic]") {
  member m{unique_prefix("nothing")};
  (void)m.pool();
  std::array<mbuf*, 4> burst{};
  CHECK(port{}.rx_burst(q0, burst) == 0);
  const port p = create_vdev(m.g, "net_null0");
  CHECK(p.rx_burst(q0, burst) == 0);
  p.bring_up(with_pool(2));
  auto rx = p.take_queue(q1, queue_side::rx);
  CHECK(p.rx_burst(q0, burst) == 0);
  CHECK(p.tx_burst(q1, burst) == 0);
  CHECK(p.rx_burst(q1, burst) == 4);
  free_mbufs(burst);
  rx.release();
  CHECK(p.rx_burst(q1, burst) == 0);
  CHECK_FALSE(p.driver_of(q1, queue_side::rx));
}

TEST_CASE("a port goes through its states, and refuses what does not fit one", "[nic]") {
  member m{unique_prefix("states")};
  (void)m.pool();
  const port p = create_vdev(m.g, "net_null0");
  CHECK(p.state() == port_state::stopped);
  CHECK(try_it([&] { p.start(); }).kind == errc::invalid_argument);
  CHECK(try_it([&] { (void)p.take_queue(q0); }).kind == errc::invalid_argument);
  CHECK(try_it([&] { p.configure({.rx_queues = 1, .tx_queues = 1, .pool = "no such"}); }).kind == errc::not_found);
  CHECK(try_it([&] { p.configure({.rx_queues = 17, .tx_queues = 1, .pool = "mbufs"}); }).kind ==
        errc::invalid_argument);
  CHECK(try_it([&] { p.configure({.pool = "mbufs", .rx_offloads = rx_offload::rss_hash}); }).kind == errc::unsupported);
  p.configure(with_pool(2));
  p.start();
  CHECK(p.state() == port_state::started);
  CHECK(try_it([&] { p.configure(with_pool()); }).kind == errc::busy);
  CHECK(try_it([&] { (void)p.take_queue(queue_id{2}); }).kind == errc::invalid_argument);
  auto claim = p.take_queue(q1);
  std::array<mbuf*, 2> burst{};
  p.stop();
  CHECK(p.rx_burst(q1, burst) == 0);
  p.start();
  CHECK(p.rx_burst(q1, burst) == 2);  // the claim outlived the stop
  free_mbufs(burst);
  p.bring_up(with_pool(2));
  CHECK(try_it([&] { p.bring_up(with_pool(1)); }).kind == errc::incompatible);
  CHECK(try_it([&] { (void)p.rss(); }).kind == errc::unsupported);
  CHECK(contains(try_it([&] { (void)p.registers(); }).text, "net_null"));
}

TEST_CASE("ports are found by name and by id, created once, and taken over by the same arguments", "[nic]") {
  const std::string prefix = unique_prefix("find");
  member m{prefix};
  const port p = create_vdev(m.g, "net_null0,size=80");
  const port r = create_vdev(m.g, "net_ring_a");
  CHECK(create_vdev(m.g, "net_null0,size=80").id() == p.id());
  const auto other = try_it([&] { (void)create_vdev(m.g, "net_null0,size=81"); });
  CHECK(other.kind == errc::exists);
  CHECK(contains(other.text, "size=80"));
  REQUIRE(list_ports(m.g).size() == 2);
  CHECK(list_ports(m.g)[1].name == "net_ring_a");
  CHECK(find_port(m.g, "net_ring_a")->id() == r.id());
  CHECK(find_port(m.g, p.id())->name() == "net_null0");
  CHECK_FALSE(find_port(m.g, "net_null1"));
  CHECK_FALSE(find_port(m.g, port_id{7}));
  child secondary{[&]() -> int {
    member s{prefix, process_type::secondary};
    const auto found = find_port(s.g, "net_null0");
    const auto refused = try_it([&] { (void)create_vdev(s.g, "net_null5"); });
    return found && found->info().arguments == "size=80" && contains(refused.text, "primary") ? 0 : 1;
  }};
  CHECK(secondary.wait() == 0);
  remove_port(m.g, r);
  CHECK(list_ports(m.g).size() == 1);
  CHECK(r.state() == port_state::none);
  CHECK(try_it([&] { (void)r.name(); }).kind == errc::not_found);
}

TEST_CASE("a group has as many ports as the documents say, and one more is refused", "[nic]") {
  member m{unique_prefix("full")};
  for (std::size_t i = 0; i < max_ports; ++i) (void)create_vdev(m.g, "net_null" + std::to_string(i));
  const auto one_more = try_it([&] { (void)create_vdev(m.g, "net_null_more"); });
  CHECK(one_more.kind == errc::limit);
  CHECK(contains(one_more.text, "has 32 ports already"));
  remove_port(m.g, *find_port(m.g, "net_null7"));
  CHECK(create_vdev(m.g, "net_null_more").id() == port_id{7});
}

TEST_CASE("virtual devices that cannot be made say why", "[nic][vdev]") {
  member m{unique_prefix("bad")};
  const auto text = [&](const char* device) {
    const auto o = try_it([&] { (void)create_vdev(m.g, device); });
    CHECK(o.kind != errc{});
    return o.text;
  };
  CHECK(contains(text("net_wonder0"), "net_null"));
  CHECK(contains(text("net_null0,size=1"), "size=1"));
  CHECK(contains(text("net_null0,speed=3"), "'speed'"));
  CHECK(contains(text("net_ring0,qpairs=99"), "qpairs=99"));
  CHECK(contains(text("net_ring0,rx_ring=A"), "tx_ring"));
  CHECK(contains(text("net_ring0,nodeaction=x:0:BREW"), "CREATE"));
  CHECK(contains(text("net_ring0,nodeaction=absent:0:ATTACH"), "absent"));
  CHECK(list_ports(m.g).empty());
  (void)create_vdev(m.g, "net_ring0");  // nothing of the refused ones is in the way
}

TEST_CASE("a queue has one driver at a time, and who comes second learns its pid", "[nic][crash]") {
  const std::string prefix = unique_prefix("claim");
  signal_pipe taken;
  member m{prefix};
  auto pool = m.pool();
  const port p = create_vdev(m.g, "net_null0");
  p.bring_up(with_pool(2));
  child driver{[&]() -> int {
    member s{prefix, process_type::secondary};
    const auto found = find_port(s.g, "net_null0");
    auto claim = found->take_queue(q1);
    std::array<mbuf*, 8> burst{};
    if (found->rx_burst(q1, burst) != 8) return 1;
    taken.notify();
    for (;;) ::pause();
  }};
  REQUIRE(taken.wait() != 0);
  CHECK(p.driver_of(q1, queue_side::rx)->pid == static_cast<std::uint32_t>(driver.pid()));
  const auto refused = try_it([&] { (void)p.take_queue(q1); });
  CHECK(refused.kind == errc::busy);
  CHECK(contains(refused.text, std::to_string(driver.pid())));
  CHECK(contains(try_it([&] { p.stop(); }).text, std::to_string(driver.pid())));
  auto other = p.take_queue(q0);

  driver.kill(SIGKILL);
  CHECK(driver.wait() == 1000 + SIGKILL);
  auto claim = p.take_queue(q1);       // recovery need not have run
  CHECK(p.stats(q1).rx_packets == 8);  // the counts go on
  mem::recover_dead(m.g);
  CHECK(p.driver_of(q1, queue_side::rx)->pid == static_cast<std::uint32_t>(getpid()));
  CHECK(pool.audit(m.g).lost == 0);
  CHECK(pool.stats().available == 1024);
}

TEST_CASE("recovery frees the queues of the dead", "[nic][crash]") {
  const std::string prefix = unique_prefix("repair");
  signal_pipe taken;
  member m{prefix};
  (void)m.pool();
  const port p = create_vdev(m.g, "net_null0");
  p.bring_up(with_pool(2));
  child driver{[&]() -> int {
    member s{prefix, process_type::secondary};
    auto claim = find_port(s.g, "net_null0")->take_queue(q1);
    taken.notify();
    for (;;) ::pause();
  }};
  REQUIRE(taken.wait() != 0);
  driver.kill(SIGKILL);
  (void)driver.wait();
  mem::recover_dead(m.g);
  CHECK_FALSE(p.driver_of(q1, queue_side::rx));
  CHECK_FALSE(p.driver_of(q1, queue_side::tx));
}

TEST_CASE("ports outlive the primary that made them, and another primary takes them over", "[nic][crash]") {
  const std::string prefix = unique_prefix("adopt");
  signal_pipe made, joined;
  child first{[&]() -> int {
    member m{prefix};
    (void)m.pool();
    const port p = create_vdev(m.g, "net_null0,size=70");
    p.bring_up(with_pool());
    auto claim = p.take_queue(q0);
    made.notify();
    for (;;) ::pause();
  }};
  REQUIRE(made.wait() != 0);
  child survivor{[&]() -> int {
    member s{prefix, process_type::secondary};
    joined.notify();
    for (;;) ::pause();
  }};
  REQUIRE(joined.wait() != 0);
  first.kill(SIGKILL);
  (void)first.wait();
  member::options(prefix, process_type::primary);
  group_options o{.file_prefix = prefix, .type = process_type::primary};
  group g{o};
  const port p = create_vdev(g, "net_null0,size=70");
  p.bring_up(with_pool());
  auto claim = p.take_queue(q0);
  std::array<mbuf*, 4> burst{};
  CHECK(p.rx_burst(q0, burst) == 4);
  CHECK(burst[0]->packet_len == 70);
  free_mbufs(burst);
}

TEST_CASE("a place left by a creator that died half-way is used again", "[nic][crash]") {
  member m{unique_prefix("half")};
  (void)create_vdev(m.g, "net_null0");
  auto& table = nic::table_of(m.g);
  std::memcpy(table.ports[1].name, "net_ring7", 10);
  std::memcpy(table.ports[1].driver, "net_ring", 9);
  nic::set_state(table.ports[1], port_state::creating);
  CHECK(list_ports(m.g).size() == 1);
  const port p = create_vdev(m.g, "net_ring7");
  CHECK(p.id() == port_id{1});
}

TEST_CASE("net_ring gives back what was sent on it, in order", "[nic][vdev]") {
  member m{unique_prefix("loop")};
  auto pool = m.pool();
  const port p = create_vdev(m.g, "net_ring0,qpairs=2,size=8");
  p.bring_up(with_pool(2));
  auto c0 = p.take_queue(q0);
  auto c1 = p.take_queue(q1);
  std::array<mbuf*, 12> out{};
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = packet_of(pool, frame_of(60 + i, static_cast<std::uint32_t>(i)));
  CHECK(p.tx_burst(q0, out) == 8);  // the ring is full: the rest stays ours
  std::array<mbuf*, 12> in{};
  CHECK(p.rx_burst(q1, in) == 0);
  REQUIRE(p.rx_burst(q0, in) == 8);
  for (std::size_t i = 0; i < 8; ++i) CHECK(bytes_of(in[i]) == frame_of(60 + i, static_cast<std::uint32_t>(i)));
  free_mbufs({in.data(), 8});
  free_mbufs({out.data() + 8, 4});
  CHECK(p.stats(q0).tx_packets == 8);
  CHECK(p.stats(q0).rx_bytes == p.stats(q0).tx_bytes);
}

TEST_CASE("two net_ring ports are the ends of a cable between processes", "[nic][vdev]") {
  const std::string prefix = unique_prefix("cable");
  member m{prefix};
  auto pool = m.pool();
  const port a = create_vdev(m.g, "net_ring0,rx_ring=A,tx_ring=B");
  const port b = create_vdev(m.g, "net_ring1,rx_ring=B,tx_ring=A");
  a.bring_up(with_pool());
  b.bring_up(with_pool());
  auto claim = a.take_queue(q0);
  std::array<mbuf*, 1> out{packet_of(pool, frame_of(200, 9))};
  REQUIRE(a.tx_burst(q0, out) == 1);
  child echo{[&]() -> int {
    member s{prefix, process_type::secondary};
    const auto p = find_port(s.g, "net_ring1");
    auto c = p->take_queue(q0);
    std::array<mbuf*, 1> in{};
    if (p->rx_burst(q0, in) != 1 || bytes_of(in[0]) != frame_of(200, 9)) return 1;
    *in[0]->data<std::uint8_t>(20) = 77;
    return p->tx_burst(q0, in) == 1 ? 0 : 2;
  }};
  CHECK(echo.wait() == 0);
  std::array<mbuf*, 2> in{};
  REQUIRE(a.rx_burst(q0, in) == 1);
  CHECK(bytes_of(in[0])[20] == 77);
  free_mbuf(in[0]);
  CHECK(pool.audit(m.g).sound());
}

TEST_CASE("packets in a net_ring outlive their sender", "[nic][vdev][crash]") {
  const std::string prefix = unique_prefix("ringdeath");
  member m{prefix};
  auto pool = m.pool(64);
  const port p = create_vdev(m.g, "net_ring0");
  p.bring_up(with_pool());
  signal_pipe sent;
  child sender{[&]() -> int {
    member s{prefix, process_type::secondary};
    const auto found = find_port(s.g, "net_ring0");
    auto c = found->take_queue(q0, queue_side::tx);
    auto mine = s.pool();
    std::array<mbuf*, 8> out{};
    for (std::uint32_t i = 0; i < out.size(); ++i) out[i] = packet_of(mine, frame_of(64, i));
    (void)mine.alloc();  // dies with it
    if (found->tx_burst(q0, out) != 8) return 1;
    sent.notify();
    for (;;) ::pause();
  }};
  REQUIRE(sent.wait() != 0);
  sender.kill(SIGKILL);
  (void)sender.wait();
  mem::recover_dead(m.g);
  auto claim = p.take_queue(q0);
  std::array<mbuf*, 16> in{};
  REQUIRE(p.rx_burst(q0, in) == 8);
  for (std::uint32_t i = 0; i < 8; ++i) CHECK(bytes_of(in[i]) == frame_of(64, i));
  free_mbufs({in.data(), 8});
  const pool_audit audit = pool.audit(m.g);
  CHECK(audit.sound());
  CHECK(audit.in_backend == 64);
}

TEST_CASE("statistics start anew at a reset, per queue and by name", "[nic]") {
  member m{unique_prefix("stats")};
  (void)m.pool();
  const port p = create_vdev(m.g, "net_null0,tx-bytes=1");
  p.bring_up(with_pool(2));
  auto c0 = p.take_queue(q0);
  auto c1 = p.take_queue(q1);
  std::array<mbuf*, 4> burst{};
  REQUIRE(p.rx_burst(q0, burst) == 4);
  REQUIRE(p.tx_burst(q1, burst) == 4);
  CHECK(p.stats(q0).rx_packets == 4);
  CHECK(p.stats(q0).tx_packets == 0);
  CHECK(p.stats(q1).tx_packets == 4);
  const auto named = p.extended_stats();
  const auto value = [&](const std::string& name) {
    for (const named_counter& c : named) {
      if (c.name == name) return c.value;
    }
    return ~std::uint64_t{0};
  };
  CHECK(value("rx_packets") == 4);
  CHECK(value("tx_q1_bytes") == 256);
  CHECK(value("tx_q0_packets") == 0);
  p.reset_stats();
  CHECK(p.stats().rx_packets == 0);
  REQUIRE(p.rx_burst(q0, burst) == 4);
  CHECK(p.stats().rx_packets == 4);
  free_mbufs(burst);
}

TEST_CASE("MAC, MTU and filters of a port are seen by all members", "[nic]") {
  const std::string prefix = unique_prefix("mac");
  member m{prefix};
  const port p = create_vdev(m.g, "net_null0");
  const mac_address mac = parse_mac_address("02:00:00:00:0a:0B");
  CHECK(to_string(mac) == "02:00:00:00:0a:0b");
  p.set_mac(mac);
  p.set_mtu(9000);
  p.set_promiscuous(true);
  CHECK(try_it([&] { p.set_mac(parse_mac_address("ff:ff:ff:ff:ff:ff")); }).kind == errc::invalid_argument);
  CHECK(try_it([&] { p.set_mtu(10); }).kind == errc::invalid_argument);
  CHECK(try_it([] { (void)parse_mac_address("02:00:00:00:00"); }).kind == errc::invalid_argument);
  child reader{[&]() -> int {
    member s{prefix, process_type::secondary};
    const auto q = find_port(s.g, "net_null0");
    return q->mac() == mac && q->mtu() == 9000 && q->promiscuous() && !q->allmulticast() && q->link().up ? 0 : 1;
  }};
  CHECK(reader.wait() == 0);
}
