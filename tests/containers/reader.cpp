// SPDX-License-Identifier: BSD-3-Clause
// container_reader GROUP COUNT FOUND: finds what container_writer left, another program, and adds keys of its own.
#include <mpnet/eal.hpp>

#include <string>

#include "table.hpp"

int main(int argc, char** argv) {
  return mpnet::run_main([&] {
    if (argc != 4) return 2;
    mpnet::group g{{.file_prefix = argv[1], .type = mpnet::process_type::secondary}};
    const std::uint64_t found = std::stoull(argv[3]);
    {
      containers::guard inside{containers::find_table(g)};
      for (std::uint64_t i = 0; i < found; ++i) {
        if (containers::has(inside, "writer", i) != (i % 2 != 0)) return 4;
      }
    }
    return containers::work(g, "reader", std::stoull(argv[2]));
  });
}
