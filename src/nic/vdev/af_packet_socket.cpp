// SPDX-License-Identifier: BSD-3-Clause
// net_af_packet's sockets: arguments, set-up, mapping, fanout.  Control.
#include <arpa/inet.h>
#include <errno.h>
#include <fmt/format.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <mpnet/error.hpp>

#include <cstring>

#include "mem/system.hpp"
#include "nic/vdev/af_packet.hpp"

namespace mpnet::nic {
namespace {

// A segmented packet has up to 65,535 bytes and its Ethernet header, and must lie in at most 17 pages (an skb's
// fragments).  15 such frames fill all but one of the 256 pages that the kernel takes for a block.
constexpr std::uint32_t page = 4096;
constexpr std::uint32_t big_frame = 17 * page, big_block = 15 * big_frame, big_rx_blocks = 17, big_tx_blocks = 4;

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

std::uint32_t fanout_mode_of(const devargs& arguments) {
  struct named {
    std::string_view name;
    std::uint32_t mode;
  };
  static constexpr std::array<named, 6> modes{{{"hash", PACKET_FANOUT_HASH},
                                               {"lb", PACKET_FANOUT_LB},
                                               {"cpu", PACKET_FANOUT_CPU},
                                               {"rollover", PACKET_FANOUT_ROLLOVER},
                                               {"rnd", PACKET_FANOUT_RND},
                                               {"qm", PACKET_FANOUT_QM}}};
  const std::string name = arguments.get("fanout_mode").value_or("hash");
  for (const named& m : modes) {
    if (m.name != name) continue;
    std::uint32_t flags = m.mode == PACKET_FANOUT_ROLLOVER ? 0U : PACKET_FANOUT_FLAG_ROLLOVER;
    if (arguments.number("defrag", 0, 0, 1) == 1) flags |= PACKET_FANOUT_FLAG_DEFRAG;
    return m.mode | flags;
  }
  throw error{
      errc::invalid_argument,
      fmt::format("device '{}': fanout_mode={}: write hash, lb, cpu, rollover, rnd or qm", arguments.name(), name)};
}

void plan_rings(const devargs& arguments, af_packet_area& area) {
  const bool big = area.vnet_header != 0 && !arguments.get("framesz");
  area.frame_bytes = static_cast<std::uint32_t>(arguments.number("framesz", big ? big_frame : 2048, 256, 1 << 17));
  const std::uint32_t fitting = (area.frame_bytes + page - 1) / page * page;
  area.block_bytes = static_cast<std::uint32_t>(arguments.number("blocksz", big ? big_block : fitting, page, 1 << 26));
  const auto bad = [&](const std::string& why) {
    return error{errc::invalid_argument, fmt::format("device '{}': {}", arguments.name(), why)};
  };
  if (area.block_bytes % page != 0)
    throw bad(fmt::format("blocksz={}: must be a multiple of the page size, {}", area.block_bytes, page));
  if (area.frame_bytes % TPACKET_ALIGNMENT != 0)
    throw bad(fmt::format("framesz={}: must be a multiple of {}", area.frame_bytes, TPACKET_ALIGNMENT));
  if (area.frame_bytes > area.block_bytes)
    throw bad(fmt::format("framesz={} is larger than blocksz={}", area.frame_bytes, area.block_bytes));
  const std::uint32_t a_block = frames_a_block(area);
  if (!arguments.get("framecnt")) {
    area.rx_blocks = big ? big_rx_blocks : (512 + a_block - 1) / a_block;
    area.tx_blocks = big ? big_tx_blocks : area.rx_blocks;
    return;
  }
  const auto frames = static_cast<std::uint32_t>(arguments.number("framecnt", 0, 2, 1 << 20));
  if (frames % a_block != 0)
    throw bad(fmt::format("framecnt={}: must be a multiple of {}, the frames of a block", frames, a_block));
  area.rx_blocks = area.tx_blocks = frames / a_block;
}

template <class T>
void set_option(int fd, int option, const T& value, const std::string& what) {
  if (::setsockopt(fd, SOL_PACKET, option, &value, sizeof value) != 0) throw mem::system_error(what, errno);
}

void make_ring(int fd, int option, const af_packet_area& area, std::uint32_t blocks) {
  const tpacket_req request{.tp_block_size = area.block_bytes,
                            .tp_block_nr = blocks,
                            .tp_frame_size = area.frame_bytes,
                            .tp_frame_nr = blocks * frames_a_block(area)};
  if (::setsockopt(fd, SOL_PACKET, option, &request, sizeof request) == 0) return;
  const int number = errno;
  throw mem::system_error(fmt::format("make a packet ring of {} blocks of {} bytes on interface '{}'", blocks,
                                      area.block_bytes, area.interface),
                          number, number == ENOMEM ? "ask for less with framecnt=" : "");
}

void bind_to(int fd, const af_packet_area& area, std::uint16_t protocol) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = static_cast<int>(area.ifindex);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw mem::system_error(fmt::format("bind to interface '{}'", area.interface), errno);
  }
}

