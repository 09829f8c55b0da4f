// SPDX-License-Identifier: BSD-3-Clause
// net_af_packet over veth pairs, in namespaces that go away with the test.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "nic/netns.hpp"
#include "nic/support.hpp"

using namespace mpnet;
using test::add_veth;
using test::bytes_of;
using test::child;
using test::contains;
using test::frame_of;
using test::in_new_network;
using test::member;
using test::packet_of;
using test::raw_end;
using test::shell;
using test::signal_pipe;
using test::try_it;
using test::unique_prefix;

namespace {

constexpr queue_id q0{0};

bool can_run() {
  static const std::string reason = test::no_network_reason();
  if (!reason.empty()) WARN("SKIP: " << reason);
  return reason.empty();
}

port_config with_pool(std::uint16_t queues = 1) {
  return {.rx_queues = queues, .tx_queues = queues, .pool = "mbufs"};
}

/// Polls until a packet comes; null when none does in time.
mbuf* receive(const port& p, queue_id q = q0) {
  std::array<mbuf*, 1> one{};
  for (int i = 0; i < 5'000; ++i) {
    if (p.rx_burst(q, one) == 1) return one[0];
    pollfd wait{*p.rx_fd(q), POLLIN, 0};
    ::poll(&wait, 1, 1);
  }
  return nullptr;
}

bool transmit(const port& p, mbuf* m, queue_id q = q0) {
  return p.tx_burst(q, {&m, 1}) == 1;
}

/// One packet each way, checked byte for byte.
bool both_ways(const port& p, const raw_end& far, const mbuf_pool& pool, std::uint32_t tag, queue_id q = q0) {
  const auto out = frame_of(100 + tag % 900, tag), in = frame_of(60 + tag % 900, tag + 1);
  if (!transmit(p, packet_of(pool, out), q)) return false;
  const auto seen = far.receive();
  if (!seen || *seen != out || !far.send(in)) return false;
  mbuf* m = receive(p, q);
  const bool same = m != nullptr && bytes_of(m) == in;
  free_mbuf(m);
  return same;
}

}  // namespace

TEST_CASE("net_af_packet carries frames both ways unchanged", "[nic][af_packet]") {
  if (!can_run()) return;
  const int ended = in_new_network([&]() -> int {
    EXPECT(add_veth("ma", "mb"));
    member m{unique_prefix("afp")};
    auto pool = m.pool();
    const port p = create_vdev(m.g, "net_af_packet0,iface=ma");
    p.bring_up(with_pool());
    EXPECT(p.link().up);
    EXPECT(p.mtu() == 1500);
    auto claim = p.take_queue(q0);
    const raw_end far{"mb"};
    for (std::uint32_t i = 0; i < 600; ++i) EXPECT(both_ways(p, far, pool, i));  // more than the rings hold
    EXPECT(p.stats().rx_packets == 600 && p.stats().tx_packets == 600);
    EXPECT(p.stats().rx_errors == 0 && p.stats().tx_errors == 0 && p.stats().rx_missed == 0);
    const auto audit = pool.audit(m.g);
    EXPECT(audit.sound() && audit.in_backend == audit.object_count);
    return 0;
  });
  CHECK(ended == 0);
}

TEST_CASE("net_af_packet gathers segments, and counts what is too long", "[nic][af_packet]") {
  if (!can_run()) return;
  const int ended = in_new_network([&]() -> int {
    EXPECT(add_veth("ma", "mb"));
    member m{unique_prefix("afpseg")};
    auto pool = m.pool();
    const port p = create_vdev(m.g, "net_af_packet0,iface=ma");
    p.bring_up(with_pool());
    auto claim = p.take_queue(q0);
    const raw_end far{"mb"};
    const auto whole = frame_of(1400, 5);
    mbuf* head = packet_of(pool, {whole.begin(), whole.begin() + 500});
    EXPECT(head->chain(packet_of(pool, {whole.begin() + 500, whole.begin() + 501})));
    EXPECT(head->chain(packet_of(pool, {whole.begin() + 501, whole.end()})));
    EXPECT(transmit(p, head));
    EXPECT(far.receive() == whole);
    EXPECT(transmit(p, packet_of(pool, frame_of(1514, 6))));
    EXPECT(far.receive() == frame_of(1514, 6));
    EXPECT(transmit(p, packet_of(pool, frame_of(1515, 7))));  // taken, freed, counted
    EXPECT(p.stats().tx_errors == 1);
    p.set_mtu(2000);
    EXPECT(transmit(p, packet_of(pool, frame_of(1515, 8))));
    EXPECT(p.stats().tx_errors == 1 && p.mtu() == 2000);
    EXPECT(pool.stats().in_use == 0);
    return 0;
  });
  CHECK(ended == 0);
}

