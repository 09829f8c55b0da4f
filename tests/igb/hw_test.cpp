// SPDX-License-Identifier: BSD-3-Clause
// Reset, link, filters and registers against the software 82576.
#include <mpnet/error.hpp>

#include <catch2/catch.hpp>

#include "igb/workbench.hpp"

using namespace mpnet;
using namespace mpnet::nic;
using namespace mpnet::test;

namespace {
template <class Register>
concept can_be_written = requires(igb::bar b, Register r) {
  b.write(r, 0U);
};
template <class Register>
concept can_be_read = requires(igb::bar b, Register r) {
  b.read(r);
};
}  // namespace

// Writing a read-only register and reading a write-only one do not compile.
static_assert(!can_be_written<igb::reg<igb::access::ro>> && can_be_read<igb::reg<igb::access::ro>>);
static_assert(!can_be_written<igb::reg<igb::access::rc>> && can_be_read<igb::reg<igb::access::rc>>);
static_assert(can_be_written<igb::reg<igb::access::wo>> && !can_be_read<igb::reg<igb::access::wo>>);
static_assert(igb::RDT[3].offset == 0x2B18 && igb::RDT[4].offset == 0xC118 && igb::TDT[15].offset == 0xE3D8);

TEST_CASE("Reset ends with the address from the NVM and a link", "[nic][igb]") {
  workbench w;
  w.bring_up();
  CHECK(igb::read_mac(w.hw) == igb::mac{0x52, 0x54, 0x00, 0x12, 0x34, 0x56});
  const auto link = igb::read_link(w.hw);
  CHECK(link.up);
  CHECK(link.full_duplex);
  CHECK(link.mbps == 1000);
  w.device->set_link(false);
  CHECK_FALSE(igb::read_link(w.hw).up);
}

TEST_CASE("A reset that never ends is reported, not waited for", "[nic][igb]") {
  workbench w;
  w.device->hang_reset = true;
  try {
    igb::reset(w.hw);
    FAIL("no error");
  } catch (const error& e) {
    CHECK(e.kind() == errc::timed_out);
    CHECK_THAT(e.what(), Catch::Matchers::Contains("finish its reset"));
  }
}

TEST_CASE("Addresses pass or are filtered as asked", "[nic][igb]") {
  workbench w;
  w.bring_up();
  const auto passes = [&](const igb::mac& destination) {
    packet frame = make_frame({});
    std::copy(destination.begin(), destination.end(), frame.begin());
    const bool arrived = w.device->deliver(frame).has_value();
    for (mbuf* m : w.receive(0)) free_mbuf(m);
    return arrived;
  };
  const igb::mac own = igb::read_mac(w.hw), other{2, 0, 0, 0, 0, 9}, group{0x01, 0, 0x5e, 0, 0, 5},
                 everybody{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  CHECK(passes(own));
  CHECK(passes(everybody));
  CHECK_FALSE(passes(other));
  CHECK_FALSE(passes(group));
  for (const unsigned filter : {1U, 23U}) {
    igb::set_mac_filter(w.hw, filter, other);
    CHECK(passes(other));
    igb::clear_mac_filter(w.hw, filter);
    CHECK_FALSE(passes(other));
  }
  igb::set_multicast_list(w.hw, std::vector<igb::mac>{group});
  CHECK(passes(group));
  igb::set_multicast_list(w.hw, {});
  CHECK_FALSE(passes(group));
  igb::set_all_multicast(w.hw, true);
  CHECK(passes(group));
  CHECK_FALSE(passes(other));
  igb::set_promiscuous(w.hw, true);
  CHECK(passes(other));
  igb::set_promiscuous(w.hw, false);
  CHECK_FALSE(passes(other));
}

TEST_CASE("VLANs pass the filter that were let through", "[nic][igb]") {
  workbench w;
  w.bring_up();
  const auto passes = [&](std::uint16_t vlan) {
    const bool arrived = w.device->deliver(make_frame({.vlan = vlan})).has_value();
    for (mbuf* m : w.receive(0)) free_mbuf(m);
    return arrived;
  };
  CHECK(passes(5));
  igb::enable_vlan_filter(w.hw, true);
  CHECK_FALSE(passes(5));
  igb::set_vlan_filter(w.hw, 5, true);
  igb::set_vlan_filter(w.hw, 4095, true);
  CHECK(passes(5));
  CHECK(passes(4095));
  CHECK_FALSE(passes(6));
  igb::set_vlan_filter(w.hw, 5, false);
  CHECK_FALSE(passes(5));
}

TEST_CASE("Frames beyond the configured length are dropped by the device", "[nic][igb]") {
  workbench w;
  w.bring_up();
  CHECK(w.device->deliver(make_frame({.payload_bytes = 1472})));
  CHECK_FALSE(w.device->deliver(make_frame({.payload_bytes = 1473})));
  igb::set_max_frame(w.hw, 9022);
  CHECK(w.device->deliver(make_frame({.payload_bytes = 8000})));
}

TEST_CASE("Every device of the family is known, and strangers are not", "[nic][igb]") {
  for (const igb::model& m : igb::all_models()) {
    CHECK(igb::find_model(igb::intel_vendor_id, m.device_id) == &m);
    CHECK(m.rx_queues <= max_queues);
  }
  CHECK(igb::find_model(igb::intel_vendor_id, 0x100E) == nullptr);
  CHECK(igb::find_model(0x1af4, 0x10C9) == nullptr);
}

TEST_CASE("Vectors are shared out over the queues", "[nic][igb]") {
  workbench w;
  igb::set_up_interrupts(w.hw, 10, 16);
  // 82576: entry n & 7, queues from 8 on in the upper half; queue 9 shares vector 1 with queue 0.
  CHECK(w.hw.regs.read(igb::IVAR[0]) == ((1U | 0x80) | (9U | 0x80) << 16));
  CHECK(w.hw.regs.read(igb::IVAR[1]) == ((2U | 0x80) | (1U | 0x80) << 16));
  CHECK(igb::vector_of_queue(10, 15) == 7);
  CHECK(igb::vector_of_queue(1, 3) == 0);
}
