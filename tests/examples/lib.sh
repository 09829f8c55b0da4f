# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the applications' tests.  $BUILD is the build tree.  A group prefix of its own for each test, everything that
# was started is ended by pid, and what a test leaves in the runtime directory fails it.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=${BUILD:-$here/../../build/release}
# shellcheck source=scripts/testnet.sh
. "$here/../../scripts/testnet.sh"
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
  rm -rf "$work" "/run/mpnet/$prefix"
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

# stop_app PID: SIGINT, and it must leave with 0.
stop_app() {
  kill -INT "$1" 2>/dev/null
  wait "$1"
  local rc=$?
  forget "$1"
  [ $rc = 0 ]
}
kill_app() { kill -KILL "$1"; wait "$1" 2>/dev/null; forget "$1"; }

# refuses NAME CODE PATTERN ARGUMENTS…: ends with that code, at once, and with a message like that.
refuses() {
  local program code=$2 pattern=$3 rc
  program=$(program_of "$1")
  shift 3
  timeout 20 "$program" "$@" </dev/null >"$work/refusal.log" 2>&1
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