TEST_CASE("net_af_packet puts a VLAN tag back that the kernel took out", "[nic][af_packet]") {
  if (!can_run()) return;
  const int ended = in_new_network([&]() -> int {
    EXPECT(add_veth("ma", "mb"));
    member m{unique_prefix("afpvlan")};
    (void)m.pool();
    const port p = create_vdev(m.g, "net_af_packet0,iface=ma");
    p.bring_up(with_pool());
    auto claim = p.take_queue(q0);
    const raw_end far{"mb"};
    auto tagged = frame_of(200, 3);
    tagged[12] = 0x81;
    tagged[13] = 0x00;
    tagged[14] = 0x20;
    tagged[15] = 0x2a;
    tagged[16] = 0x88;
    tagged[17] = 0xb5;
    EXPECT(far.send(tagged));
    mbuf* got = receive(p);
    EXPECT(got != nullptr && bytes_of(got) == tagged && got->vlan_tci == 0x202a);
    free_mbuf(got);
    return 0;
  });
  CHECK(ended == 0);
}

TEST_CASE("a queue pair whose driver was killed goes on with the next driver", "[nic][af_packet][crash]") {
  if (!can_run()) return;
  const int ended = in_new_network([&]() -> int {
    EXPECT(add_veth("ma", "mb"));
    const std::string prefix = unique_prefix("afpkill");
    member m{prefix};
    auto pool = m.pool();
    const port p = create_vdev(m.g, "net_af_packet0,iface=ma");
    p.bring_up(with_pool());
    const raw_end far{"mb"};
    for (std::uint32_t round = 0; round < 10; ++round) {
      signal_pipe done;
      child driver{[&]() -> int {
        member s{prefix, process_type::secondary};
        const auto mine = find_port(s.g, "net_af_packet0");
        auto claim = mine->take_queue(q0);
        for (std::uint32_t i = 0; i < round * 7; ++i) EXPECT(both_ways(*mine, far, s.pool(), round * 100 + i));
        done.notify();
        for (;;) ::pause();
      }};
      EXPECT(done.wait() == '!');
      driver.kill(SIGKILL);
      (void)driver.wait();
      EXPECT(far.send(frame_of(99, round)));  // arrives while nobody drives the queue
      auto claim = p.take_queue(q0);
      mbuf* kept = receive(p);
      EXPECT(kept != nullptr && bytes_of(kept) == frame_of(99, round));
      free_mbuf(kept);
      for (std::uint32_t i = 0; i < 5; ++i) EXPECT(both_ways(p, far, pool, 5000 + i));
    }
    return 0;
  });
  CHECK(ended == 0);
}

TEST_CASE("a wrong index left by a dead driver is found out at takeover, and while sending",
          "[nic][af_packet][crash]") {
  if (!can_run()) return;
  const int ended = in_new_network([&]() -> int {
    EXPECT(add_veth("ma", "mb"));
    member m{unique_prefix("afpindex")};
    auto pool = m.pool();
    const port p = create_vdev(m.g, "net_af_packet0,iface=ma");
    p.bring_up(with_pool());
    const raw_end far{"mb"};
    auto& shared = nic::table_of(m.g).ports[0];
    for (std::uint64_t wrong : {0ULL, 1ULL, 5ULL, 59ULL, 1ULL << 40}) {
      {
        auto claim = p.take_queue(q0);
        for (std::uint32_t i = 0; i < 3; ++i) EXPECT(both_ways(p, far, pool, i));
      }
      shared.tx[0].words.word[0].fetch_add(wrong);
      auto claim = p.take_queue(q0);
      for (std::uint32_t i = 0; i < 3; ++i) EXPECT(both_ways(p, far, pool, i));
    }
    return 0;
  });
  CHECK(ended == 0);
}

