// SPDX-License-Identifier: BSD-3-Clause
// Starting and leaving, as real processes see it: logs, exit codes, who may join, signals.
#include <fmt/format.h>
#include <mpnet/args.hpp>
#include <mpnet/lcore.hpp>

#include <fstream>
#include <memory>

#include <catch2/catch.hpp>

#include "child.hpp"

using eal_test::child;
using words = std::vector<std::string>;

namespace {

std::string unique_prefix() {
  static int count = 0;
  return fmt::format("eal-{}-{}", getpid(), ++count);
}

unsigned first_processor() {
  return mpnet::thread_processors().front();
}

/// A probe with the lcores given, all on one processor, on 4 KiB pages unless `memory` says otherwise.
words probe(const std::string& prefix, const std::string& ids, const words& more = {}) {
  words w{EAL_PROBE, fmt::format("--lcores=({})@{}", ids, first_processor()), "--no-huge", "--file-prefix", prefix};
  w.insert(w.end(), more.begin(), more.end());
  return w;
}

/// The exit code; the output in `text`.
int run(const words& arguments, std::string& text) {
  child c{arguments};
  c.close_input();
  const int code = c.wait();
  text = c.output();
  return code;
}

}  // namespace

TEST_CASE("a usage error is told with its remedy and exit code 2, without starting anything", "[eal]") {
  std::string text;
  CHECK(run({EAL_PROBE, "--frobnicate"}, text) == 2);
  CHECK(text == "eal_probe: option '--frobnicate': unknown; -h lists the options\n");
  CHECK(run(probe(unique_prefix(), "0", {"--", "nonsense"}), text) == 2);
  CHECK_THAT(text, Catch::Contains("eal_probe: unknown command 'nonsense'; see eal_probe.cpp\n"));
}

TEST_CASE("option -h prints the options to stdout and exits 0", "[eal]") {
  std::string text;
  CHECK(run({EAL_PROBE, "-l", "0", "-h"}, text) == 0);
  CHECK_THAT(text, Catch::StartsWith("Usage: eal_probe [EAL options] [-- application options]\n"));
}

TEST_CASE("option -v prints the version and goes on", "[eal]") {
  std::string text;
  CHECK(run(probe(unique_prefix(), "0", {"-v"}), text) == 0);
  CHECK_THAT(text, Catch::Contains("EAL: mpnet version: '") && Catch::Contains("primary\n"));
}

TEST_CASE("an lcore on a processor that does not exist is an error with a way out, exit code 1", "[eal]") {
  std::string text;
  CHECK(run({EAL_PROBE, "-l", "511", "--file-prefix", unique_prefix()}, text) == 1);
  CHECK_THAT(text,
             Catch::Contains("eal_probe: lcore 511 of '-l 511': processor 511 does not exist (this machine has ") &&
                 Catch::Contains("; name others, or let lcores share processors: --lcores '(511)@("));
}

TEST_CASE("a processor outside the process's affinity is refused with those that it may use", "[eal]") {
  const auto processors = mpnet::thread_processors();
  if (processors.size() < 2) {
    WARN("SKIP: one processor only");
    return;
  }
  child c{{EAL_PROBE, fmt::format("--lcores=0@{}", processors[1]), "--file-prefix", unique_prefix()},
          {"taskset", "-c", std::to_string(processors[0])}};
  CHECK(c.wait() == 1);
  CHECK_THAT(c.output(), Catch::Contains(fmt::format("this process may not run on processor {} (only on {})",
                                                     processors[1], processors[0])));
}

TEST_CASE("start-up logs read as in DPDK's guide, in primary and secondary alike", "[eal]") {
  const std::string prefix = unique_prefix();
  child primary{probe(prefix, "0-1", {"-n", "4", "--", "hold"})};
  REQUIRE(primary.read_until("ready\n"));
  REQUIRE(primary.read_until("primary\nready\n"));
  child secondary{probe(prefix, "2-3", {"-n", "4", "--proc-type=secondary", "--", "hold"})};
  REQUIRE(secondary.read_until("secondary\nready\n"));
  for (const child* c : {&primary, &secondary}) {
    const bool first = c == &primary;
    CHECK_THAT(c->output(), Catch::Contains(first ? "EAL: coremask set to 3\n" : "EAL: coremask set to c\n"));
    CHECK_THAT(c->output(), Catch::Contains(fmt::format("EAL: Detected lcore {} on socket ", first_processor())));
    CHECK_THAT(c->output(), Catch::Contains("EAL: Ask a virtual area of 0x"));
    CHECK_THAT(c->output(), Catch::Contains("EAL: Virtual area found at 0x"));
    CHECK_THAT(c->output(),
               Catch::Contains(first ? "EAL: Main core 0 is ready (tid=" : "EAL: Main core 2 is ready (tid="));
    CHECK_THAT(c->output(), Catch::Contains(first ? "EAL: Core 1 is ready (tid=" : "EAL: Core 3 is ready (tid="));
  }
  secondary.close_input();
  CHECK(secondary.wait() == 0);
  primary.close_input();
  CHECK(primary.wait() == 0);
}

