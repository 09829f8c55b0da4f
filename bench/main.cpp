// SPDX-License-Identifier: BSD-3-Clause
// mpnet-bench: the subcommands, and what a failure looks like.
#include "matrix.hpp"

#include <mpnet/log.hpp>

#include <cstdio>
#include <exception>

namespace {

int dispatch(const bench::options& o) {
  if (o.command == "ring") return bench::run_ring(o);
  if (o.command == "pool") return bench::run_pool(o);
  if (o.command == "forward") return bench::run_forward(o);
  if (o.command == "nic") return bench::run_nic(o);
  if (o.command == "kill") return bench::run_kill(o);
  if (o.command == "attach") return bench::run_attach(o);
  if (o.command == "recover") return bench::run_recover(o);
  if (o.command == "ipc") return bench::run_ipc(o);
  if (o.command == "report") return bench::run_report(o);
  bench::print_help();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    mpnet::set_log_level("", mpnet::log_level::warning);
    return dispatch(bench::parse_options(argc, argv));
  } catch (const bench::usage_error& e) {
    std::fprintf(stderr, "mpnet-bench: %s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "mpnet-bench: %s\n", e.what());
    return 1;
  }
}
