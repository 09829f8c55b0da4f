// SPDX-License-Identifier: BSD-3-Clause
// What runs beside the lcores of a member: messages, the event thread, recovery, and the ports of the command line.
// Started once the group is entered and the main lcore has its lease; ended in the reverse order.
#pragma once

#include <mpnet/group.hpp>

#include "eal/options.hpp"

namespace mpnet::eal_detail {

class services {
 public:
  services(group& g, const parsed_options& options);
  ~services();
  services(const services&) = delete;
  services& operator=(const services&) = delete;

 private:
  group& group_;
};

}  // namespace mpnet::eal_detail