TEST_CASE("the pages that -m stands for are named in the log", "[eal]") {
  std::string text;
  CHECK(run(probe(unique_prefix(), "0", {"-m", "128"}), text) == 0);
  CHECK_THAT(text, Catch::Contains("EAL: Requesting 32768 pages of size 4096\n"));
  std::ifstream file{"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"};
  int free_pages = 0;
  if (!(file >> free_pages) || free_pages < 64) {
    WARN("SKIP: fewer than 64 free hugepages of 2 MiB");
    return;
  }
  CHECK(run({EAL_PROBE, fmt::format("--lcores=0@{}", first_processor()), "-m", "128", "--file-prefix", unique_prefix()},
            text) == 0);
  CHECK_THAT(text, Catch::Contains("EAL: Requesting 64 pages of size 2097152\n"));
}

TEST_CASE("a second primary, and a secondary without anyone, end with exit code 1 and a way out", "[eal][bad-input]") {
  const std::string prefix = unique_prefix();
  std::string text;
  CHECK(run(probe(prefix, "0", {"--proc-type=secondary"}), text) == 1);
  CHECK_THAT(text, Catch::Contains("no process of it lives; start one with --proc-type=primary"));
  child first{probe(prefix, "0", {"-n", "4", "--", "hold"})};
  REQUIRE(first.read_until("ready\n"));
  CHECK(run(probe(prefix, "1"), text) == 1);
  CHECK_THAT(text,
             Catch::Contains(fmt::format("process {} ('", first.pid())) && Catch::Contains(" is its primary; use "));
  CHECK(run(probe(prefix, "1", {"--proc-type=auto", "-n", "2"}), text) == 1);
  CHECK_THAT(text, Catch::Contains("-n 2 differs from the group's 4; leave the option out"));
  CHECK(run(probe(prefix, "1", {"--proc-type=auto", "--log-level=error"}), text) == 0);
  CHECK(text == "secondary\n");
  first.close_input();
  CHECK(first.wait() == 0);
}

TEST_CASE("log levels silence the start", "[eal]") {
  std::string text;
  CHECK(run(probe(unique_prefix(), "0", {"--log-level=error"}), text) == 0);
  CHECK(text == "primary\n");
}

TEST_CASE("the main lcore is the lowest unless told otherwise, threads are named and pinned", "[eal]") {
  const unsigned p = first_processor();
  std::string text;
  CHECK(run(probe(unique_prefix(), "3,5,100", {"--log-level=error", "--", "places"}), text) == 0);
  CHECK(text == fmt::format("primary\nmain lcore 3 on {0} named eal_probe\nlcore 5 on {0} named lcore-worker-5\n"
                            "lcore 100 on {0} named lcore-wrkr-100\n",
                            p));
  CHECK(run(probe(unique_prefix(), "3,5", {"--main-lcore=5", "--log-level=error", "--", "places"}), text) == 0);
  CHECK_THAT(text, Catch::Contains("main lcore 5 on ") && Catch::Contains("\nlcore 3 on "));
}

TEST_CASE("without an lcore option there is one for each processor that the process may use", "[eal]") {
  const unsigned p = first_processor();
  child c{{EAL_PROBE, "--no-huge", "--file-prefix", unique_prefix(), "--log-level=error", "--", "places"},
          {"taskset", "-c", std::to_string(p)}};
  CHECK(c.wait() == 0);
  CHECK(c.output() == fmt::format("primary\nmain lcore {0} on {0} named eal_probe\n", p));
}

TEST_CASE("an lcore of another member is refused, naming who holds it, and nothing is left behind", "[eal]") {
  const std::string prefix = unique_prefix();
  child holder{probe(prefix, "0-1", {"--", "hold"})};
  REQUIRE(holder.read_until("ready\n"));
  for (const char* taken : {"1-2", "2,1"}) {  // as main lcore, and as a worker
    std::string text;
    const bool as_worker = taken[0] == '2';
    words w = probe(prefix, taken, {"--proc-type=secondary"});
    if (as_worker) w.insert(w.end() - 1, "--main-lcore=2");
    CHECK(run(w, text) == 1);
    CHECK_THAT(text, Catch::Contains("lcore 1") && Catch::Contains(std::to_string(holder.pid())) &&
                         Catch::Contains("eal_probe"));
  }
  std::string text;
  CHECK(run(probe(prefix, "2-3", {"--proc-type=secondary"}), text) == 0);  // 2 came back
  holder.close_input();
  CHECK(holder.wait() == 0);
}

TEST_CASE("launching on an lcore that the process does not have says how to get more", "[eal]") {
  std::string text;
  CHECK(run(probe(unique_prefix(), "0", {"--", "no-worker"}), text) == 1);
  CHECK_THAT(text, Catch::Contains("launch: this process has no such lcore; start it with more lcores, as in -l 0-1"));
}