TEST_CASE("interfaces that cannot be had are refused with the reason", "[nic][af_packet]") {
  if (!can_run()) return;
  const int ended = in_new_network([&]() -> int {
    EXPECT(add_veth("ma", "mb"));
    const std::string other = unique_prefix("holder");
    signal_pipe held;
    child holder{[&]() -> int {
      member h{other};
      (void)create_vdev(h.g, "net_af_packet0,iface=mb");
      held.notify();
      for (;;) ::pause();
    }};
    EXPECT(held.wait() == '!');
    member m{unique_prefix("afpbad")};
    const auto refusal = [&](const char* device) { return try_it([&] { (void)create_vdev(m.g, device); }); };
    EXPECT(refusal("net_af_packet0,iface=nosuch").kind == errc::not_found);
    EXPECT(contains(refusal("net_af_packet0,iface=nosuch").text, "'nosuch'"));
    EXPECT(contains(refusal("net_af_packet0").text, "iface="));
    EXPECT(contains(refusal("net_af_packet0,iface=ma,qpairs=0").text, "qpairs=0"));
    EXPECT(contains(refusal("net_af_packet0,iface=ma,blocksz=5000").text, "page size"));
    EXPECT(contains(refusal("net_af_packet0,iface=ma,framesz=2047").text, "framesz=2047"));
    EXPECT(contains(refusal("net_af_packet0,iface=ma,framesz=8192,blocksz=4096").text, "larger"));
    EXPECT(contains(refusal("net_af_packet0,iface=ma,fanout_mode=luck").text, "luck"));
    const auto busy = refusal("net_af_packet0,iface=mb");
    EXPECT(busy.kind == errc::busy);
    EXPECT(contains(busy.text, other) && contains(busy.text, std::to_string(holder.pid())));
    (void)create_vdev(m.g, "net_af_packet0,iface=ma");
    EXPECT(refusal("net_af_packet1,iface=ma").kind == errc::exists);
    EXPECT(list_ports(m.g).size() == 1);
    holder.kill(SIGKILL);
    (void)holder.wait();
    (void)create_vdev(m.g, "net_af_packet2,iface=mb");  // free with its holder's death
    return 0;
  });
  CHECK(ended == 0);
}

TEST_CASE("two queue pairs share an interface's flows, and each is driven by its own process", "[nic][af_packet]") {
  if (!can_run()) return;
  const int ended = in_new_network([&]() -> int {
    EXPECT(add_veth("ma", "mb"));
    const std::string prefix = unique_prefix("afpfan");
    member m{prefix};
    (void)m.pool();
    const port p = create_vdev(m.g, "net_af_packet0,iface=ma,qpairs=2");
    p.bring_up(with_pool(2));
    auto claim = p.take_queue(q0);
    signal_pipe ready, stop;
    child second{[&]() -> int {
      member s{prefix, process_type::secondary};
      const auto mine = find_port(s.g, "net_af_packet0");
      auto c = mine->take_queue(queue_id{1});
      ready.notify();
      std::size_t got = 0;
      while (stop.wait(1) == 0) {
        std::array<mbuf*, 32> burst{};
        const std::size_t n = mine->rx_burst(queue_id{1}, burst);
        free_mbufs({burst.data(), n});
        got += n;
      }
      return got > 40 && got < 160 ? 0 : 1;
    }};
    EXPECT(ready.wait() == '!');
    const raw_end far{"mb"};
    std::size_t got = 0;
    std::array<mbuf*, 32> burst{};
    for (std::uint32_t flow = 0; flow < 200; ++flow) {
      std::vector<std::uint8_t> udp(60);
      const std::uint8_t head[] = {2, 0, 0,  0,  0, 1, 2,  0, 0, 0, 0,  2, 8, 0, 0x45, 0, 0, 46, 0, 0,
                                   0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0,    0, 0, 9,  0, 26};
      std::memcpy(udp.data(), head, sizeof head);
      udp[34] = static_cast<std::uint8_t>(flow >> 4);
      udp[35] = static_cast<std::uint8_t>(flow * 37);
      EXPECT(far.send(udp));
      const std::size_t n = p.rx_burst(q0, burst);
      free_mbufs({burst.data(), n});
      got += n;
    }
    for (int i = 0; i < 1000 && p.stats().rx_packets < 200; ++i) {
      const std::size_t n = p.rx_burst(q0, burst);
      free_mbufs({burst.data(), n});
      got += n;
      ::usleep(1000);
    }
    EXPECT(p.stats().rx_packets == 200);
    EXPECT(got > 40 && got < 160);
    stop.notify();
    EXPECT(second.wait() == 0);
    return 0;
  });
  CHECK(ended == 0);
}

