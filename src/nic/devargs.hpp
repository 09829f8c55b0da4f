// SPDX-License-Identifier: BSD-3-Clause
// Device arguments as DPDK writes them: "net_pcap0,rx_pcap=in.pcap,infinite_rx=1".  Keys may repeat.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mpnet::nic {

class devargs {
 public:
  devargs() = default;
  /// Throws usage for an empty name, an empty key or a name that is too long.
  [[nodiscard]] static devargs parse(std::string_view text);

  [[nodiscard]] const std::string& name() const noexcept { return name_; }   // "net_pcap0"
  [[nodiscard]] const std::string& text() const noexcept { return text_; }   // what followed the name
  [[nodiscard]] std::optional<std::string> get(std::string_view key) const;  // the last one
  [[nodiscard]] std::vector<std::string> get_all(std::string_view key) const;
  /// The value as a number; throws invalid_argument naming key, value and range.
  [[nodiscard]] std::uint64_t number(std::string_view key, std::uint64_t fallback, std::uint64_t min,
                                     std::uint64_t max) const;
  /// Throws invalid_argument for a key that is not in `known`, listing those that are.
  void allow_only(std::initializer_list<std::string_view> known) const;
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& pairs() const noexcept { return pairs_; }

 private:
  std::string name_;
  std::string text_;
  std::vector<std::pair<std::string, std::string>> pairs_;
};

}  // namespace mpnet::nic