std::uint32_t fanout_of(int fd) noexcept {
  int value = 0;
  socklen_t len = sizeof value;
  return ::getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &value, &len) == 0 ? static_cast<std::uint32_t>(value) : 0;
}

}  // namespace

packet_socket::~packet_socket() {
  if (map != nullptr) ::munmap(map, map_bytes);
}

af_packet_area plan_af_packet(const devargs& arguments) {
  arguments.allow_only(
      {"iface", "qpairs", "blocksz", "framesz", "framecnt", "qdisc_bypass", "fanout_mode", "defrag", "vnet_hdr"});
  const std::string name = arguments.get("iface").value_or("");
  if (name.empty()) {
    throw error{errc::invalid_argument,
                fmt::format("device '{}': it needs an interface; write iface=NAME", arguments.name())};
  }
  af_packet_area area{};
  area.queue_pairs = static_cast<std::uint32_t>(arguments.number("qpairs", 1, 1, max_queues));
  area.vnet_header = static_cast<std::uint32_t>(arguments.number("vnet_hdr", 1, 0, 1));
  area.fanout_mode = fanout_mode_of(arguments);
  plan_rings(arguments, area);
  area.ifindex = name.size() < sizeof area.interface ? if_nametoindex(name.c_str()) : 0;
  if (area.ifindex == 0) {
    throw error{errc::not_found, fmt::format("device '{}': there is no interface '{}' in this network namespace; "
                                             "'ip link' lists those that are",
                                             arguments.name(), name)};
  }
  std::memcpy(area.interface, name.data(), name.size());
  area.netns_inode = network_namespace();
  return area;
}

detail::unique_fd open_packet_socket(const af_packet_area& area, bool bypass_qdisc) {
  detail::unique_fd fd{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)};  // protocol 0: receives nothing yet
  if (!fd) {
    throw mem::system_error(fmt::format("open a packet socket for interface '{}'", area.interface), errno,
                            "run as root or with CAP_NET_RAW");
  }
  ifreq request{};
  std::memcpy(request.ifr_name, area.interface, sizeof area.interface);
  if (::ioctl(fd.get(), SIOCGIFHWADDR, &request) != 0) {
    throw mem::system_error(fmt::format("read the address of interface '{}'", area.interface), errno);
  }
  const auto family = request.ifr_hwaddr.sa_family;
  if (family != ARPHRD_ETHER && family != ARPHRD_LOOPBACK) {
    throw error{errc::unsupported, fmt::format("interface '{}' carries no Ethernet frames", area.interface)};
  }
  const int version = TPACKET_V2;
  const int on = 1;
  set_option(fd.get(), PACKET_VERSION, version, "choose the packet ring's version");
  if (area.vnet_header != 0)
    set_option(fd.get(), PACKET_VNET_HDR, on, "ask for offload headers; vnet_hdr=0 does without");
  set_option(fd.get(), PACKET_LOSS, on, "ask the kernel to skip frames that it refuses");
  set_option(fd.get(), PACKET_IGNORE_OUTGOING, on, "ask for received packets alone");
  if (bypass_qdisc) set_option(fd.get(), PACKET_QDISC_BYPASS, on, "bypass the interface's queueing");
  make_ring(fd.get(), PACKET_RX_RING, area, area.rx_blocks);
  make_ring(fd.get(), PACKET_TX_RING, area, area.tx_blocks);
  bind_to(fd.get(), area, 0);
  return fd;
}

packet_socket map_packet_socket(const af_packet_area& area, detail::unique_fd fd) {
  packet_socket socket;
  socket.fd = std::move(fd);
  socket.map_bytes = std::size_t{area.rx_blocks + area.tx_blocks} * area.block_bytes;
  void* const map = ::mmap(nullptr, socket.map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, socket.fd.get(), 0);
  if (map == MAP_FAILED) {
    throw mem::system_error(
        fmt::format("map the packet rings of interface '{}' ({} bytes)", area.interface, socket.map_bytes), errno);
  }
  socket.map = static_cast<std::byte*>(map);
  return socket;
}

void receive_on(const af_packet_area& area, std::span<const packet_socket> sockets) {
  std::uint32_t group = sockets.empty() ? 0 : fanout_of(sockets.front().fd.get());
  for (const packet_socket& socket : sockets) {
    const int fd = socket.fd.get();
    const std::uint32_t has = fanout_of(fd);
    if (has != 0) continue;  // in the group already
    bind_to(fd, area, ETH_P_ALL);
    if (sockets.size() == 1) return;
    const std::uint32_t wanted = group != 0 ? group : (area.fanout_mode | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
    set_option(fd, PACKET_FANOUT, wanted, fmt::format("join the fanout group of interface '{}'", area.interface));
    if (group == 0) group = fanout_of(fd);
  }
}

}  // namespace mpnet::nic
