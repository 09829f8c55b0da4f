# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the applications' tests.  $BUILD is the build tree.  A group prefix of its own for each test, everything that
# was started is ended by pid, and what a test leaves in the runtime directory fails it.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=${BUILD:-$here/../../build/release}
# shellcheck source=scripts/testnet.sh
. "$here/../../scripts/testnet.sh"
# shellcheck source=scripts/members.sh
. "$here/../../scripts/members.sh"
work=$(mktemp -d)
prefix=test-$(basename "$0" .sh)-$$
apps=$BUILD/examples
problems=0

finish() {
  local rc=$?
  net_down
  if [ $rc != 0 ] || [ $problems != 0 ]; then
    echo "--- logs"
    tail -n 40 "$work"/*.log 2>/dev/null
    [ $rc != 0 ] || rc=1
  fi
  remove_groups "$prefix"
  rm -rf "$work"
  exit $rc
}
trap finish EXIT
trap 'exit 130' INT TERM

skip() { echo "SKIP: $*"; exit 0; }
fail() { echo "FAILED: $*"; exit 1; }
expect() { # TEXT COMMAND…: the command must succeed
  local text=$1
  shift
  if "$@"; then echo "ok: $text"; else echo "FAILED: $text"; problems=$((problems + 1)); fi
}
has() { grep -qE -- "$2" "$1"; } # FILE PATTERN
no_sanitizer() { [ -z "${SANITIZE:-}" ] || skip "the sanitizers' runtimes do not survive a fork of a process with threads"; }

# namespaces: up, with offloads off, or the test is skipped where the machine has none.  $members_… as in members.sh.
namespaces() {
  [ "$(id -u)" = 0 ] || skip "needs root: network namespaces and packet sockets"
  ip netns add "$net_tag-probe" 2>/dev/null || skip "this machine allows no network namespaces"
  ip netns del "$net_tag-probe"
  net_up || fail "the network namespaces could not be made"
  offloads_off
}
# until_true COMMAND…: it succeeds before patience ends.
until_true() {
  local end=$((SECONDS + patience))
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.02
  done
}
# reaches: a ping comes back, now or soon.
reaches() { until_true in_net left ping -q -c 1 -W 1 10.66.0.2 >/dev/null 2>&1; }
# audited POOL: every object of it is in exactly one place.
audited() { "$BUILD/tests/examples/audit" -n 4 --lcores 90@0 --file-prefix "$prefix" -- "$1"; }
# ping_flood: a ping every 10 ms, pid in $flood; flood_figures ends it and tells what it noticed of $1.
ping_flood() {
  start_in left "$work/flood" ping -D -i 0.01 -w 600 10.66.0.2
  flood=$started
}
flood_figures() {
  local sent received gap
  kill -INT "$flood"
  wait "$flood"
  forget "$flood"
  read -r sent received gap < <(ping_figures "$work/flood")
  echo "$1: $received of $sent pings came back, the longest silence was $gap ms"
}

# program_of NAME or FOLDER/NAME
program_of() { case $1 in */*) echo "$apps/$1" ;; *) echo "$apps/$1/$1" ;; esac; }

# run_app NAME LOG ARGUMENTS…: in the background, without input; pid in $started.
run_app() {
  local log=$2 program
  program=$(program_of "$1")
  shift 2
  : >"$log"
  "$program" "$@" </dev/null >"$log" 2>&1 &
  started=$!
  net_pids+=("$started")
}

# stop_app PID [SIGNAL]: INT or that one, and it must leave with 0.
stop_app() {
  kill -"${2:-INT}" "$1" 2>/dev/null
  ends_with_0 "$1"
}
kill_app() { kill -KILL "$1"; wait "$1" 2>/dev/null; forget "$1"; }

# refuses NAME CODE PATTERN ARGUMENTS…: ends with that code, at once, and with a message like that.
refuses() {
  local program code=$2 pattern=$3 rc
  program=$(program_of "$1")
  shift 3
  timeout $patience "$program" "$@" </dev/null >"$work/refusal.log" 2>&1
  rc=$?
  if ! [[ $rc =~ ^$code$ ]] || ! grep -qE -- "$pattern" "$work/refusal.log"; then
    echo "  exit code $rc, wanted $code and /$pattern/; it said:"
    sed 's/^/  | /' "$work/refusal.log"
    return 1
  fi
}

# nothing_left: no file of this group in any place that mpnet uses, but its lock file, which is never removed.
nothing_left() {
  local left
  left=$(find /run/mpnet /dev/shm /dev/hugepages "${XDG_RUNTIME_DIR:-/nonexistent}" "/tmp/mpnet-$(id -u)" \
    -path "*$prefix*" ! -type d ! -name lock 2>/dev/null)
  [ -z "$left" ] || { echo "left behind: $left"; return 1; }
}
