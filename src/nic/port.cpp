// SPDX-License-Identifier: BSD-3-Clause
// The public handle: range checks, then the local half.  Control.
#include <fmt/format.h>
#include <time.h>
#include <mpnet/cycles.hpp>
#include <mpnet/error.hpp>
#include <mpnet/port.hpp>

#include <algorithm>

#include "nic/local_port.hpp"

namespace mpnet {

namespace detail {
std::size_t burst_nothing(void*, mbuf**, std::size_t) noexcept {
  return 0;
}
}  // namespace detail

namespace {

detail::port_bursts no_bursts;  // never written

template <class Id>
std::uint16_t number(Id id) noexcept {
  return static_cast<std::uint16_t>(id);
}

}  // namespace

port::port() noexcept : bursts_(&no_bursts) {}
port::port(std::shared_ptr<nic::local_port> local) noexcept
    : bursts_(&local->bursts()), local_(std::move(local)), id_(port_id{local_->shared().id}) {}

nic::local_port& port::local() const {
  if (local_ == nullptr) throw error{errc::not_found, "a handle of no port was used; find the port first"};
  return *local_;
}

namespace nic {
namespace {
void require_queue(local_port& half, std::string_view verb, queue_id queue, queue_side side) {
  const std::uint16_t count = side == queue_side::rx ? half.shared().rx_queues : half.shared().tx_queues;
  if (number(queue) >= count) {
    throw error{errc::invalid_argument,
                fmt::format("{}: queue {}; it is configured with {}", half.what(verb), number(queue), count)};
  }
}
}  // namespace
}  // namespace nic

std::string port::name() const {
  (void)local().dev();
  return local().shared().name;
}
port_info port::info() const {
  (void)local().dev();
  return nic::info_of(local().shared());
}
port_capabilities port::capabilities() const {
  return local().dev().capabilities();
}

void port::configure(const port_config& config) const {
  local().configure(config);
}
void port::start() const {
  local().start();
}
void port::stop() const {
  local().stop();
}
void port::bring_up(const port_config& config) const {
  local().bring_up(config);
}
port_state port::state() const noexcept {
  return local_ == nullptr || !local_->is_current() ? port_state::none : nic::state_of(local_->shared());
}

queue_claim port::take_queue(queue_id queue, queue_side side) const {
  if (number(queue) >= max_queues) {
    throw error{errc::invalid_argument, fmt::format("{}: queue {}; there are at most {}",
                                                    local().what("take a queue of"), number(queue), max_queues)};
  }
  local().take(number(queue), side);
  return {local_, queue, side};
}

std::optional<queue_driver> port::driver_of(queue_id queue, queue_side one_side) const noexcept {
  if (local_ == nullptr || number(queue) >= max_queues) return {};
  const auto& shared = local_->shared();
  const auto& q = one_side == queue_side::tx ? shared.tx[number(queue)] : shared.rx[number(queue)];
  const std::uint64_t word = q.driver.load(std::memory_order_relaxed);  // relaxed: a snapshot
  return nic::driver_in(word);
}

void port::set_rx_pool(queue_id queue, std::string_view pool) const {
  local().set_rx_pool(number(queue), pool);
}

link_status port::link() const {
  return local().locked("read the link of", [&](nic::device& d) {
    const link_status now = d.link();
    d.shared().link.store(nic::pack_link(now), std::memory_order_relaxed);  // relaxed: a word of its own
    return now;
  });
}

link_status port::wait_for_link(int timeout_ms) const {
  const std::uint64_t begin = detail::monotonic_ns();
  for (;;) {
    const link_status now = link();
    const auto waited_ms = static_cast<std::int64_t>((detail::monotonic_ns() - begin) / 1'000'000);
    if (now.up || waited_ms >= timeout_ms) return now;
    const timespec pause{.tv_sec = 0, .tv_nsec = 10'000'000};
    nanosleep(&pause, nullptr);
  }
}

std::optional<int> port::link_fd() const {
  return local().dev().link_fd();
}

void port::set_link_up(bool up) const {
  local().locked("set the link of", [&](nic::device& d) { d.set_link_up(up); });
}

mac_address port::mac() const noexcept {
  // relaxed: a word of its own
  return local_ == nullptr ? mac_address{} : nic::unpack_mac(local_->shared().mac.load(std::memory_order_relaxed));
}

void port::set_mac(const mac_address& mac) const {
  local().locked("set the MAC address of", [&](nic::device& d) {
    if ((mac.bytes[0] & 1) != 0 || mac == mac_address{}) {
      throw error{errc::invalid_argument, fmt::format("set the MAC address of port '{}': {} is no unicast address",
                                                      d.shared().name, to_string(mac))};
    }
    d.set_mac(mac);
    d.shared().mac.store(nic::pack_mac(mac), std::memory_order_relaxed);  // relaxed: a word of its own
  });
}
void port::add_mac(const mac_address& mac) const {
  local().locked("add a MAC address to", [&](nic::device& d) { d.add_mac(mac); });
}
void port::remove_mac(const mac_address& mac) const {
  local().locked("remove a MAC address of", [&](nic::device& d) { d.remove_mac(mac); });
}
void port::set_multicast_list(std::span<const mac_address> list) const {
  local().locked("set the multicast list of", [&](nic::device& d) { d.set_multicast_list(list); });
}

std::uint16_t port::mtu() const noexcept {
  // relaxed: a word of its own
  return local_ == nullptr ? 0 : static_cast<std::uint16_t>(local_->shared().mtu.load(std::memory_order_relaxed));
}

void port::set_mtu(std::uint16_t mtu) const {
  local().locked("set the MTU of", [&](nic::device& d) {
    const port_capabilities can = d.capabilities();
    if (mtu < can.min_mtu || mtu > can.max_mtu) {
      throw error{errc::invalid_argument, fmt::format("set the MTU of port '{}': {}; it takes {} to {}",
                                                      d.shared().name, mtu, can.min_mtu, can.max_mtu)};
    }
    d.set_mtu(mtu);
    d.shared().mtu.store(mtu, std::memory_order_relaxed);  // relaxed: a word of its own
  });
}

namespace {
bool has_flag(const std::shared_ptr<nic::local_port>& local, detail::port_flag flag) noexcept {
  // relaxed: a word of its own
  return local != nullptr && (local->shared().flags.load(std::memory_order_relaxed) & flag) != 0;
}
void set_flag(nic::device& d, detail::port_flag flag, bool on) noexcept {
  // relaxed: a word of its own, changed under the control lock
  const std::uint32_t flags = d.shared().flags.load(std::memory_order_relaxed);
  d.shared().flags.store(on ? flags | flag : flags & ~flag, std::memory_order_relaxed);
}
}  // namespace

bool port::promiscuous() const noexcept {
  return has_flag(local_, detail::flag_promiscuous);
}
void port::set_promiscuous(bool on) const {
  local().locked("set promiscuous mode of", [&](nic::device& d) {
    d.set_promiscuous(on);
    set_flag(d, detail::flag_promiscuous, on);
  });
}
bool port::allmulticast() const noexcept {
  return has_flag(local_, detail::flag_allmulticast);
}
void port::set_allmulticast(bool on) const {
  local().locked("set allmulticast mode of", [&](nic::device& d) {
    d.set_allmulticast(on);
    set_flag(d, detail::flag_allmulticast, on);
  });
}

void port::set_rss(const rss_config& config) const {
  local().locked("set RSS of", [&](nic::device& d) { d.set_rss(config); });
}
rss_config port::rss() const {
  return local().locked("read RSS of", [](nic::device& d) { return d.rss(); });
}
void port::set_vlan_filter(std::uint16_t vlan_id, bool pass) const {
  local().locked("filter VLANs of", [&](nic::device& d) {
    if (vlan_id > 4095) {
      throw error{errc::invalid_argument,
                  fmt::format("filter VLANs of port '{}': id {} is above 4095", d.shared().name, vlan_id)};
    }
    d.set_vlan_filter(vlan_id, pass);
  });
}
void port::set_vlan_strip(bool on) const {
  local().locked("strip VLAN tags of", [&](nic::device& d) { d.set_vlan_strip(on); });
}
void port::set_flow_control(const flow_control& config) const {
  local().locked("set flow control of", [&](nic::device& d) { d.set_flow_control(config); });
}
flow_control port::get_flow_control() const {
  return local().locked("read flow control of", [](nic::device& d) { return d.get_flow_control(); });
}
std::vector<std::uint32_t> port::packet_types() const {
  return local().dev().packet_types();
}
std::vector<device_register> port::registers() const {
  return local().locked("dump registers of", [](nic::device& d) { return d.registers(); });
}
descriptor_state port::rx_descriptor(queue_id queue, std::uint16_t offset) const {
  nic::require_queue(local(), "ask a descriptor of", queue, queue_side::rx);
  return local().dev().rx_descriptor(number(queue), offset);
}
descriptor_state port::tx_descriptor(queue_id queue, std::uint16_t offset) const {
  nic::require_queue(local(), "ask a descriptor of", queue, queue_side::tx);
  return local().dev().tx_descriptor(number(queue), offset);
}

std::optional<int> port::rx_fd(queue_id queue) const {
  nic::require_queue(local(), "ask for a descriptor to poll of", queue, queue_side::rx);
  return local().dev().rx_fd(number(queue));
}
bool port::arm_rx_interrupt(queue_id queue) const noexcept {
  if (local_ == nullptr || !local_->is_current() || number(queue) >= max_queues) return false;
  return local_->dev().arm_rx_interrupt(number(queue));
}
void port::disarm_rx_interrupt(queue_id queue) const noexcept {
  if (local_ == nullptr || !local_->is_current() || number(queue) >= max_queues) return;
  local_->dev().disarm_rx_interrupt(number(queue));
}

queue_claim::queue_claim(std::shared_ptr<nic::local_port> local, queue_id queue, queue_side side) noexcept
    : local_(std::move(local)), queue_(queue), side_(side) {}
queue_claim::queue_claim(queue_claim&& other) noexcept
    : local_(std::move(other.local_)), queue_(other.queue_), side_(other.side_) {}
queue_claim& queue_claim::operator=(queue_claim&& other) noexcept {
  if (this == &other) return *this;
  release();
  local_ = std::move(other.local_);
  queue_ = other.queue_;
  side_ = other.side_;
  return *this;
}
queue_claim::~queue_claim() {
  release();
}
void queue_claim::release() noexcept {
  if (local_ != nullptr) local_->give_back(number(queue_), side_);
  local_.reset();
}

port create_vdev(group& g, std::string_view text) {
  const nic::devargs arguments = nic::devargs::parse(text);
  const nic::driver* d = nic::find_driver(arguments.name());
  if (d == nullptr || !d->is_virtual) {
    std::string names;
    for (const nic::driver* one : nic::all_drivers()) {
      if (one->is_virtual) names += (names.empty() ? "" : ", ") + std::string{one->name};
    }
    throw error{
        errc::invalid_argument,
        fmt::format("create device '{}': no such virtual driver; there are {} (with a number behind, as in {}0)",
                    arguments.name(), names, nic::all_drivers().front()->name)};
  }
  if (!g.is_primary()) {
    throw error{
        errc::invalid_argument,
        fmt::format("create device '{}': only the primary creates ports; give --vdev to it, a secondary finds the "
                    "port by itself",
                    arguments.name())};
  }
  return port{nic::create_port(g, *d, arguments.name(), arguments)};
}

void remove_port(group& g, const port& p) {
  nic::local_port& half = p.local();
  half.stop();
  auto& table = nic::table_of(g);
  const nic::word_lock lock{g, table.creation, half.what("remove")};
  half.locked("remove", [&](nic::device&) { half.require_undriven("remove", false); });
  half.close();
  nic::erase_port(g, half.shared());
}

std::vector<port_info> list_ports(group& g) {
  std::vector<port_info> list;
  const auto* table = nic::find_table(g);
  if (table == nullptr) return list;
  for (const auto& p : table->ports) {
    if (nic::is_there(p)) list.push_back(nic::info_of(p));
  }
  return list;
}

std::optional<port> find_port(group& g, std::string_view name) {
  auto* table = nic::find_table(g);
  if (table == nullptr) return {};
  for (auto& p : table->ports) {
    if (!nic::is_there(p) || name != p.name) continue;
    if (auto half = nic::local_half(g, p)) return port{std::move(half)};
  }
  return {};
}

std::optional<port> find_port(group& g, port_id id) {
  auto* table = nic::find_table(g);
  if (table == nullptr || number(id) >= max_ports) return {};
  auto half = nic::local_half(g, table->ports[number(id)]);
  if (half == nullptr) return {};
  return port{std::move(half)};
}

}  // namespace mpnet
