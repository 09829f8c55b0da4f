// SPDX-License-Identifier: BSD-3-Clause
// net_af_packet's device: what is asked of the interface, and the queues that this process drives.  Control.
#include "nic/vdev/af_packet.hpp"

#include <errno.h>
#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <mpnet/error.hpp>
#include <mpnet/port.hpp>

#include <cstring>
#include <vector>

#include "mem/system.hpp"
#include "nic/fd_exchange.hpp"

namespace mpnet::nic {
namespace {

class af_packet_device final : public virtual_device {
 public:
  af_packet_device(group& g, port_shared& shared, const devargs& arguments, bool create);

  [[nodiscard]] port_capabilities capabilities() const override;
  void configure(const port_config& config) override;
  void start() override;
  [[nodiscard]] queue_entry bind_rx(std::uint16_t queue) override;
  [[nodiscard]] queue_entry bind_tx(std::uint16_t queue) override;
  void unbind_rx(std::uint16_t queue) noexcept override { rx_[queue].reset(); }
  void unbind_tx(std::uint16_t queue) noexcept override { tx_[queue].reset(); }
  [[nodiscard]] link_status link() override;
  void set_link_up(bool up) override;
  void set_mac(const mac_address& mac) override;
  void set_mtu(std::uint16_t mtu) override;
  void set_promiscuous(bool on) override { membership(PACKET_MR_PROMISC, on); }
  void set_allmulticast(bool on) override { membership(PACKET_MR_ALLMULTI, on); }
  [[nodiscard]] std::optional<int> rx_fd(std::uint16_t queue) override { return sockets_[queue].fd.get(); }
  [[nodiscard]] bool arm_rx_interrupt(std::uint16_t) noexcept override { return true; }  // readable while frames wait
  void add_stats(port_stats&) override;
  void add_extended_stats(std::vector<named_counter>& list) override;

 private:
  void create(const devargs& arguments);
  void refuse_second_port();
  ifreq request(unsigned long what, const char* text, const ifreq* with = nullptr) const;
  void membership(unsigned short type, bool on);
  void fill(af_packet_queue& q, std::uint16_t queue, bool rx) const;

