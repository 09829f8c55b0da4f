// SPDX-License-Identifier: BSD-3-Clause
// The table of EAL's options.  Each entry turns its text into fields of parsed_options; what contradicts what is
// checked at the end.  Options of DPDK's that mpnet has no use for get an answer of their own.
#include "eal/options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <mpnet/args.hpp>
#include <mpnet/error.hpp>

#include <algorithm>
#include <array>
#include <cctype>

namespace mpnet::eal_detail {
namespace {

constexpr std::uint64_t max_memory_mib = 16ULL << 20;  // 16 TiB
constexpr std::uint64_t max_address = 1ULL << 47;

[[noreturn]] void fail(std::string text) {
  throw error{errc::usage, std::move(text)};
}

void set_lcores(parsed_options& to, std::string written, std::vector<lcore_place> lcores) {
  if (!to.lcores.empty()) {
    fail(fmt::format("the lcores were given before ('{}'); keep one of -c, -l and --lcores", to.lcores_option));
  }
  to.lcores = std::move(lcores);
  to.lcores_option = std::move(written);
}

process_type parse_process_type(std::string_view text) {
  if (text == "primary") return process_type::primary;
  if (text == "secondary") return process_type::secondary;
  if (text == "auto") return process_type::automatic;
  fail(fmt::format("'{}' is not a process type; give primary, secondary or auto", text));
}

std::string parse_prefix(std::string_view text) {
  const bool plain =
      std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > ' ' && c != 0x7f && c != '/'; });
  if (text.empty() || text.size() > max_name_len || !plain || text.starts_with('.')) {
    fail(fmt::format("not usable in file names; give 1 to {} characters without '/' or blanks, not starting with '.'",
                     max_name_len));
  }
  return std::string{text};
}

std::string parse_directory(std::string_view text) {
  if (!text.starts_with('/')) fail("not an absolute path; give a directory such as /dev/hugepages");
  return std::string{text};
}

std::vector<std::uint64_t> parse_socket_memory(std::string_view text) {
  std::vector<std::uint64_t> mib;
  std::string_view rest = text;
  for (bool more = true; more;) {
    const auto comma = rest.find(',');
    more = comma != rest.npos;
    mib.push_back(parse_number(rest.substr(0, comma), 0, max_memory_mib));
    if (more) rest.remove_prefix(comma + 1);
  }
  if (mib.size() > max_sockets)
    fail(fmt::format("{} values; there are at most {} NUMA nodes", mib.size(), max_sockets));
  if (std::all_of(mib.begin(), mib.end(), [](auto m) { return m == 0; }))
    fail("no node has memory; give the MiB of each NUMA node, as in 512,512");
  return mib;
}

std::uint64_t parse_base(std::string_view text) {
  const std::uint64_t address = parse_number(text, 1, max_address - 1);
  if (address % (1ULL << 30) != 0) fail("not a multiple of 1 GiB; give one such as 0x200000000000");
  return address;
}

void parse_log_option(parsed_options& to, std::string_view text) {
  if (text.find(',') != text.npos) fail("a regular expression, which mpnet does not read; give a glob: 'lib.*:debug'");
  const auto colon = text.rfind(':');
  const std::string_view glob = colon == text.npos ? std::string_view{} : text.substr(0, colon);
  if (colon != text.npos && glob.empty()) fail("the component before ':' is missing; give one such as lib.eal:debug");
  to.log_levels.emplace_back(glob, parse_log_level(colon == text.npos ? text : text.substr(colon + 1)));
}

void add_vdev(parsed_options& to, std::string_view text) {
  const std::string name = vdev_name(text);
  for (const std::string& other : to.vdevs)
    if (vdev_name(other) == name)
      fail(
          fmt::format("device '{}' is given twice; number its devices, as in net_null0 and "
                      "net_null1",
                      name));
  if (to.vdevs.size() == max_ports) throw error{errc::limit, fmt::format("more than {} devices", max_ports)};
  to.vdevs.emplace_back(text);
}

