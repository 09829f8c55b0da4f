// SPDX-License-Identifier: BSD-3-Clause
#include <mpnet/error.hpp>

namespace mpnet {
namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "mpnet"; }
  [[nodiscard]] std::string message(int code) const override {
    switch (static_cast<errc>(code)) {
      case errc::usage:
        return "usage error";
      case errc::invalid_argument:
        return "invalid argument";
      case errc::not_found:
        return "not found";
      case errc::exists:
        return "exists already";
      case errc::busy:
        return "held by somebody else";
      case errc::no_memory:
        return "out of memory";
      case errc::no_hugepages:
        return "no hugepages";
      case errc::incompatible:
        return "incompatible";
      case errc::corrupt:
        return "corrupt shared state";
      case errc::permission:
        return "permission denied";
      case errc::no_primary:
        return "no primary process";
      case errc::peer_died:
        return "the peer died";
      case errc::no_handler:
        return "no handler of that name";
      case errc::timed_out:
        return "timed out";
      case errc::unsupported:
        return "not supported";
      case errc::limit:
        return "limit reached";
      case errc::system:
        return "system call failed";
    }
    return "unknown error";
  }
};

}  // namespace

const std::error_category& error_category() noexcept {
  static const category instance;
  return instance;
}

error::error(errc code, std::string text) : std::system_error(make_error_code(code)), text_(std::move(text)) {}

}  // namespace mpnet
