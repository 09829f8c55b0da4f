// SPDX-License-Identifier: BSD-3-Clause
// mpnet info: what a group consists of.
#include <fmt/format.h>
#include <mpnet/port_view.hpp>
#include <mpnet/ring_view.hpp>

#include "command.hpp"

namespace tool {
namespace {

using mpnet::group_view;

const char* name_of(mpnet::ring_sync sync) {
  switch (sync) {
    case mpnet::ring_sync::single:
      return "single";
    case mpnet::ring_sync::many:
      return "many";
    case mpnet::ring_sync::many_concurrent:
      return "many_concurrent";
  }
  return "?";
}

void print_group(const group_view& view, const std::string& group, bool json) {
  const mpnet::memory_stats m = view.memory();
  const bool lives = view.anyone_lives();
  if (json) {
    fmt::print(
        "{{\"kind\":\"group\",\"name\":{},\"alive\":{},\"base\":{},\"cap_bytes\":{},\"committed_bytes\":{},"
        "\"used_bytes\":{},\"blocks\":{},\"devices\":{}}}\n",
        quoted(group), lives, view.base_address(), m.cap_bytes, m.committed_bytes, m.used_bytes, m.block_count,
        quoted(view.devices()));
    return;
  }
  fmt::print("group {}: {}, at {:#x}, devices '{}'\nmemory: {} kB committed, {} kB used in {} blocks, cap {}\n", group,
             lives ? "alive" : "dead", view.base_address(), view.devices(), m.committed_bytes >> 10, m.used_bytes >> 10,
             m.block_count, m.cap_bytes == 0 ? "none" : fmt::format("{} MiB", m.cap_bytes >> 20));
}

void print_segments(const group_view& view, bool json) {
  for (const mpnet::segment_info& s : view.segments()) {
    fmt::print(fmt::runtime(json ? "{{\"kind\":\"segment\",\"path\":{},\"page_bytes\":{},\"socket\":{},"
                                   "\"committed_bytes\":{}}}\n"
                                 : "segment {}: pages of {} bytes on socket {}, {} bytes committed\n"),
               json ? quoted(s.path) : s.path, s.page_bytes, static_cast<int>(s.socket), s.committed_bytes);
  }
}

/// Rings and pools have lines of their own; where their memory cannot be read from here, this is all there is to say.
void print_zones(const group_view& view, bool json) {
  for (const mpnet::zone_info& z : view.zones()) {
    fmt::print(fmt::runtime(json ? "{{\"kind\":\"zone\",\"of\":\"{}\",\"name\":{},\"bytes\":{},\"socket\":{}}}\n"
                                 : "zone of {} '{}': {} bytes on socket {}\n"),
               name_of(z.kind), json ? quoted(z.name) : z.name, z.size_bytes, static_cast<int>(z.socket));
  }
}

void print_rings(const group_view& view, bool json) {
  for (const mpnet::ring_info& r : list_rings(view)) {
    if (json) {
      fmt::print(
          "{{\"kind\":\"ring\",\"name\":{},\"capacity\":{},\"count\":{},\"element_bytes\":{},\"producers\":\"{}\","
          "\"consumers\":\"{}\",\"shared\":{},\"pool_objects\":{}}}\n",
          quoted(r.name), r.capacity, r.approx_count, r.element_size_bytes, name_of(r.producers), name_of(r.consumers),
          r.shared_between_processes, r.pool_objects);
    } else {
      fmt::print("ring {}: {} of {} {}, {} bytes each, producers {}, consumers {}{}\n", r.name, r.approx_count,
                 r.capacity, r.pool_objects ? "pool objects" : "values", r.element_size_bytes, name_of(r.producers),
                 name_of(r.consumers), r.shared_between_processes ? "" : ", of one process");
    }
  }
}

void print_pool(const mpnet::pool_snapshot& p, const names_of_members& members, bool json) {
  std::string holders;
  for (const auto& h : p.holders) {
    const int pid = members.pid_of(h.process);
    if (json) {
      holders += fmt::format("{}{{\"id\":{},\"pid\":{},\"objects\":{}}}", holders.empty() ? "" : ",",
                             static_cast<unsigned>(h.process), pid, h.objects);
    } else {
      holders += fmt::format(", {} held by process {}", h.objects, pid);
    }
  }
  if (json) {
    fmt::print(
        "{{\"kind\":\"pool\",\"name\":{},\"objects\":{},\"object_bytes\":{},\"cache_size\":{},\"mbufs\":{},"
        "\"readable\":{},\"free\":{},\"held\":[{}],\"of_nobody\":{}}}\n",
        quoted(p.name), p.object_count, p.object_bytes, p.cache_size, p.mbufs, p.readable, p.in_backend, holders,
        p.of_nobody);
    return;
  }
  fmt::print("pool {}: {} {} of {} bytes, caches of {}: ", p.name, p.object_count, p.mbufs ? "mbufs" : "objects",
             p.object_bytes, p.cache_size);
  if (!p.readable) {
    fmt::print("its memory cannot be read from here\n");
  } else {
    fmt::print("{} free{}{}\n", p.in_backend, holders,
               p.of_nobody == 0 ? "" : fmt::format(", {} of nobody, in rings or shown by clones", p.of_nobody));
  }
}

void print_queue(unsigned port, const char* side, std::size_t number, const mpnet::queue_snapshot& q, bool json) {
  const bool driven = q.driver.slot != mpnet::no_process;
  if (json) {
    fmt::print(
        "{{\"kind\":\"queue\",\"port\":{},\"side\":\"{}\",\"queue\":{},\"driver_id\":{},\"driver_pid\":{},\"taken\":{},"
        "\"packets\":{},\"bytes\":{},\"errors\":{},\"nombuf\":{},\"missed\":{}}}\n",
        port, side, number, driven ? fmt::format("{}", static_cast<unsigned>(q.driver.slot)) : "null",
        driven ? fmt::format("{}", q.driver.pid) : "null", q.taken_count, q.packets, q.bytes, q.errors, q.nombuf,
        q.missed);
    return;
  }
  fmt::print("  {} queue {}: {}; taken {} times; {} packets, {} bytes, {} errors, {} without mbuf, {} missed\n", side,
             number, driven ? fmt::format("driven by process {}", q.driver.pid) : "driven by nobody", q.taken_count,
             q.packets, q.bytes, q.errors, q.nombuf, q.missed);
}

void print_ports(const group_view& view, bool json) {
  for (const mpnet::port_snapshot& p : list_ports(view)) {
    const auto id = static_cast<unsigned>(p.info.id);
    if (json) {
      fmt::print(
          "{{\"kind\":\"port\",\"port\":{},\"name\":{},\"driver\":{},\"arguments\":{},\"state\":\"{}\",\"mac\":\"{}\","
          "\"mtu\":{},\"link_up\":{},\"link_mbps\":{},\"rx_queues\":{},\"tx_queues\":{}}}\n",
          id, quoted(p.info.name), quoted(p.info.driver), quoted(p.info.arguments), to_string(p.info.state),
          to_string(p.mac), p.mtu, p.link.up, p.link.link_mbps, p.rx.size(), p.tx.size());
    } else {
      fmt::print("port {} {}: {}, {}, MAC {}, MTU {}, link {} at {} Mbit/s{}{}\n", id, p.info.name, p.info.driver,
                 to_string(p.info.state), to_string(p.mac), p.mtu, p.link.up ? "up" : "down", p.link.link_mbps,
                 p.info.arguments.empty() ? "" : ", arguments ", p.info.arguments);
    }
    for (std::size_t q = 0; q < p.rx.size(); ++q) print_queue(id, "rx", q, p.rx[q], json);
    for (std::size_t q = 0; q < p.tx.size(); ++q) print_queue(id, "tx", q, p.tx[q], json);
  }
}

void print_recoveries(const group_view& view, bool json) {
  for (const mpnet::recovery_info& r : view.recoveries()) {
    fmt::print(
        fmt::runtime(json ? "{{\"kind\":\"recovery\",\"sequence\":{},\"pid\":{},\"command\":{},\"claims\":{},"
                            "\"objects\":{},\"zones\":{},\"blocks\":{},\"queues\":{},\"microseconds\":{},"
                            "\"conductor\":{},\"finished_ns\":{}}}\n"
                          : "recovery {}: process {} ({}): {} claims, {} objects, {} zones, {} blocks, {} queues in "
                            "{} us by process {}\n"),
        r.sequence, r.pid, json ? quoted(r.command) : r.command, r.claims_rolled_back + r.claims_finished,
        r.objects_returned, r.zones_freed, r.blocks_freed, r.queues_released, r.duration_ns / 1000, r.conductor_pid,
        r.finished_ns);
  }
}

}  // namespace

int info(const options& o) {
  const std::string group = o.prefix.empty() ? "rte" : o.prefix;
  const group_view view{group};
  const names_of_members members{view};
  print_group(view, group, o.json);
  print_segments(view, o.json);
  print_zones(view, o.json);
  print_rings(view, o.json);
  for (const mpnet::pool_snapshot& p : list_pools(view)) print_pool(p, members, o.json);
  print_ports(view, o.json);
  print_recoveries(view, o.json);
  return 0;
}

}  // namespace tool