std::vector<option> option_table(parsed_options& to) {
  auto& g = to.group;
  return {
      {.short_name = 'c',
       .value_name = "MASK",
       .help = "lcores, as a hexadecimal mask",
       .set = [&](auto v) { set_lcores(to, fmt::format("-c {}", v), parse_core_mask(v)); }},
      {.short_name = 'l',
       .value_name = "LIST",
       .help = "lcores, as a list: 0-3,7",
       .set = [&](auto v) { set_lcores(to, fmt::format("-l {}", v), parse_core_list(v)); }},
      {.long_name = "lcores",
       .value_name = "MAP",
       .help = "lcores and their processors: (0-3)@(0,1)",
       .set = [&](auto v) { set_lcores(to, fmt::format("--lcores={}", v), parse_core_map(v)); }},
      {.long_name = "main-lcore",
       .value_name = "ID",
       .help = "main lcore; the lowest unless given",
       .set = [&](auto v) { to.main_lcore = static_cast<unsigned>(parse_number(v, 0, max_lcores - 1)); }},
      {.short_name = 'n',
       .value_name = "COUNT",
       .help = "memory channels; kept in the group's config, the same in all members",
       .set = [&](auto v) { g.memory_channels = static_cast<std::uint32_t>(parse_number(v, 1, 32)); }},
      {.short_name = 'm',
       .value_name = "MB",
       .help = "most memory that the group may take",
       .set = [&](auto v) { g.memory_mib = parse_number(v, 1, max_memory_mib); }},
      {.long_name = "socket-mem",
       .value_name = "MB,MB…",
       .help = "the same for each NUMA node",
       .set = [&](auto v) { g.socket_memory_mib = parse_socket_memory(v); }},
      {.long_name = "numa-mem",
       .value_name = "MB,MB…",
       .help = "another name of --socket-mem",
       .set = [&](auto v) { g.socket_memory_mib = parse_socket_memory(v); }},
      {.long_name = "proc-type",
       .value_name = "TYPE",
       .help = "primary (the default), secondary or auto",
       .set = [&](auto v) { g.type = parse_process_type(v); }},
      {.long_name = "file-prefix",
       .value_name = "NAME",
       .help = "name of the group; 'rte' unless given",
       .set = [&](auto v) { g.file_prefix = parse_prefix(v); }},
      {.long_name = "huge-dir",
       .value_name = "DIR",
       .help = "hugetlbfs mount to use; those mounted unless given",
       .repeatable = true,
       .set = [&](auto v) { g.huge_dirs.push_back(parse_directory(v)); }},
      {.long_name = "no-huge", .help = "pages of 4 KiB instead of hugepages", .set = [&](auto) { g.no_huge = true; }},
      {.long_name = "legacy-mem",
       .help = "take all memory at start, never grow",
       .set = [&](auto) { g.legacy_mem = true; }},
      {.long_name = "single-file-segments", .help = "accepted; it is always so"},
      {.long_name = "base-virtaddr",
       .value_name = "ADDR",
       .help = "address of the shared region",
       .set = [&](auto v) { g.base_address = parse_base(v); }},
      {.short_name = 'a',
       .long_name = "allow",
       .value_name = "PCI",
       .help = "use this PCI device, and no others; PCI,no_iommu=1: without an IOMMU",
       .repeatable = true,
       .set = [&](auto v) { to.allowed.push_back(parse_pci_address(v)); }},
      {.short_name = 'b',
       .long_name = "block",
       .value_name = "PCI",
       .help = "leave this PCI device alone",
       .repeatable = true,
       .set = [&](auto v) { to.blocked.push_back(parse_pci_address(v)); }},
      {.long_name = "no-pci", .help = "no PCI devices at all", .set = [&](auto) { to.no_pci = true; }},
      {.long_name = "vdev",
       .value_name = "DEVICE",
       .help = "make a virtual device: net_null0,size=64",
       .repeatable = true,
       .set = [&](auto v) { add_vdev(to, v); }},
      {.long_name = "log-level",
       .value_name = "LEVEL",
       .help = "8, debug, or lib.eal:debug; globs are read",
       .repeatable = true,
       .set = [&](auto v) { parse_log_option(to, v); }},
      {.short_name = 'v', .help = "print the version", .set = [&](auto) { to.show_version = true; }},
      {.short_name = 'h',
       .long_name = "help",
       .help = "print this and leave",
       .set = [&](auto) { to.show_help = true; }},
  };
}

