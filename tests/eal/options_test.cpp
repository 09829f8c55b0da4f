// SPDX-License-Identifier: BSD-3-Clause
// What EAL's command line means, option by option, and what it answers to each mistake.
#include "eal/options.hpp"

#include <fmt/format.h>
#include <mpnet/error.hpp>

#include <catch2/catch.hpp>

using namespace mpnet;
using namespace mpnet::eal_detail;
using words = std::vector<std::string>;

namespace {

std::string text_of(const std::vector<lcore_place>& places) {
  std::string text;
  for (const lcore_place& p : places) {
    text += fmt::format("{}{}@", text.empty() ? "" : " ", p.id);
    for (std::size_t i = 0; i < p.processors.size(); ++i)
      text += fmt::format("{}{}", i == 0 ? "" : "+", p.processors[i]);
  }
  return text;
}

/// The text of the usage error that the arguments provoke.
std::string complaint(const words& arguments) {
  try {
    (void)parse_options(arguments);
  } catch (const error& e) {
    CHECK(e.exit_code() == 2);
    return e.what();
  }
  return "no complaint";
}

}  // namespace

TEST_CASE("an empty command line asks for a primary of group 'rte' and leaves the rest open", "[eal]") {
  const auto o = parse_options({});
  CHECK(o.lcores.empty());
  CHECK_FALSE(o.main_lcore);
  CHECK(o.group.type == process_type::primary);
  CHECK(o.group.file_prefix == "rte");
  CHECK(o.group.huge_dirs.empty());
  CHECK_FALSE(o.group.no_huge);
  CHECK_FALSE(o.group.memory_mib);
  CHECK_FALSE(o.group.devices);
  CHECK(o.application.empty());
}

TEST_CASE("each option sets what its name says, with a blank or an equals sign", "[eal]") {
  const auto o = parse_options(words{"-l",
                                     "0-2",
                                     "--main-lcore=1",
                                     "-n4",
                                     "-m",
                                     "256",
                                     "--proc-type",
                                     "auto",
                                     "--file-prefix=blue",
                                     "--huge-dir",
                                     "/mnt/huge",
                                     "--huge-dir=/mnt/huge1G",
                                     "--legacy-mem",
                                     "--single-file-segments",
                                     "--base-virtaddr",
                                     "0x300000000000",
                                     "-b",
                                     "01:00.1",
                                     "--block=0000:02:00.0",
                                     "--vdev",
                                     "net_null0,size=64",
                                     "--vdev=net_ring0",
                                     "--log-level",
                                     "lib.eal:debug",
                                     "--log-level=8",
                                     "-v",
                                     "--",
                                     "-p",
                                     "3"});
  CHECK(text_of(o.lcores) == "0@0 1@1 2@2");
  CHECK(o.main_lcore == 1U);
  CHECK(o.group.memory_channels == 4U);
  CHECK(o.group.memory_mib == 256U);
  CHECK(o.group.type == process_type::automatic);
  CHECK(o.group.file_prefix == "blue");
  CHECK(o.group.huge_dirs == words{"/mnt/huge", "/mnt/huge1G"});
  CHECK(o.group.legacy_mem);
  CHECK(o.group.base_address == 0x300000000000U);
  CHECK(o.blocked == words{"0000:01:00.1", "0000:02:00.0"});
  CHECK(o.vdevs == words{"net_null0,size=64", "net_ring0"});
  CHECK(o.group.devices == "vdev=net_null0,size=64 vdev=net_ring0 block=0000:01:00.1 block=0000:02:00.0");
  REQUIRE(o.log_levels.size() == 2);
  CHECK(o.log_levels[0] == std::pair<std::string, log_level>{"lib.eal", log_level::debug});
  CHECK(o.log_levels[1] == std::pair<std::string, log_level>{"", log_level::debug});
  CHECK(o.show_version);
  CHECK(o.application == words{"-p", "3"});
}

