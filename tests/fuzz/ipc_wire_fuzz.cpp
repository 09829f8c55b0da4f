// SPDX-License-Identifier: BSD-3-Clause
// Any bytes as a datagram: the parser takes only what a member would have sent, and what it takes lies in the bytes.
// The first byte is the number of descriptors that came along.
#include <cstdlib>

#include "ipc/wire.hpp"

using namespace mpnet::ipc;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span<const std::byte> bytes{reinterpret_cast<const std::byte*>(data + 1), size - 1};
  const auto view = parse_frame(bytes, data[0]);
  if (!view) return 0;
  const auto* end = bytes.data() + bytes.size();
  const auto* name = reinterpret_cast<const std::byte*>(view->name.data());
  const bool inside = name >= bytes.data() && name + view->name.size() <= end && view->data.data() >= bytes.data() &&
                      view->data.data() + view->data.size() <= end;
  if (!inside || view->header.fd_count != data[0] || view->data.size() > max_data_bytes) std::abort();
  return 0;
}
