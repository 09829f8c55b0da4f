#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The mpnet tool beside a living, a stopped and a dead group.
. "$(dirname "$0")/../examples/lib.sh"
tool=$BUILD/tools/mpnet
# A runtime directory of its own: "all groups" must not be those of other tests.
export RUNTIME_DIRECTORY=/dev/shm/$prefix-run
mkdir -m 0700 "$RUNTIME_DIRECTORY"
common=(-n 4 --proc-type=auto --file-prefix "$prefix" --no-huge -m 64)
application=(-- -p 3 --num-procs 2 --proc-id)

# json FILE EXPRESSION: true for `rows`, the objects in the file, one a line.
json() {
  python3 -c 'import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
def of(kind): return [r for r in rows if r.get("kind") == kind]
sys.exit(not eval("(" + sys.argv[2] + ")"))' "$@"
}
# exits CODE TOOL-ARGUMENTS…
exits() {
  local code=$1
  shift
  "$tool" "$@" >"$work/exit.log" 2>&1
  [ $? = "$code" ]
}
# Everything that the group's files contain, and the pages that they take.
fingerprint() {
  (cd "$RUNTIME_DIRECTORY/$prefix" && head -c 8M config | sha256sum && stat -c '%n %s %b %Y %Z' ./*)
}

run_app symmetric_mp "$work/app.log" --lcores 5@0 "${common[@]}" --vdev net_null0 --vdev net_null1 "${application[@]}" 0
app=$started
wait_for_line "$work/app.log" '^forwarding' 20 "$app" || fail "the application did not start"
run_app symmetric_mp "$work/second.log" --lcores 6@0 "${common[@]}" "${application[@]}" 1
second=$started
wait_for_line "$work/second.log" '^forwarding' 20 "$second" || fail "the second member did not start"

kill -STOP "$app" "$second"
fingerprint >"$work/before"
"$tool" ps --file-prefix "$prefix" >"$work/ps.log"
expect "ps shows the primary, its pid, state, lcore and objects, though it is stopped" \
  has "$work/ps.log" " primary +$app alive +5 +[1-9][0-9]* "
expect "ps shows the secondary" has "$work/ps.log" " secondary +$second alive +6 +[1-9][0-9]* "
"$tool" ps --json >"$work/ps.json"
expect "ps --json has a line a member, with objects by pool" json "$work/ps.json" \
  "any(r['group'] == '$prefix' and r['pid'] == $app and r['role'] == 'primary' and r['lcores'] == [5]
       and r['objects'] == r['pools']['MBUF_POOL'] > 0 for r in rows)"
"$tool" info --file-prefix "$prefix" >"$work/info.log"
expect "info shows the pool and who holds its objects" has "$work/info.log" "^pool MBUF_POOL.* held by process $app"
expect "info shows who drives a queue" has "$work/info.log" "^  rx queue 0: driven by process $app"
"$tool" info --json --file-prefix "$prefix" >"$work/info.json"
expect "every object is free, held by a member, or of nobody" json "$work/info.json" \
  "[p['free'] + p['of_nobody'] + sum(h['objects'] for h in p['held']) == p['objects'] for p in of('pool')] == [True]"
expect "each member holds some" json "$work/info.json" \
  "{h['pid'] for h in of('pool')[0]['held']} == {$app, $second}"
expect "each queue is driven by the member that runs it" json "$work/info.json" \
  "{(q['port'], q['queue'], q['driver_pid']) for q in of('queue')} ==
   {(p, n, pid) for p in (0, 1) for n, pid in ((0, $app), (1, $second))}"
expect "info --json tells of the group, its segment and its ports" json "$work/info.json" \
  "of('group')[0]['alive'] and of('segment')[0]['committed_bytes'] > 0 and [p['name'] for p in of('port')] == ['net_null0', 'net_null1']"
fingerprint >"$work/after"
expect "looking changed no byte and took no page" cmp "$work/before" "$work/after"
expect "clean refuses a living group" exits 1 clean --file-prefix "$prefix"
expect "and names who lives" has "$work/exit.log" "process ($app|$second) lives"
expect "clean of all groups leaves it alone" exits 0 clean
expect "nothing of it is gone" has <("$tool" ps --file-prefix "$prefix") " primary +$app alive "

kill_app "$app"
"$tool" ps --file-prefix "$prefix" >"$work/dead.log"
expect "a dead member beside a stopped one is dead, and has no role" has "$work/dead.log" " - +$app dead "
kill -CONT "$second"
recovered() { "$tool" info --json --file-prefix "$prefix" >"$work/recovery.json" && json "$work/recovery.json" "of('recovery')"; }
for ((i = 0; i < 200; i++)); do recovered && break; sleep 0.05; done
expect "info shows the recovery, what returned, and by whom" json "$work/recovery.json" \
  "[(r['pid'], r['conductor'], r['objects'] > 0, r['queues']) for r in of('recovery')] == [($app, $second, True, 4)]"
kill_app "$second"
expect "a dead group can be looked at" exits 0 info --file-prefix "$prefix"
expect "and its members are dead" has <("$tool" ps --json --file-prefix "$prefix") "\"pid\":$second,\"state\":\"dead\""
"$tool" clean --json --file-prefix "$prefix" >"$work/clean.json"
expect "clean removes what the dead left" json "$work/clean.json" "rows == [{'group': '$prefix', 'result': 'removed'}]"
expect "nothing is left behind" nothing_left
expect "clean again finds nothing" has <("$tool" clean --file-prefix "$prefix") "nothing there"

expect "a group that is not there is an error" exits 1 info --file-prefix "$prefix"
expect "ps of it, too" exits 1 ps --file-prefix "$prefix"
for command in ps info clean; do
  expect "$command has --help" exits 0 "$command" --help
  expect "with a text" has "$work/exit.log" "^Usage: mpnet"
done
expect "no command is a usage error" exits 2
expect "an empty one, too" exits 2 ""
expect "a command that is none, too" exits 2 nonsense
for mistake in --bogus extra --file-prefix --file-prefix= --file-prefix=a/b --json=1; do
  expect "$mistake is a usage error" exits 2 clean "$mistake"
done
expect "the same option twice, too" exits 2 ps --json --json

# A group of another layout beside one that is none: told, and the rest is shown.
run_app symmetric_mp "$work/own.log" --lcores 7@0 "${common[@]}" --vdev net_null0 --vdev net_null1 "${application[@]}" 0
wait_for_line "$work/own.log" '^forwarding' 20 "$started" || fail "the application did not start"
cp -a --sparse=always "$RUNTIME_DIRECTORY/$prefix" "$RUNTIME_DIRECTORY/other"
printf '\1\2\3' | dd of="$RUNTIME_DIRECTORY/other/config" bs=1 seek=16 conv=notrunc status=none
expect "a group of another layout is told" exits 1 ps
expect "with its reason" has "$work/exit.log" "other/config: made by a build with another layout"
expect "and the others are shown" has "$work/exit.log" " primary +$started alive "
kill_app "$started"
expect "clean takes both" exits 0 clean
expect "and leaves nothing" test -z "$(find "$RUNTIME_DIRECTORY" -mindepth 1)"
rmdir "$RUNTIME_DIRECTORY"
exit $((problems > 0))
