// SPDX-License-Identifier: BSD-3-Clause
// net_pcap's device: which files and interfaces are which queues.  Control.
#include "nic/vdev/pcap.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <unistd.h>
#include <mpnet/detail/unique_fd.hpp>
#include <mpnet/error.hpp>

#include <algorithm>
#include <cstring>

#include "mem/system.hpp"
#include "nic/vdev/interface_lock.hpp"

namespace mpnet::nic {
namespace {

enum class pcap_kind { none, file, interface, interface_in };

struct pcap_source {
  pcap_kind kind = pcap_kind::none;
  std::string name;
};

/// Where the creator stood: relative paths of the arguments mean the same in every process.
struct pcap_area {
  std::uint64_t netns_inode;
  char folder[4096];
};

class pcap_device final : public virtual_device {
 public:
  pcap_device(group& g, port_shared& shared, const devargs& arguments, bool create) : virtual_device(g, shared) {
    read_arguments(arguments);
    if (create) {
      make_area();
      set_defaults();
    }
    area_ = reinterpret_cast<const pcap_area*>(shared.area);
    lock_interfaces();
    if (create) check_and_make_files();
  }

  [[nodiscard]] port_capabilities capabilities() const override {
    return {.max_rx_queues = static_cast<std::uint16_t>(rx_sources_.size()),
            .max_tx_queues = static_cast<std::uint16_t>(tx_sources_.size()),
            .rx_offloads = rx_offload::scatter,
            .tx_offloads = tx_offload::multi_segment | tx_offload::vlan_insert | tx_offload::ipv4_checksum |
                           tx_offload::tcp_checksum | tx_offload::udp_checksum,
            .kernel_backed = true};
  }
  [[nodiscard]] queue_entry bind_rx(std::uint16_t queue) override;
  [[nodiscard]] queue_entry bind_tx(std::uint16_t queue) override;
  void unbind_rx(std::uint16_t queue) noexcept override { rx_[queue].reset(); }
  void unbind_tx(std::uint16_t queue) noexcept override {
    tx_[queue].reset();
    files_[queue].reset();
  }
  [[nodiscard]] std::optional<int> rx_fd(std::uint16_t queue) override {
    if (rx_[queue] == nullptr || rx_[queue]->live == nullptr) return {};
    return ::pcap_get_selectable_fd(rx_[queue]->live.get());
  }
  [[nodiscard]] bool arm_rx_interrupt(std::uint16_t) noexcept override { return true; }

 private:
  void read_arguments(const devargs& arguments);
  void make_area();
  void lock_interfaces();
  void check_and_make_files();
  [[nodiscard]] std::string path_of(const std::string& name) const {
    return name.starts_with('/') ? name : fmt::format("{}/{}", area_->folder, name);
  }
  [[nodiscard]] pcap_handle open_live(const pcap_source& source) const;
  [[nodiscard]] std::unique_ptr<pcap_queue> make_queue(queue_shared& shared_queue) const {
    auto q = std::make_unique<pcap_queue>();
    q->counters = &shared_queue.counters;
    q->shared_word = &shared_queue.words.word[pcap_word];
    q->port = shared_.id;
    return q;
  }

