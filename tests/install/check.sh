#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Installs mpnet under a temporary prefix and builds the consumer against it, with find_package and with pkg-config.
# Usage: check.sh static|shared SOURCE_DIR BUILD_DIR C++_COMPILER TYPE_OF_THAT_BUILD
set -eu
kind=$1 source=$2 build=$3 cxx=$4 built=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

if [ "$kind" != "$built" ]; then
  # The other kind has a tree of its own inside the build tree; ccache makes it cheap.
  [ "$kind" = shared ] && shared=ON || shared=OFF
  cmake -S "$source" -B "$build/install-$kind" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER="$cxx" \
    -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O3 -g1 -DNDEBUG" -DMPNET_WERROR=ON -DBUILD_SHARED_LIBS="$shared" \
    -DMPNET_BUILD_TESTS=OFF -DMPNET_BUILD_BENCH=OFF -DMPNET_BUILD_EXAMPLES=OFF -DMPNET_BUILD_TOOLS=OFF
  cmake --build "$build/install-$kind" --target mpnet
  build=$build/install-$kind
fi
cmake --install "$build" --prefix "$prefix"

echo "--- find_package, $kind"
cmake -S "$source/tests/install/consumer" -B "$work/consumer" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" \
  -DCMAKE_CXX_COMPILER="$cxx"
cmake --build "$work/consumer"
"$work/consumer/consumer"

echo "--- pkg-config, $kind"
libs=$(dirname "$(find "$prefix" -name mpnet.pc)")/..
export PKG_CONFIG_PATH="$libs/pkgconfig"
[ "$kind" = static ] && how=--static || how=
# shellcheck disable=SC2046,SC2086  # the words that pkg-config prints are arguments
"$cxx" -std=c++20 "$source/tests/install/consumer/main.cpp" -o "$work/consumer-pc" $(pkg-config --cflags --libs $how mpnet)
LD_LIBRARY_PATH=$libs "$work/consumer-pc"

if [ "$kind" = shared ]; then
  ldd "$work/consumer/consumer" | grep -q libmpnet.so || { echo "the consumer does not use the shared library"; exit 1; }
  exit 0
fi
echo "--- the program of the README"
awk '/^```cpp/ { on = 1; next } /^```/ { on = 0 } on' "$source/README.md" >"$work/hall.cpp"
# shellcheck disable=SC2046,SC2086  # the words that pkg-config prints are arguments
"$cxx" -std=c++20 "$work/hall.cpp" -o "$work/hall" $(pkg-config --cflags --libs $how mpnet)
options="-n 4 --no-huge -m 64 --file-prefix readme-$$"
# shellcheck disable=SC2086  # a list of words
stdbuf -oL "$work/hall" --lcores 0@0 --proc-type=primary $options >"$work/hall.log" 2>&1 &
hall=$!
tries=0
# shellcheck disable=SC2086  # a list of words
until "$work/hall" --lcores 1@0 --proc-type=secondary $options >/dev/null 2>&1 && grep -q hello "$work/hall.log"; do
  tries=$((tries + 1))
  [ $tries -lt 50 ] || { kill -KILL $hall; cat "$work/hall.log"; echo "the README's program does not greet"; exit 1; }
  sleep 0.1
done
kill -KILL $hall
wait $hall 2>/dev/null || :
[ ! -x "$prefix/bin/mpnet" ] || "$prefix/bin/mpnet" clean --file-prefix "readme-$$"

for application in "$source"/examples/*/CMakeLists.txt; do
  [ -e "$application" ] || continue
  folder=$(dirname "$application")
  echo "--- $(basename "$folder") alone"
  cmake -S "$folder" -B "$work/$(basename "$folder")" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$cxx"
  cmake --build "$work/$(basename "$folder")"
done
