// SPDX-License-Identifier: BSD-3-Clause
// container_writer GROUP COUNT: fills the containers.  container_writer GROUP die: is killed while it changes them.
#include <signal.h>
#include <mpnet/eal.hpp>

#include <string>

#include "table.hpp"

int main(int argc, char** argv) {
  return mpnet::run_main([&] {
    if (argc != 3) return 2;
    mpnet::group g{{.file_prefix = argv[1], .type = mpnet::process_type::secondary}};
    if (std::string_view{argv[2]} != "die") return containers::work(g, "writer", std::stoull(argv[2]));
    containers::table& t = containers::find_table(g);
    containers::guard inside{t};
    for (std::uint64_t i = 0; i < 10; ++i) containers::insert(inside, "writer", i);
    return ::raise(SIGKILL);
  });
}