  std::vector<pcap_source> rx_sources_, tx_sources_;
  bool infinite_ = false;
  const pcap_area* area_ = nullptr;
  std::vector<std::unique_ptr<interface_lock>> locks_;
  std::array<std::unique_ptr<pcap_queue>, max_queues> rx_;
  std::array<std::unique_ptr<pcap_queue>, max_queues> tx_;
  std::array<detail::unique_fd, max_queues> files_;
};

void pcap_device::read_arguments(const devargs& arguments) {
  arguments.allow_only({"rx_pcap", "tx_pcap", "rx_iface", "rx_iface_in", "tx_iface", "iface", "infinite_rx"});
  const auto bad = [&](const std::string& why) {
    return error{errc::invalid_argument, fmt::format("device '{}': {}", arguments.name(), why)};
  };
  for (const auto& [key, value] : arguments.pairs()) {
    if (key == "infinite_rx") continue;
    if (value.empty()) throw bad(fmt::format("{}= names nothing", key));
    if (key == "iface") {
      rx_sources_.push_back({pcap_kind::interface_in, value});
      tx_sources_.push_back({pcap_kind::interface, value});
      continue;
    }
    const bool file = key.ends_with("_pcap");
    const pcap_kind kind = file                   ? pcap_kind::file
                           : key == "rx_iface_in" ? pcap_kind::interface_in
                                                  : pcap_kind::interface;
    (key.starts_with("rx") ? rx_sources_ : tx_sources_).push_back({kind, value});
  }
  if (rx_sources_.empty() && tx_sources_.empty()) {
    throw bad("it needs files or an interface: rx_pcap=, tx_pcap=, rx_iface=, tx_iface= or iface=");
  }
  if (std::max(rx_sources_.size(), tx_sources_.size()) > max_queues) {
    throw bad(fmt::format("more than {} queues", max_queues));
  }
  infinite_ = arguments.number("infinite_rx", 0, 0, 1) == 1;
  if (infinite_ && arguments.get_all("rx_pcap").empty()) throw bad("infinite_rx=1 repeats a file: it needs rx_pcap=");
  // A side that is not named: nothing is received, or what is sent is dropped.
  if (rx_sources_.empty()) rx_sources_.resize(tx_sources_.size());
  if (tx_sources_.empty()) tx_sources_.resize(rx_sources_.size());
}

void pcap_device::make_area() {
  auto* area = static_cast<pcap_area*>(reserve_area(group_, shared_, sizeof(pcap_area)));
  area->netns_inode = network_namespace();
  if (::getcwd(area->folder, sizeof area->folder) == nullptr) throw mem::system_error("read the current folder", errno);
}

void pcap_device::lock_interfaces() {
  std::vector<std::string> locked;
  for (const auto* sources : {&rx_sources_, &tx_sources_}) {
    for (const pcap_source& s : *sources) {
      if (s.kind != pcap_kind::interface && s.kind != pcap_kind::interface_in) continue;
      if (std::find(locked.begin(), locked.end(), s.name) != locked.end()) continue;
      const unsigned index = if_nametoindex(s.name.c_str());
      if (index == 0) {
        throw error{errc::not_found, fmt::format("device '{}': there is no interface '{}' in this network namespace; "
                                                 "'ip link' lists those that are",
                                                 shared_.name, s.name)};
      }
      locks_.push_back(std::make_unique<interface_lock>(group_, area_->netns_inode, index, s.name));
      locked.push_back(s.name);
    }
  }
}

void pcap_device::check_and_make_files() {
  for (const pcap_source& s : rx_sources_) {
    if (s.kind == pcap_kind::file) (void)read_capture(shared_.name, path_of(s.name));
  }
  for (std::size_t q = 0; q < tx_sources_.size(); ++q) {
    if (tx_sources_[q].kind != pcap_kind::file) continue;
    const std::string path = path_of(tx_sources_[q].name);
    const detail::unique_fd fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    const capture_head head;
    if (!fd || ::write(fd.get(), &head, sizeof head) != sizeof head) {
      throw mem::system_error(fmt::format("device '{}': write capture '{}'", shared_.name, path), errno);
    }
    // relaxed: published by the port's state
    shared_.tx[q].words.word[pcap_word].store(sizeof head, std::memory_order_relaxed);
  }
}

pcap_handle pcap_device::open_live(const pcap_source& source) const {
  char text[PCAP_ERRBUF_SIZE] = "";
  pcap_handle handle{::pcap_create(source.name.c_str(), text)};
  const auto failed = [&](const char* why) {
    return error{errc::system, fmt::format("port '{}': open interface '{}': {}; run as root or with CAP_NET_RAW",
                                           shared_.name, source.name, why)};
  };
  if (handle == nullptr) throw failed(text);
  ::pcap_set_snaplen(handle.get(), 65'535);
  ::pcap_set_promisc(handle.get(), 1);
  ::pcap_set_immediate_mode(handle.get(), 1);
  if (::pcap_activate(handle.get()) < 0) throw failed(::pcap_geterr(handle.get()));
  if (::pcap_setnonblock(handle.get(), 1, text) != 0) throw failed(text);
  if (source.kind == pcap_kind::interface_in && ::pcap_setdirection(handle.get(), PCAP_D_IN) != 0) {
    throw failed(::pcap_geterr(handle.get()));
  }
  return handle;
}

queue_entry pcap_device::bind_rx(std::uint16_t queue) {
  const pcap_source& source = rx_sources_[queue];
  if (source.kind == pcap_kind::none) return {};
  auto q = make_queue(shared_.rx[queue]);
  q->pool = rx_pool(queue);
  const bool file = source.kind == pcap_kind::file;
  if (file) {
    q->packets = read_capture(shared_.name, path_of(source.name));
    q->infinite = infinite_;
  } else {
    q->live = open_live(source);
  }
  rx_[queue] = std::move(q);
  return {file ? &pcap_file_rx : &pcap_live_rx, rx_[queue].get()};
}

queue_entry pcap_device::bind_tx(std::uint16_t queue) {
  const pcap_source& source = tx_sources_[queue];
  auto q = make_queue(shared_.tx[queue]);
  detail::burst_function burst = &pcap_drop_tx;
  if (source.kind == pcap_kind::file) {
    const std::string path = path_of(source.name);
    files_[queue].reset(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    // A record that a death cut off goes.  relaxed: the claim made the last driver's stores visible
    const auto whole = static_cast<off_t>(q->shared_word->load(std::memory_order_relaxed));
    if (!files_[queue] || ::ftruncate(files_[queue].get(), whole) != 0) {
      throw mem::system_error(fmt::format("port '{}': write capture '{}'", shared_.name, path), errno);
    }
    q->fd = files_[queue].get();
    burst = &pcap_file_tx;
  } else if (source.kind != pcap_kind::none) {
    q->live = open_live(source);
    q->fd = ::pcap_fileno(q->live.get());
    burst = &pcap_live_tx;
  }
  if (burst != &pcap_drop_tx) q->arena.resize(pcap_arena_bytes);
  tx_[queue] = std::move(q);
  return {burst, tx_[queue].get()};
}

template <bool Create>
std::unique_ptr<device> make_device(group& g, port_shared& shared, const devargs& arguments) {
  return std::make_unique<pcap_device>(g, shared, arguments, Create);
}

}  // namespace

extern const driver pcap_driver;
const driver pcap_driver{.name = "net_pcap", .create = &make_device<true>, .attach = &make_device<false>};

}  // namespace mpnet::nic