TEST_CASE("the other memory and device options are read too", "[eal]") {
  const auto o = parse_options(words{"--socket-mem=512,0", "--no-huge", "-a", "01:00.0,tx=1", "--proc-type=secondary"});
  CHECK(o.group.socket_memory_mib == std::vector<std::uint64_t>{512, 0});
  CHECK(o.group.no_huge);
  CHECK(o.allowed == words{"0000:01:00.0,tx=1"});
  CHECK(o.group.devices == "allow=0000:01:00.0,tx=1");
  CHECK(o.group.type == process_type::secondary);
  CHECK(parse_options(words{"--numa-mem", "64"}).group.socket_memory_mib == std::vector<std::uint64_t>{64});
  CHECK(parse_options(words{"--no-pci"}).group.devices == "no-pci");
}

TEST_CASE("device options compare equal in any order of allowed devices", "[eal]") {
  const auto a = parse_options(words{"-a", "01:00.0", "-a", "02:00.0"}).group.devices;
  CHECK(a == parse_options(words{"--allow=0000:02:00.0", "-a01:00.0"}).group.devices);
}

TEST_CASE("core masks, lists and maps follow DPDK's grammar", "[eal]") {
  struct row {
    const char* option;
    const char* value;
    const char* places;
  };
  const row rows[] = {
      {"-c", "3", "0@0 1@1"},
      {"-c", "0x105", "0@0 2@2 8@8"},
      {"-c", "F0", "4@4 5@5 6@6 7@7"},
      {"-l", "0-2,5", "0@0 1@1 2@2 5@5"},
      {"-l", " 1 , 3 ", "1@1 3@3"},
      {"-l", "1,0,1", "0@0 1@1"},
      {"--lcores", "0-1", "0@0 1@1"},
      {"--lcores", "(0-3)@(0,1)", "0@0+1 1@0+1 2@0+1 3@0+1"},
      {"--lcores", "0@0,1@0", "0@0 1@0"},
      {"--lcores", "2@1,3@1", "2@1 3@1"},
      {"--lcores", "0-3@0", "0@0 1@0 2@0 3@0"},
      {"--lcores", "1@3-5", "1@3+4+5"},
      {"--lcores", "1,2@(5-7),(3-5)@(0,2),(0,6),7-8", "0@0+6 1@1 2@5+6+7 3@0+2 4@0+2 5@0+2 6@0+6 7@7 8@8"},
      {"--lcores", " ( 1 , 2 ) @ 0 , 4 ", "1@0 2@0 4@4"},
  };
  for (const row& r : rows) {
    INFO(r.option << " " << r.value);
    CHECK(text_of(parse_options(words{r.option, r.value}).lcores) == r.places);
  }
  CHECK(parse_options(words{"-l", "511"}).lcores[0].id == 511);
  CHECK(format_mask(parse_options(words{"-l", "0-1,4,511"}).lcores) == "8" + std::string(125, '0') + "13");
  CHECK(format_mask({}) == "0");
}

