// SPDX-License-Identifier: BSD-3-Clause
// One igb port that is told on its standard input what to let through, and says of each frame of type 88b5 its number,
// the two bytes behind the type.  Answers each command with "done" or "failed: …".
//   mac add|remove ADDRESS, own ADDRESS, promiscuous on|off, allmulticast on|off, multicast ADDRESS…, vlan ID on|off,
//   flow RX TX, descriptors, registers, frames
#include <mpnet/mpnet.hpp>

#include <array>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace mpnet;
constexpr queue_id queue_0{0};

mac_address mac_in(const std::string& text) {
  mac_address m;
  unsigned b[6] = {};
  if (std::sscanf(text.c_str(), "%x:%x:%x:%x:%x:%x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != 6) {
    throw error{errc::usage, "not a MAC address: " + text};
  }
  for (std::size_t i = 0; i < 6; ++i) m.bytes[i] = static_cast<std::uint8_t>(b[i]);
  return m;
}

void say_frames(const port& p) {
  std::array<mbuf*, 32> burst;
  while (const std::size_t n = p.rx_burst(queue_0, burst)) {
    for (std::size_t i = 0; i < n; ++i) {
      const mbuf& m = *burst[i];
      const auto* f = m.data<std::uint8_t>();
      const std::size_t type = f[12] == 0x81 && f[13] == 0 ? 16 : 12;
      if (f[type] == 0x88 && f[type + 1] == 0xb5) std::printf("frame %d\n", f[type + 2] << 8 | f[type + 3]);
    }
    free_mbufs({burst.data(), n});
  }
}

void say_descriptors(const port& p) {
  static constexpr const char* names[] = {"available", "done", "unavailable", "full"};
  static_assert(descriptor_state::available == descriptor_state{0} && descriptor_state::full == descriptor_state{3});
  const auto say = [](descriptor_state s) { return names[static_cast<int>(s)]; };
  std::printf("descriptors: rx 0 %s, rx 200 %s, rx 511 %s, tx 511 %s\n", say(p.rx_descriptor(queue_0, 0)),
              say(p.rx_descriptor(queue_0, 200)), say(p.rx_descriptor(queue_0, 511)),
              say(p.tx_descriptor(queue_0, 511)));
}

void say_registers(const port& p) {
  std::map<std::string, std::uint32_t> r;
  for (const device_register& d : p.registers()) r[d.name] = d.value;
  std::printf("registers: %zu, RCTL %x, RDLEN0 %u\n", r.size(), r["RCTL"], r["RDLEN0"]);
}

void flow(const port& p, bool rx, bool tx) {
  flow_control want;
  want.rx_pause = rx;
  want.tx_pause = tx;
  want.autonegotiate = false;
  p.set_flow_control(want);
  const flow_control is = p.get_flow_control();
  std::printf("flow: rx %d tx %d high %u\n", is.rx_pause ? 1 : 0, is.tx_pause ? 1 : 0, is.high_water_bytes);
}

void obey(const port& p, const std::vector<std::string>& words) {
  const std::string& verb = words.at(0);
  const auto on = [&](std::size_t i) { return words.at(i) == "on" || words.at(i) == "1"; };
  if (verb == "mac") {
    words.at(1) == "add" ? p.add_mac(mac_in(words.at(2))) : p.remove_mac(mac_in(words.at(2)));
  } else if (verb == "own") {
    p.set_mac(mac_in(words.at(1)));
  } else if (verb == "promiscuous") {
    p.set_promiscuous(on(1));
  } else if (verb == "allmulticast") {
    p.set_allmulticast(on(1));
  } else if (verb == "multicast") {
    std::vector<mac_address> list;
    for (std::size_t i = 1; i < words.size(); ++i) list.push_back(mac_in(words[i]));
    p.set_multicast_list(list);
  } else if (verb == "vlan") {
    p.set_vlan_filter(static_cast<std::uint16_t>(std::stoi(words.at(1))), on(2));
  } else if (verb == "flow") {
    flow(p, on(1), on(2));
  } else if (verb == "descriptors") {
    say_descriptors(p);
  } else if (verb == "registers") {
    say_registers(p);
  } else if (verb == "frames") {
    say_frames(p);
  } else {
    throw error{errc::usage, "unknown command " + verb};
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_main([&] {
    eal e{argc, argv};
    const port p = *find_port(e, list_ports(e).at(0).id);
    static_cast<void>(mbuf_pool::create_or_attach(e, "FILTER", {.mbuf_count = 4096}));
    p.bring_up({.pool = "FILTER"});
    const queue_claim claim = p.take_queue(queue_0);
    std::printf("ready %s %s\n", p.wait_for_link(10'000).up ? "up" : "down", to_string(p.mac()).c_str());
    std::fflush(stdout);
    for (std::string line; std::getline(std::cin, line);) {
      std::istringstream text{line};
      std::vector<std::string> words;
      for (std::string w; text >> w;) words.push_back(w);
      if (words.empty()) continue;
      try {
        obey(p, words);
        std::puts("done");
      } catch (const std::exception& problem) {
        std::printf("failed: %s\n", problem.what());
      }
      std::fflush(stdout);
    }
  });
}