  af_packet_area* area_ = nullptr;
  std::unique_ptr<interface_lock> lock_;
  std::vector<packet_socket> sockets_;
  std::array<std::unique_ptr<af_packet_queue>, max_queues> rx_;
  std::array<std::unique_ptr<af_packet_queue>, max_queues> tx_;
};

af_packet_device::af_packet_device(group& g, port_shared& shared, const devargs& arguments, bool make)
    : virtual_device(g, shared) {
  if (make) {
    create(arguments);
    return;
  }
  area_ = reinterpret_cast<af_packet_area*>(shared.area);
  lock_ = std::make_unique<interface_lock>(g, area_->netns_inode, area_->ifindex, area_->interface);
  for (auto& fd : obtain_fds(g, shared)) sockets_.push_back(map_packet_socket(*area_, std::move(fd)));
  if (sockets_.size() != area_->queue_pairs) {
    throw error{errc::corrupt, fmt::format("port '{}': {} descriptors came for {} queue pairs", shared.name,
                                           sockets_.size(), area_->queue_pairs)};
  }
}

/// Two ports on one interface would each receive every packet.
void af_packet_device::refuse_second_port() {
  for (const port_info& other : list_ports(group_)) {
    if (other.driver != shared_.driver || other.name == shared_.name) continue;
    const auto arguments = devargs::parse(other.name + "," + other.arguments);
    if (arguments.get("iface") == std::string{area_->interface}) {
      throw error{errc::exists, fmt::format("device '{}': interface '{}' is port '{}' of this group already",
                                            shared_.name, area_->interface, other.name)};
    }
  }
}

void af_packet_device::create(const devargs& arguments) {
  const af_packet_area plan = plan_af_packet(arguments);
  const bool bypass = arguments.number("qdisc_bypass", 0, 0, 1) == 1;
  area_ = static_cast<af_packet_area*>(reserve_area(group_, shared_, sizeof(af_packet_area)));
  *area_ = plan;
  refuse_second_port();
  lock_ = std::make_unique<interface_lock>(group_, area_->netns_inode, area_->ifindex, area_->interface);
  std::vector<int> fds;
  for (std::uint32_t q = 0; q < area_->queue_pairs; ++q) {
    sockets_.push_back(map_packet_socket(*area_, open_packet_socket(*area_, bypass)));
    fds.push_back(sockets_.back().fd.get());
  }
  set_defaults();
  const ifreq mtu = request(SIOCGIFMTU, "read the MTU");
  const ifreq address = request(SIOCGIFHWADDR, "read the MAC address");
  mac_address mac;
  std::memcpy(mac.bytes.data(), address.ifr_hwaddr.sa_data, mac.bytes.size());
  // relaxed: published by the port's state
  shared_.mtu.store(static_cast<std::uint32_t>(mtu.ifr_mtu), std::memory_order_relaxed);
  shared_.mac.store(pack_mac(mac), std::memory_order_relaxed);
  shared_.link.store(pack_link(link()), std::memory_order_relaxed);
  offer_fds(shared_, fds);
}

port_capabilities af_packet_device::capabilities() const {
  const auto pairs = static_cast<std::uint16_t>(area_->queue_pairs);
  const std::uint64_t sums = tx_offload::udp_checksum | tx_offload::tcp_checksum | tx_offload::ipv4_checksum;
  const std::uint64_t segmentation = tx_offload::tcp_segmentation | tx_offload::udp_segmentation;
  return {.max_rx_queues = pairs,
          .max_tx_queues = pairs,
          .max_mtu = static_cast<std::uint16_t>(std::min<std::uint32_t>(area_->frame_bytes - 128, 65'535)),
          .rx_offloads = rx_offload::scatter | rx_offload::tcp_checksum | rx_offload::udp_checksum |
                         (area_->vnet_header != 0 ? rx_offload::large_receive : 0),
          .tx_offloads =
              tx_offload::multi_segment | tx_offload::vlan_insert | sums | (area_->vnet_header != 0 ? segmentation : 0),
          .rx_interrupts = true,
          .kernel_backed = true};
}

void af_packet_device::configure(const port_config& config) {
  for (std::size_t q = config.rx_queues; q < sockets_.size(); ++q) {
    int fanout = 0;
    socklen_t len = sizeof fanout;
    if (::getsockopt(sockets_[q].fd.get(), SOL_PACKET, PACKET_FANOUT, &fanout, &len) == 0 && fanout != 0) {
      throw error{errc::unsupported,
                  fmt::format("configure port '{}': it has had more rx queues than {}, and a socket cannot leave its "
                              "fanout group; remove the port and create it anew",
                              shared_.name, config.rx_queues)};
    }
  }
  receive_on(*area_, {sockets_.data(), config.rx_queues});
}

/// What arrived while the port was stopped is stale: it goes.
void af_packet_device::start() {
  for (std::uint16_t queue = 0; queue < shared_.rx_queues; ++queue) {
    af_packet_queue q;
    fill(q, queue, true);
    resynchronise_rx(q);
    for (std::uint32_t n = 0; n < q.ring.frames && (frame_status(q.ring.frame(q.next)) & TP_STATUS_USER) != 0; ++n) {
      const std::uint32_t at = q.next;
      q.next = q.ring.after(at);
      q.shared_next->store(q.next, std::memory_order_relaxed);  // relaxed: under the control lock
      set_frame_status(q.ring.frame(at), TP_STATUS_KERNEL);
    }
  }
}

void af_packet_device::fill(af_packet_queue& q, std::uint16_t queue, bool rx) const {
  const packet_socket& socket = sockets_[queue];
  queue_shared& shared_queue = rx ? shared_.rx[queue] : shared_.tx[queue];
  const std::size_t rx_bytes = std::size_t{area_->rx_blocks} * area_->block_bytes;
  q.ring = {.base = rx ? socket.map : socket.map + rx_bytes,
            .frames = (rx ? area_->rx_blocks : area_->tx_blocks) * frames_a_block(*area_),
            .frames_a_block = frames_a_block(*area_),
            .block_bytes = area_->block_bytes,
            .frame_bytes = area_->frame_bytes};
  q.fd = socket.fd.get();
  q.vnet = area_->vnet_header != 0;
  q.port = shared_.id;
  q.room_bytes = area_->frame_bytes - 64;
  q.mtu = &shared_.mtu;
  q.counters = &shared_queue.counters;
  q.shared_next = &shared_queue.words.word[word_next];
}

queue_entry af_packet_device::bind_rx(std::uint16_t queue) {
  auto q = std::make_unique<af_packet_queue>();
  fill(*q, queue, true);
  q->pool = rx_pool(queue);
  resynchronise_rx(*q);
  rx_[queue] = std::move(q);
  return {&af_packet_rx, rx_[queue].get()};
}

queue_entry af_packet_device::bind_tx(std::uint16_t queue) {
  auto q = std::make_unique<af_packet_queue>();
  fill(*q, queue, false);
  resynchronise_tx(*q);
  tx_[queue] = std::move(q);
  return {&af_packet_tx, tx_[queue].get()};
}

/// An ioctl on the interface.  The socket's network namespace counts, wherever this process is.
ifreq af_packet_device::request(unsigned long what, const char* text, const ifreq* with) const {
  ifreq r{};
  if (with != nullptr) r = *with;
  std::memcpy(r.ifr_name, area_->interface, sizeof area_->interface);
  if (::ioctl(sockets_.front().fd.get(), what, &r) != 0) {
    throw mem::system_error(fmt::format("{} of interface '{}'", text, area_->interface), errno);
  }
  return r;
}

link_status af_packet_device::link() {
  link_status status;
  try {
    const auto flags = static_cast<unsigned>(request(SIOCGIFFLAGS, "read the flags").ifr_flags);
    status.up = (flags & IFF_UP) != 0 && (flags & IFF_RUNNING) != 0;
    const ifreq mtu = request(SIOCGIFMTU, "read the MTU");
    shared_.mtu.store(static_cast<std::uint32_t>(mtu.ifr_mtu),
                      std::memory_order_relaxed);  // relaxed: a word of its own
    ethtool_cmd command{};
    command.cmd = ETHTOOL_GSET;
    ifreq with{};
    with.ifr_data = reinterpret_cast<char*>(&command);
    (void)request(SIOCETHTOOL, "read the speed", &with);
    const std::uint32_t mbps = ethtool_cmd_speed(&command);
    status.link_mbps = mbps == static_cast<std::uint32_t>(SPEED_UNKNOWN) ? 0 : mbps;
    status.full_duplex = command.duplex != DUPLEX_HALF;
    status.autonegotiated = command.autoneg != 0;
  } catch (const error&) {
    // Gone, or without a speed: what is known stays.
  }
  return status;
}

void af_packet_device::set_link_up(bool up) {
  ifreq r = request(SIOCGIFFLAGS, "read the flags");
  r.ifr_flags = static_cast<short>(up ? r.ifr_flags | IFF_UP : r.ifr_flags & ~IFF_UP);
  (void)request(SIOCSIFFLAGS, "set the state", &r);
}

void af_packet_device::set_mac(const mac_address& mac) {
  ifreq r = request(SIOCGIFHWADDR, "read the MAC address");
  std::memcpy(r.ifr_hwaddr.sa_data, mac.bytes.data(), mac.bytes.size());
  (void)request(SIOCSIFHWADDR, "set the MAC address", &r);
}

void af_packet_device::set_mtu(std::uint16_t mtu) {
  ifreq r{};
  r.ifr_mtu = mtu;
  (void)request(SIOCSIFMTU, "set the MTU", &r);
}

void af_packet_device::membership(unsigned short type, bool on) {
  packet_mreq wanted{};
  wanted.mr_ifindex = static_cast<int>(area_->ifindex);
  wanted.mr_type = type;
  // The kernel counts: once is enough, and leaving before joining is refused.
  const std::uint32_t flag = type == PACKET_MR_PROMISC ? detail::flag_promiscuous : detail::flag_allmulticast;
  if (((shared_.flags.load(std::memory_order_relaxed) & flag) != 0) == on) return;  // relaxed: under the control lock
  if (::setsockopt(sockets_.front().fd.get(), SOL_PACKET, on ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP, &wanted,
                   sizeof wanted) != 0) {
    throw mem::system_error(fmt::format("change what interface '{}' lets in", area_->interface), errno);
  }
}

/// The kernel's counters start anew at each reading: what is read goes into the queue's.
void af_packet_device::add_stats(port_stats&) {
  for (std::size_t q = 0; q < sockets_.size(); ++q) {
    tpacket_stats read{};
    socklen_t len = sizeof read;
    if (::getsockopt(sockets_[q].fd.get(), SOL_PACKET, PACKET_STATISTICS, &read, &len) != 0) continue;
    // relaxed: a statistic; added to by whoever reads
    shared_.rx[q].counters.missed.fetch_add(read.tp_drops, std::memory_order_relaxed);
  }
}

void af_packet_device::add_extended_stats(std::vector<named_counter>& list) {
  tpacket_rollover_stats sum{};
  for (const packet_socket& socket : sockets_) {
    tpacket_rollover_stats read{};
    socklen_t len = sizeof read;
    if (::getsockopt(socket.fd.get(), SOL_PACKET, PACKET_ROLLOVER_STATS, &read, &len) != 0) continue;
    sum.tp_all += read.tp_all;
    sum.tp_failed += read.tp_failed;
  }
  list.push_back({"rx_rolled_over", sum.tp_all});
  list.push_back({"rx_rollover_failed", sum.tp_failed});
}

template <bool Create>
std::unique_ptr<device> make_device(group& g, port_shared& shared, const devargs& arguments) {
  return std::make_unique<af_packet_device>(g, shared, arguments, Create);
}

}  // namespace

extern const driver af_packet_driver;
const driver af_packet_driver{.name = "net_af_packet",
                              .create = &make_device<true>,
                              .attach = &make_device<false>,
                              .destroy = [](group&, port_shared& shared) noexcept { stop_offering_fds(shared); }};

}  // namespace mpnet::nic