TEST_CASE("each malformed option is answered with its own cause and remedy", "[eal]") {
  struct row {
    words arguments;
    const char* text;
  };
  const row rows[] = {
      {{"--frobnicate"}, "option '--frobnicate': unknown; -h lists the options"},
      {{"-z"}, "option '-z': unknown; -h lists the options"},
      {{"stray"},
       "argument 'stray': not an option and not the value of one; arguments of an application go after '--'"},
      {{"--in-memory"},
       "option '--in-memory': not an option of mpnet: a group always has files, so that others can join; "
       "for a run without hugepages give --no-huge"},
      {{"--master-lcore=1"}, "option '--master-lcore': not an option of mpnet: renamed; give --main-lcore"},
      {{"-l"}, "option '-l': a value is missing; give -l LIST (lcores, as a list: 0-3,7)"},
      {{"-l", "-n", "4"}, "option '-l': a value is missing; give -l LIST (lcores, as a list: 0-3,7)"},
      {{"-l", "--"}, "option '-l': a value is missing; give -l LIST (lcores, as a list: 0-3,7)"},
      {{"--no-huge=1"}, "option '--no-huge=1': takes no value; leave out what follows it"},
      {{"-m", "8", "-m", "9"}, "option '-m': given twice; leave one out"},
      {{"-l", "0", "-c", "1"}, "option '-c 1': the lcores were given before ('-l 0'); keep one of -c, -l and --lcores"},
      {{"-c", "xyz"},
       "option '-c xyz': not a hexadecimal mask; set a bit for each lcore, as in -c 3 for lcores 0 and 1"},
      {{"-c", "0x"}, "option '-c 0x': not a hexadecimal mask; set a bit for each lcore, as in -c 3 for lcores 0 and 1"},
      {{"-c", "0"}, "option '-c 0': the mask is empty; set a bit for each lcore, as in -c 3 for lcores 0 and 1"},
      {{"-c", "1" + std::string(128, '0')}, "out of range; the highest is 511"},
      {{"-l", ""}, "option '-l ': a number is missing; give numbers and ranges such as 0-3,7"},
      {{"-l", "0,,1"}, "option '-l 0,,1': a number is missing; give numbers and ranges such as 0-3,7"},
      {{"-l", "0-"}, "option '-l 0-': '0-' is neither a number nor a range; give numbers and ranges such as 0-3,7"},
      {{"-l", "a"}, "option '-l a': 'a' is neither a number nor a range; give numbers and ranges such as 0-3,7"},
      {{"-l", "3-1"}, "option '-l 3-1': range '3-1' runs backwards; write 1-3"},
      {{"-l", "512"}, "option '-l 512': 512 is out of range; the highest number is 511"},
      {{"--lcores", ""}, "option '--lcores=': the map is empty; give one such as 0-1 or (0-3)@(0,1)"},
      {{"--lcores", "0@"}, "option '--lcores=0@': a set of processors is missing; give one such as 0-1 or (0,2)"},
      {{"--lcores", "@0"}, "option '--lcores=@0': a set of lcores is missing; give one such as 0-1 or (0,2)"},
      {{"--lcores", "(0-1"}, "option '--lcores=(0-1': the parenthesis before '0-1' is not closed; write (0,2-3)"},
      {{"--lcores", "()"}, "option '--lcores=()': a set of lcores is empty; write at least one number into it"},
      {{"--lcores", "0@()"}, "option '--lcores=0@()': a set of processors is empty; write at least one number into it"},
      {{"--lcores", "0-3@0,1"},
       "option '--lcores=0-3@0,1': lcore 1 appears twice; list it once, and put several "
       "processors in parentheses, as in (0-3)@(0,1)"},
      {{"--lcores", "(0)1"}, "option '--lcores=(0)1': unexpected '1'; separate entries by commas, as in 0@0,(1-3)@1"},
      {{"--lcores", "0@1024"}, "option '--lcores=0@1024': 1024 is out of range; the highest number is 1023"},
      {{"--main-lcore", "x"}, "option '--main-lcore=x': 'x' is not a number; give a number from 0 to 511"},
      {{"-l", "0-1", "--main-lcore=2"}, "option '--main-lcore=2': not among the lcores of '-l 0-1'; give one of those"},
      {{"-n", "0"}, "option '-n 0': 0 is out of range; give a number from 1 to 32"},
      {{"-m", "lots"}, "option '-m lots': 'lots' is not a number; give a number from 1 to 16777216"},
      {{"-m", "0"}, "option '-m 0': 0 is out of range; give a number from 1 to 16777216"},
      {{"--socket-mem", "1,x"}, "option '--socket-mem=1,x': 'x' is not a number; give a number from 0 to 16777216"},
      {{"--socket-mem", "0,0"},
       "option '--socket-mem=0,0': no node has memory; give the MiB of each NUMA node, as in 512,512"},
      {{"--socket-mem", "1,1,1,1,1,1,1,1,1"},
       "option '--socket-mem=1,1,1,1,1,1,1,1,1': 9 values; there are at most 8 NUMA nodes"},
      {{"-m", "1", "--socket-mem", "1"}, "options '-m' and '--socket-mem': both cap the memory; keep one of them"},
      {{"--proc-type", "master"},
       "option '--proc-type=master': 'master' is not a process type; give primary, secondary or auto"},
      {{"--file-prefix", "a/b"},
       "option '--file-prefix=a/b': not usable in file names; give 1 to 63 characters without "
       "'/' or blanks, not starting with '.'"},
      {{"--file-prefix="},
       "option '--file-prefix=': not usable in file names; give 1 to 63 characters without '/' or "
       "blanks, not starting with '.'"},
      {{"--huge-dir", "huge"},
       "option '--huge-dir=huge': not an absolute path; give a directory such as /dev/hugepages"},
      {{"--no-huge", "--huge-dir=/x"}, "options '--no-huge' and '--huge-dir' contradict each other; keep one"},
      {{"--base-virtaddr", "0x1000"},
       "option '--base-virtaddr=0x1000': not a multiple of 1 GiB; give one such as 0x200000000000"},
      {{"--base-virtaddr", "12z"},
       "option '--base-virtaddr=12z': '12z' is not a number; give a number from 1 to 140737488355327"},
      {{"-a", "01:00"},
       "option '-a 01:00': '01:00' is not a PCI address; give one such as 0000:01:00.0 or 01:00.0 (lspci "
       "lists them)"},
      {{"-b", "0000:01:00.8"},
       "option '-b 0000:01:00.8': '0000:01:00.8' is not a PCI address; give one such as "
       "0000:01:00.0 or 01:00.0 (lspci lists them)"},
      {{"-a", "01:00.0", "-b", "02:00.0"},
       "options '-a' and '-b': either name the devices to use or those to leave alone; keep one of them"},
      {{"-a", "01:00.0", "--no-pci"}, "options '-a' and '--no-pci' contradict each other; keep one of them"},
      {{"--vdev", ",x=1"},
       "option '--vdev=,x=1': '' is not a device name; give a driver and a number, then arguments: "
       "net_af_packet0,iface=veth0"},
      {{"--vdev=net_null0", "--vdev=net_null0,size=9"},
       "option '--vdev=net_null0,size=9': device 'net_null0' is given twice; number its devices, as in net_null0 and "
       "net_null1"},
      {{"--log-level", "9"},
       "option '--log-level=9': log level '9': not a level; give 1 to 8, or emergency, alert, "
       "critical, error, warning, notice, info or debug"},
      {{"--log-level", ":8"},
       "option '--log-level=:8': the component before ':' is missing; give one such as lib.eal:debug"},
      {{"--log-level", "lib.*,8"},
       "option '--log-level=lib.*,8': a regular expression, which mpnet does not read; give a glob: 'lib.*:debug'"},
  };
  for (const row& r : rows) {
    const std::string answer = complaint(r.arguments);
    CHECK_THAT(answer, Catch::Contains(r.text));
    CHECK_THAT(answer, Catch::Contains(";"));
  }
}