/// DPDK's options that are not here, and what to do instead.
struct foreign_option {
  std::string_view name;
  std::string_view remedy;
};
constexpr std::array foreign_options{
    foreign_option{"--master-lcore", "renamed; give --main-lcore"},
    foreign_option{"--pci-whitelist", "renamed; give -a"},
    foreign_option{"-w", "renamed; give -a"},
    foreign_option{"--pci-blacklist", "renamed; give -b"},
    foreign_option{"--in-memory",
                   "a group always has files, so that others can join; for a run without hugepages give "
                   "--no-huge"},
    foreign_option{"--no-shconf",
                   "a group always has a config file; for a private one give a --file-prefix of its own"},
    foreign_option{"--huge-unlink", "the last member removes the files; leave it out"},
    foreign_option{"--iova-mode",
                   "devices say it themselves: behind an IOMMU addresses are mpnet's own, with -a "
                   "PCI,no_iommu=1 physical; leave it out"},
    foreign_option{"--no-telemetry", "there is no telemetry socket; leave it out"},
    foreign_option{"--telemetry", "there is no telemetry socket; leave it out"},
    foreign_option{"--no-hpet", "time comes from the TSC or the monotonic clock; leave it out"},
    foreign_option{"--vmware-tsc-map", "time comes from the TSC or the monotonic clock; leave it out"},
    foreign_option{"--match-allocations", "pages are shared by allocations; leave it out"},
    foreign_option{"--socket-limit", "give --socket-mem, which is the cap"},
    foreign_option{"--syslog", "log lines go to stderr; leave it out"},
    foreign_option{"--create-uio-dev", "devices are driven through VFIO only; leave it out"},
    foreign_option{"--vfio-intr", "chosen by the driver; leave it out"},
    foreign_option{"--vfio-vf-token", "not supported; leave it out"},
    foreign_option{"-d", "drivers are linked in; leave it out"},
    foreign_option{"-r", "memory ranks are not used; leave it out"},
    foreign_option{"-s", "there are no service cores; leave it out"},
    foreign_option{"-S", "there are no service cores; leave it out"},
};

/// Reports an option of DPDK's by name where one stands in the place of an option.
void check_foreign(std::span<const std::string> arguments) {
  for (const std::string& argument : arguments) {
    if (argument == "--") return;
    const std::string_view name = std::string_view{argument}.substr(0, argument.find('='));
    for (const foreign_option& f : foreign_options)
      if (name == f.name) fail(fmt::format("option '{}': not an option of mpnet: {}", f.name, f.remedy));
  }
}

void check_together(parsed_options& to) {
  const auto& g = to.group;
  if (g.memory_mib && !g.socket_memory_mib.empty())
    fail("options '-m' and '--socket-mem': both cap the memory; keep one of them");
  if (!to.allowed.empty() && !to.blocked.empty())
    fail("options '-a' and '-b': either name the devices to use or those to leave alone; keep one of them");
  if (!to.allowed.empty() && to.no_pci) fail("options '-a' and '--no-pci' contradict each other; keep one of them");
  if (g.no_huge && !g.huge_dirs.empty()) fail("options '--no-huge' and '--huge-dir' contradict each other; keep one");
  if (to.main_lcore && !to.lcores.empty()) {
    const bool listed =
        std::any_of(to.lcores.begin(), to.lcores.end(), [&](const auto& p) { return p.id == *to.main_lcore; });
    if (!listed) {
      fail(fmt::format("option '--main-lcore={}': not among the lcores of '{}'; give one of those", *to.main_lcore,
                       to.lcores_option));
    }
  }
}