namespace {

/// A child in a network namespace of its own that runs `body` when told to.
struct host {
  signal_pipe ready, go;
  child process;
  explicit host(const std::function<int()>& body)
      : process{[&]() -> int {
          if (::unshare(CLONE_NEWNET) != 0) return 97;
          ready.notify();
          return go.wait() != 0 ? body() : 96;
        }} {}
};

constexpr std::size_t tcp_bytes = 24 << 20;

std::uint8_t pattern(std::size_t i) {
  return static_cast<std::uint8_t>(i * 31 + (i >> 12));
}

int tcp_receiver(const signal_pipe& listening) {
  const int s = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(5000);
  EXPECT(::bind(s, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0 && ::listen(s, 1) == 0);
  listening.notify();
  const int c = ::accept(s, nullptr, nullptr);
  std::vector<std::uint8_t> buffer(1 << 16);
  std::size_t got = 0;
  for (ssize_t n; (n = ::read(c, buffer.data(), buffer.size())) > 0;) {
    for (ssize_t i = 0; i < n; ++i) EXPECT(buffer[static_cast<std::size_t>(i)] == pattern(got++));
  }
  EXPECT(got == tcp_bytes);
  return 0;
}

int tcp_sender() {
  const int s = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(5000);
  to.sin_addr.s_addr = htonl(0x0a000002);
  EXPECT(::connect(s, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  std::vector<std::uint8_t> all(tcp_bytes);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = pattern(i);
  for (std::size_t done = 0; done < all.size();) {
    const ssize_t n = ::write(s, all.data() + done, all.size() - done);
    EXPECT(n > 0);
    done += static_cast<std::size_t>(n);
  }
  ::shutdown(s, SHUT_WR);
  char end = 0;
  return ::read(s, &end, 1) == 0 ? 0 : 1;
}

/// TCP from one namespace to another through two ports of this one.  `how`: further device arguments.
int carry_tcp(const std::string& how, bool expect_large) {
  signal_pipe listening;
  host receiver{[&]() -> int {
    EXPECT(shell("ip addr add 10.0.0.2/24 dev e && ip link set dev e up"));
    return tcp_receiver(listening);
  }};
  host sender{[&]() -> int {
    EXPECT(shell("ip addr add 10.0.0.1/24 dev e && ip link set dev e up"));
    return tcp_sender();
  }};
  EXPECT(receiver.ready.wait() != 0 && sender.ready.wait() != 0);
  EXPECT(add_veth("ma", "fa") && add_veth("mb", "fb"));
  if (!expect_large) EXPECT(shell("ethtool -K fa tso off gso off && ethtool -K fb tso off gso off"));
  EXPECT(shell("ip link set dev fa name e netns " + std::to_string(sender.process.pid())));
  EXPECT(shell("ip link set dev fb name e netns " + std::to_string(receiver.process.pid())));
  member m{unique_prefix("afptcp")};
  auto pool = mbuf_pool::create(m.g, "mbufs", {.mbuf_count = 8192, .cache_size = 0});
  const port a = create_vdev(m.g, "net_af_packet0,iface=ma" + how);
  const port b = create_vdev(m.g, "net_af_packet1,iface=mb" + how);
  a.bring_up(with_pool());
  b.bring_up(with_pool());
  auto ca = a.take_queue(q0);
  auto cb = b.take_queue(q0);
  std::atomic<bool> stop{false};
  std::uint32_t longest = 0;
  std::thread forwarder{[&] {
    std::array<mbuf*, 32> burst{};
    const auto forward = [&](const port& from, const port& to) {
      const std::size_t n = from.rx_burst(q0, burst);
      for (std::size_t i = 0; i < n; ++i) longest = std::max(longest, burst[i]->packet_len);
      const std::size_t sent = to.tx_burst(q0, {burst.data(), n});
      free_mbufs({burst.data() + sent, n - sent});
      return n;
    };
    while (!stop.load(std::memory_order_relaxed)) {
      if (forward(a, b) + forward(b, a) == 0) ::sched_yield();
    }
  }};
  receiver.go.notify();
  const bool up = listening.wait() != 0;
  if (up) sender.go.notify();
  const int sent = up ? sender.process.wait(40'000) : -1;
  const int received = up ? receiver.process.wait(10'000) : -1;
  stop = true;
  forwarder.join();
  EXPECT(sent == 0);
  EXPECT(received == 0);
  EXPECT((longest > 1514) == expect_large);
  EXPECT(a.stats().rx_errors == 0 && b.stats().tx_errors == 0);
  EXPECT(pool.stats().in_use == 0);
  return 0;
}

}  // namespace

TEST_CASE("TCP between namespaces with offloads on passes through, segmented packets and all",
          "[nic][af_packet][tcp]") {
  if (!can_run()) return;
  const int ended = in_new_network([] { return carry_tcp("", true); });
  CHECK(ended == 0);
}

TEST_CASE("without offload headers checksums are completed on the way", "[nic][af_packet][tcp]") {
  if (!can_run()) return;
  // Segmentation must be off at the ends then: frames of the ring hold one packet of the wire.
  const int ended = in_new_network([]() -> int { return carry_tcp(",vnet_hdr=0", false); });
  CHECK(ended == 0);
}
