// SPDX-License-Identifier: BSD-3-Clause
#include "eal/machine.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <mpnet/args.hpp>
#include <mpnet/error.hpp>
#include <mpnet/lcore.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace mpnet {
namespace eal_detail {
namespace {

std::vector<unsigned> online_processors() {
  std::ifstream file{"/sys/devices/system/cpu/online"};
  if (std::string text; file >> text) {
    try {
      return parse_list(text, max_processors - 1);
    } catch (const error&) {  // not in the form that the kernel documents: count them
    }
  }
  const long count = std::max(1L, sysconf(_SC_NPROCESSORS_ONLN));
  std::vector<unsigned> all;
  for (unsigned i = 0; i < static_cast<unsigned long>(count) && i < max_processors; ++i) all.push_back(i);
  return all;
}

bool contains(std::span<const unsigned> sorted, unsigned n) {
  return std::binary_search(sorted.begin(), sorted.end(), n);
}

std::string map_remedy(std::span<const lcore_place> lcores, const machine& m) {
  std::vector<unsigned> ids;
  for (const lcore_place& place : lcores) ids.push_back(place.id);
  return fmt::format("name others, or let lcores share processors: --lcores '({})@({})'", format_list(ids),
                     format_list(m.allowed));
}

}  // namespace

machine read_machine() {
  machine m;
  m.online = online_processors();
  m.allowed = thread_processors();
  return m;
}

std::vector<lcore_place> place_lcores(const parsed_options& options, const machine& m) {
  std::vector<lcore_place> lcores = options.lcores;
  if (lcores.empty()) {
    for (const unsigned p : m.allowed)
      if (p < max_lcores) lcores.push_back({p, {p}});
  }
  for (const lcore_place& place : lcores) {
    for (const unsigned p : place.processors) {
      if (contains(m.allowed, p)) continue;
      const std::string cause =
          contains(m.online, p)
              ? fmt::format("this process may not run on processor {} (only on {})", p, format_list(m.allowed))
              : fmt::format("processor {} does not exist (this machine has {})", p, format_list(m.online));
      throw error{errc::not_found, fmt::format("lcore {} of '{}': {}; {}", place.id, options.lcores_option, cause,
                                               map_remedy(lcores, m))};
    }
  }
  const bool main_listed = !options.main_lcore || std::any_of(lcores.begin(), lcores.end(), [&](const auto& p) {
    return p.id == *options.main_lcore;
  });
  if (!main_listed) {
    throw error{errc::usage,
                fmt::format("option '--main-lcore={}': not among this process's lcores; give one of those, or "
                            "name it with -l or --lcores",
                            *options.main_lcore)};
  }
  return lcores;
}

cpu_set_t thread_affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0)
    throw error{errc::system, fmt::format("read the thread's affinity: {}; is this machine larger than {} processors?",
                                          std::strerror(errno), max_processors)};
  return set;
}

void set_thread_affinity(const cpu_set_t& set) {
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    std::vector<unsigned> processors;
    for (unsigned i = 0; i < max_processors; ++i)
      if (CPU_ISSET(i, &set)) processors.push_back(i);
    throw error{errc::system, fmt::format("pin a thread to processors {}: {}; name processors that it may run on",
                                          format_list(processors), std::strerror(errno))};
  }
}

void pin_thread(std::span<const unsigned> processors) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const unsigned p : processors) {
    if (p >= max_processors)
      throw error{errc::invalid_argument, fmt::format("processor {}: the highest is {}", p, max_processors - 1)};
    CPU_SET(p, &set);
  }
  set_thread_affinity(set);
}

}  // namespace eal_detail

std::vector<unsigned> thread_processors() {
  const cpu_set_t set = eal_detail::thread_affinity();
  std::vector<unsigned> result;
  for (unsigned i = 0; i < eal_detail::max_processors; ++i)
    if (CPU_ISSET(i, &set)) result.push_back(i);
  return result;
}

socket_id socket_of_processor(unsigned processor) {
  for (std::int16_t node = 0; node < static_cast<std::int16_t>(max_sockets); ++node) {
    const std::string link = fmt::format("/sys/devices/system/cpu/cpu{}/node{}", processor, node);
    if (access(link.c_str(), F_OK) == 0) return socket_id{node};
  }
  return socket_id{0};
}

socket_id current_socket() {
  std::optional<socket_id> common;
  for (const unsigned p : thread_processors()) {
    const socket_id s = socket_of_processor(p);
    if (common && *common != s) return any_socket;
    common = s;
  }
  return common.value_or(any_socket);
}

}  // namespace mpnet
