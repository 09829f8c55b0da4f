#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Checks a spin model exhaustively: run_model.sh MODEL holds|fails DEFINE...
# "fails" is for models with a rule left out: they show that the check can find something.
model=$(realpath "$1")
expected=$2
shift 2
if ! command -v spin >/dev/null || ! command -v gcc >/dev/null; then
  echo "SKIP: spin or gcc is not installed"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
spin "$@" -a "$model" && gcc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c || exit 1
./pan -m400000 -E >out || exit 1
grep -E "errors:|assertion violated|states, stored" out
if grep -q "max search depth too small\|out of memory" out; then
  echo "FAILED: the search was not exhaustive"
  exit 1
fi
case $expected in
  holds) grep -q "errors: 0" out ;;
  fails) grep -q "errors: 1" out ;;
  *) exit 2 ;;
esac