TEST_CASE("SIGINT and SIGTERM ask a process to stop and wake its sleepers", "[eal]") {
  for (const int number : {SIGINT, SIGTERM}) {
    child c{probe(unique_prefix(), "0-2", {"--", "until-signal"})};
    REQUIRE(c.read_until("ready\n"));
    c.signal(number);
    CHECK(c.wait() == 0);
    CHECK_THAT(c.output(), Catch::EndsWith("stopped\n"));
  }
}

TEST_CASE("without stop_on_signals the library leaves signals as they are", "[eal]") {
  const std::string prefix = unique_prefix();
  child c{probe(prefix, "0-1", {"--", "hold"})};
  REQUIRE(c.read_until("ready\n"));
  c.signal(SIGTERM);
  CHECK(c.wait() == 128 + SIGTERM);
  std::string text;  // and the next start finds lcores and files free again
  CHECK(run(probe(prefix, "0-1", {"--log-level=error"}), text) == 0);
  CHECK(text == "primary\n");
}

TEST_CASE("ports of the command line are made by the primary and found by members that name none", "[eal]") {
  const std::string prefix = unique_prefix();
  child primary{probe(prefix, "0", {"--vdev=net_null0,size=64", "--vdev", "net_null1", "--", "hold"})};
  REQUIRE(primary.read_until("ready\n"));
  const char* ports = "secondary\nport net_null0 size=64\nport net_null1 \n";
  std::string text;
  CHECK(run(probe(prefix, "1", {"--proc-type=secondary", "--log-level=error", "--", "ports"}), text) == 0);
  CHECK(text == ports);
  CHECK(run(probe(prefix, "1",
                  {"--proc-type=auto", "--vdev=net_null0,size=64", "--vdev=net_null1", "--log-level=error", "--",
                   "ports"}),
            text) == 0);  // the same command for all
  CHECK(text == ports);
  CHECK(run(probe(prefix, "1", {"--proc-type=auto", "--vdev=net_null0,size=65", "--", "ports"}), text) == 1);
  CHECK_THAT(text, Catch::Contains("differ from the group's 'vdev=net_null0,size=64 vdev=net_null1'; leave them out"));
  primary.close_input();
  CHECK(primary.wait() == 0);
}

TEST_CASE("a device that cannot be made ends the start and leaves nothing behind", "[eal]") {
  const std::string prefix = unique_prefix();
  std::string text;
  CHECK(run(probe(prefix, "0-1", {"--vdev=net_unheard_of0"}), text) == 1);
  CHECK_THAT(text, Catch::Contains("net_unheard_of0"));
  CHECK(run(probe(prefix, "0-1", {"--log-level=error", "--", "ports"}), text) == 0);
  CHECK(text == "primary\n");
}

TEST_CASE("members of a started group answer messages", "[eal]") {
  const std::string prefix = unique_prefix();
  child primary{probe(prefix, "0", {"--", "hold"})};
  REQUIRE(primary.read_until("ready\n"));
  std::string text;
  CHECK(run(probe(prefix, "1", {"--proc-type=secondary", "--log-level=error", "--", "message"}), text) == 0);
  CHECK(text == "secondary\nanswer: hello yourself\n");
  primary.close_input();
  CHECK(primary.wait() == 0);
}

TEST_CASE("subscribers hear of joins, deaths, recoveries and a vacant and a taken role", "[eal][crash]") {
  const std::string prefix = unique_prefix();
  auto primary = std::make_unique<child>(probe(prefix, "0", {"--", "hold"}));
  REQUIRE(primary->read_until("ready\n"));
  child listener{probe(prefix, "1", {"--proc-type=secondary", "--", "events"})};
  REQUIRE(listener.read_until("ready\n"));

  auto visitor = std::make_unique<child>(probe(prefix, "2-3", {"--proc-type=secondary", "--", "hold"}));
  REQUIRE(listener.read_until(fmt::format("event: process {} ('", visitor->pid())));
  visitor->signal(SIGKILL);
  CHECK(visitor->wait() == 128 + SIGKILL);
  REQUIRE(listener.read_until(fmt::format("event: process {} is recovered: ", visitor->pid())));
  CHECK_THAT(listener.output(), Catch::Contains("') joined\n") && Catch::Contains("died\n"));

  visitor = std::make_unique<child>(probe(prefix, "2-3", {"--proc-type=secondary", "--", "hold"}));
  REQUIRE(visitor->read_until("ready\n"));
  REQUIRE(listener.read_until(fmt::format("event: process {} ('", visitor->pid())));
  visitor->close_input();
  CHECK(visitor->wait() == 0);
  REQUIRE(listener.read_until(fmt::format("event: process {} left\n", visitor->pid())));

  primary->signal(SIGKILL);
  CHECK(primary->wait() == 128 + SIGKILL);
  REQUIRE(listener.read_until("event: nobody holds the primary role\n"));
  primary = std::make_unique<child>(probe(prefix, "0", {"--", "hold"}));
  REQUIRE(primary->read_until("primary\nready\n"));
  REQUIRE(listener.read_until("is the primary now\n"));

  listener.close_input();
  CHECK(listener.wait() == 0);
  primary->close_input();
  CHECK(primary->wait() == 0);
}
