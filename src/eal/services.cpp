// SPDX-License-Identifier: BSD-3-Clause
#include "eal/services.hpp"

namespace mpnet::eal_detail {

services::services(group& g, const parsed_options& options) : group_{g} {
  static_cast<void>(options);
  static_cast<void>(group_);
}

services::~services() = default;

}  // namespace mpnet::eal_detail