TEST_CASE("option -h is answered whatever else stands on the line, but not after '--'", "[eal]") {
  CHECK(parse_options(words{"--frobnicate", "-h"}).show_help);
  CHECK(parse_options(words{"--help"}).show_help);
  CHECK_FALSE(parse_options(words{"--", "-h"}).show_help);
  const std::string text = help_text("probe");
  for (const char* name : {"-c",
                           "-l",
                           "--lcores",
                           "--main-lcore",
                           "-n",
                           "-m",
                           "--socket-mem",
                           "--numa-mem",
                           "--proc-type",
                           "--file-prefix",
                           "--huge-dir",
                           "--no-huge",
                           "--legacy-mem",
                           "--single-file-segments",
                           "--base-virtaddr",
                           "-a, --allow",
                           "-b, --block",
                           "--no-pci",
                           "--vdev",
                           "--log-level",
                           "-v",
                           "-h"})
    CHECK_THAT(text, Catch::Contains(std::string{"  "} + name));
}

TEST_CASE("as many devices may be named as there are ports, and one more is refused", "[eal][options]") {
  words line;
  for (std::size_t i = 0; i < mpnet::max_ports; ++i) line.push_back("--vdev=net_null" + std::to_string(i));
  CHECK(parse_options(line).vdevs.size() == mpnet::max_ports);
  line.emplace_back("--vdev=net_null_more");
  CHECK_THROWS_WITH(parse_options(line), Catch::Contains("more than 32 devices"));
}
