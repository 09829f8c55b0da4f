#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The mpnet tool beside a living and a dead group.
. "$(dirname "$0")/../examples/lib.sh"
tool=$BUILD/tools/mpnet
run_app symmetric_mp "$work/app.log" --lcores 5@0 -n 4 --proc-type=auto --file-prefix "$prefix" --no-huge -m 64 \
  --vdev net_null0 --vdev net_null1 -- -p 3 --num-procs 2 --proc-id 0
app=$started
wait_for_line "$work/app.log" '^forwarding' 20 "$app" || fail "the application did not start"
"$tool" ps --file-prefix "$prefix" >"$work/ps.log"
expect "ps shows the member, its role, pid, state and lcore" has "$work/ps.log" "primary +$app alive +5 "
"$tool" ps --json >"$work/json.log"
expect "ps --json is JSON, a line a member" python3 -c 'import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
sys.exit(not any(r["group"] == sys.argv[2] and r["pid"] == int(sys.argv[3]) for r in rows))' "$work/json.log" "$prefix" "$app"
"$tool" info --file-prefix "$prefix" >"$work/info.log"
expect "info shows the pool" has "$work/info.log" '^pool MBUF_POOL'
"$tool" info --json --file-prefix "$prefix" >"$work/info-json.log"
expect "info --json is JSON" python3 -c 'import json, sys
[json.loads(line) for line in open(sys.argv[1])]' "$work/info-json.log"
expect "clean refuses a living group" bash -c '! "$@" 2>"$0"' "$work/clean.log" "$tool" clean --file-prefix "$prefix"
expect "and names who lives" has "$work/clean.log" "process $app lives"
kill_app "$app"
"$tool" ps --file-prefix "$prefix" >"$work/dead.log"
expect "ps shows the dead as dead" has "$work/dead.log" "$app dead"
expect "clean removes what the dead left" "$tool" clean --file-prefix "$prefix"
expect "nothing is left behind" nothing_left
expect "a group that is not there is an error" bash -c '! "$@" 2>/dev/null' - "$tool" info --file-prefix "$prefix"
"$tool" nonsense 2>/dev/null
expect "a command that is none is a usage error" [ $? = 2 ]
exit $((problems > 0))
