#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# l2fwd_fork: each mistake on its command line has an answer of its own, and leaves nothing behind.
. "$(dirname "$0")/lib.sh"
eal=(-n 4 --no-huge -m 64 --file-prefix "$prefix" --vdev net_null0 --vdev net_null1)

no() { # TEXT CODE PATTERN LCORES ARGUMENTS…
  local text=$1 code=$2 pattern=$3 lcores=$4
  shift 4
  expect "$text" refuses l2fwd_fork "$code" "$pattern" --lcores "$lcores" "${eal[@]}" "$@"
}
no "two lcores" 1 '2 lcores are too few' 2@0,3@1 -- -p 3
no "four ports, two workers" 1 'too few.*4 workers' 2@0,3@1,4@0 --vdev net_null2 --vdev net_null3 -- -p f
no "a port without a partner" 1 '3 ports cannot be paired: port 2 has no partner' 2@0,3@1,4@0,5@1 --vdev net_null2 -- -p 7
no "a port that does not exist" 1 'port 2 does not exist' 2@0,3@1,4@0 -- -p c
no "no port mask" 2 '-p' 2@0,3@1,4@0 --
no "a worker without ports" 2 '-q' 2@0,3@1,4@0 -- -p 3 -q 0
no "statistics every moment" 2 '-T' 2@0,3@1,4@0 -- -p 3 -T often
no "an unknown option" 2 'bogus' 2@0,3@1,4@0 -- -p 3 --bogus
expect "nothing is left behind" nothing_left
exit $((problems > 0))
