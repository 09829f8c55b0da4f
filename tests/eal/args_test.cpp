// SPDX-License-Identifier: BSD-3-Clause
// Command lines of applications.
#include <mpnet/args.hpp>
#include <mpnet/error.hpp>

#include <catch2/catch.hpp>

using namespace mpnet;
using words = std::vector<std::string>;

namespace {

struct app {
  std::uint64_t mask = 0;
  std::uint64_t count = 0;
  bool flag = false;
  std::size_t parse(const words& arguments) {
    return parse_args(arguments, {
                                     {.short_name = 'p',
                                      .value_name = "PORTMASK",
                                      .help = "ports to use",
                                      .required = true,
                                      .set = [this](auto v) { mask = parse_mask(v); }},
                                     {.long_name = "num-procs",
                                      .value_name = "N",
                                      .help = "processes",
                                      .set = [this](auto v) { count = parse_number(v, 1, 16); }},
                                     {.short_name = 'f', .help = "float", .set = [this](auto) { flag = true; }},
                                 });
  }
  std::string complaint(const words& arguments) {
    try {
      parse(arguments);
    } catch (const error& e) {
      CHECK(e.exit_code() == 2);
      return e.what();
    }
    return "no complaint";
  }
};

}  // namespace

TEST_CASE("an application's options are read in each of their spellings", "[eal]") {
  for (const words& w : {words{"-p", "3", "--num-procs", "2", "-f"}, words{"-fp3", "--num-procs=2"},
                         words{"--num-procs=2", "-f", "-p=0x3"}}) {
    app a;
    CHECK(a.parse(w) == w.size());
    CHECK(a.mask == 3);
    CHECK(a.count == 2);
    CHECK(a.flag);
  }
  app a;
  CHECK(a.parse({"-p", "f", "--", "-f"}) == 3);
  CHECK_FALSE(a.flag);
}

TEST_CASE("an application's mistakes are named", "[eal]") {
  app a;
  CHECK(a.complaint({}) == "option '-p' is missing; give -p PORTMASK (ports to use)");
  CHECK(a.complaint({"-p", "0"}) ==
        "option '-p 0': the mask is empty; set a bit for each that is wanted, as in 0x3 for 0 and 1");
  CHECK(a.complaint({"-p", "3", "--num-procs=17"}) ==
        "option '--num-procs=17': 17 is out of range; give a number from 1 to 16");
  CHECK(a.complaint({"-p", "3", "-x"}) == "option '-x': unknown; there are -p, --num-procs, -f");
  CHECK(a.complaint({"-p"}) == "option '-p': a value is missing; give -p PORTMASK (ports to use)");
}

TEST_CASE("numbers, masks and lists say what is wrong with them", "[eal]") {
  CHECK(parse_number("0x10") == 16);
  CHECK(parse_number("18446744073709551615") == ~0ULL);
  CHECK_THROWS_AS(parse_number("18446744073709551616"), error);
  CHECK_THROWS_AS(parse_number("-1"), error);
  CHECK_THROWS_AS(parse_number(" 1"), error);
  CHECK_THROWS_AS(parse_number(""), error);
  CHECK(parse_mask("ffffffffffffffff") == ~0ULL);
  CHECK_THROWS_AS(parse_mask("1ffffffffffffffff"), error);
  const auto list = parse_list("7,0-2,1", 9);
  CHECK(list == std::vector<unsigned>{0, 1, 2, 7});
  CHECK(format_list(list) == "0-2,7");
  CHECK(format_list({}).empty());
  CHECK_THROWS_AS(parse_list("0-4294967296", 9), error);
}
