// SPDX-License-Identifier: BSD-3-Clause
// Reading capture files.  Control.
#include <errno.h>
#include <fmt/format.h>
#include <mpnet/error.hpp>

#include <cstdio>

#include "mem/system.hpp"
#include "nic/vdev/pcap.hpp"

namespace mpnet::nic {

capture read_capture(const std::string& device, const std::string& path) {
  const auto failed = [&](errc kind, const std::string& why, const char* remedy) {
    return error{kind, fmt::format("device '{}': read capture '{}': {}{}", device, path, why, remedy)};
  };
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) {
    const int number = errno;
    if (number == ENOENT) throw failed(errc::not_found, "there is no such file", "; check rx_pcap=");
    throw mem::system_error(fmt::format("device '{}': open capture '{}'", device, path), number);
  }
  char text[PCAP_ERRBUF_SIZE] = "";
  const pcap_handle handle{::pcap_fopen_offline(file, text)};  // owns the file from here on, if it is one
  if (handle == nullptr) {
    std::fclose(file);
    throw failed(errc::corrupt, text, "; give a file that tcpdump -r can read");
  }
  if (::pcap_datalink(handle.get()) != DLT_EN10MB) {
    throw failed(errc::unsupported,
                 fmt::format("its packets are not Ethernet but link type {}", ::pcap_datalink(handle.get())), "");
  }
  capture c;
  c.starts.push_back(0);
  pcap_pkthdr* head = nullptr;
  const u_char* bytes = nullptr;
  int status = 0;
  while ((status = ::pcap_next_ex(handle.get(), &head, &bytes)) == 1) {
    const auto* from = reinterpret_cast<const std::byte*>(bytes);
    c.bytes.insert(c.bytes.end(), from, from + head->caplen);
    c.starts.push_back(c.bytes.size());
  }
  if (status != PCAP_ERROR_BREAK) {
    throw failed(errc::corrupt, fmt::format("after {} packets: {}", c.count(), ::pcap_geterr(handle.get())),
                 "; the file is cut off or damaged: capture it again, or repair it with editcap");
  }
  return c;
}

}  // namespace mpnet::nic