/// One text for all device options, the same however they were ordered within their kind; empty where none was given.
std::optional<std::string> canonical_devices(const parsed_options& from) {
  std::vector<std::string> parts;
  auto add = [&](std::string_view key, std::vector<std::string> values, bool sorted) {
    if (sorted) std::sort(values.begin(), values.end());
    for (const std::string& value : values) parts.push_back(fmt::format("{}={}", key, value));
  };
  add("vdev", from.vdevs, false);
  add("allow", from.allowed, true);
  add("block", from.blocked, true);
  if (from.no_pci) parts.emplace_back("no-pci");
  if (parts.empty()) return {};
  return fmt::format("{}", fmt::join(parts, " "));
}

}  // namespace

parsed_options parse_options(std::span<const std::string> arguments) {
  parsed_options result;
  const auto table = option_table(result);
  const auto asks_help = [](const std::string& a) { return a == "-h" || a == "--help"; };
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  if (std::any_of(arguments.begin(), end, asks_help)) {
    result.show_help = true;
    return result;
  }
  std::size_t used = 0;
  try {
    used = parse_args(arguments, table);
  } catch (const error&) {
    check_foreign(arguments);  // a better answer, where the culprit is an option of DPDK's
    throw;
  }
  result.application.assign(arguments.begin() + static_cast<std::ptrdiff_t>(used), arguments.end());
  check_together(result);
  result.group.devices = canonical_devices(result);
  return result;
}

std::string help_text(std::string_view program) {
  parsed_options unused;
  return fmt::format(
      "Usage: {} [EAL options] [-- application options]\n\nEAL options:\n{}\nA member that attaches takes memory and "
      "device options from the group; it need not repeat them.\n",
      program, describe_options(option_table(unused)));
}

std::string parse_pci_address(std::string_view text) {
  const std::string_view address = text.substr(0, text.find(','));
  const std::string_view arguments = text.substr(address.size());
  const std::string_view full = address;
  const auto colons = std::count(full.begin(), full.end(), ':');
  const auto hex = [](std::string_view digits, std::size_t least, std::size_t most) {
    return digits.size() >= least && digits.size() <= most &&
           std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
  };
  const auto first = full.find(':');
  const std::string domain{colons == 2 ? full.substr(0, first) : std::string_view{"0000"}};
  const std::string_view rest = colons == 2 ? full.substr(first + 1) : full;
  const auto colon = rest.find(':');
  const auto dot = rest.find('.');
  const bool shaped = (colons == 1 || colons == 2) && dot != rest.npos && colon < dot;
  if (!shaped || !hex(domain, 4, 4) || !hex(rest.substr(0, colon), 2, 2) ||
      !hex(rest.substr(colon + 1, dot - colon - 1), 2, 2) || rest.size() != dot + 2 || rest[dot + 1] < '0' ||
      rest[dot + 1] > '7') {
    fail(
        fmt::format("'{}' is not a PCI address; give one such as 0000:01:00.0 or 01:00.0 (lspci lists them)", address));
  }
  std::string result = fmt::format("{}:{}", domain, rest);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result.append(arguments);
}

std::string vdev_name(std::string_view text) {
  const std::string_view name = text.substr(0, text.find(','));
  const bool plain = std::all_of(name.begin(), name.end(),
                                 [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; });
  if (name.empty() || name.size() > max_name_len || !plain) {
    fail(
        fmt::format("'{}' is not a device name; give a driver and a number, then arguments: "
                    "net_af_packet0,iface=veth0",
                    name));
  }
  return std::string{name};
}

}  // namespace mpnet::eal_detail
