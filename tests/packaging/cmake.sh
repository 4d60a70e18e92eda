#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A CMake project finds the installed library, wherever the prefix was moved to, and
# builds the README's example in each way.
#
#   SCTX_TEST_STAGE  here/ is a PREFIX that can be used
#   SCTX_TEST_CC     the compiler

set -eu
command -v cmake >/dev/null || { echo "skip: no cmake"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

awk '/^```c$/ && !seen { inside = seen = 1; next } /^```/ { inside = 0 } inside' README.md >"$tmp/example.c"
cat >"$tmp/plugin.c" <<'C'
#include <streamctx.h>
const char *plugin(void) { return sctx_version(); }
C
cat >"$tmp/CMakeLists.txt" <<'C'
cmake_minimum_required(VERSION 3.13)
project(consumer C)
find_package(streamctx 0.1 REQUIRED)
add_executable(example example.c)
target_link_libraries(example PRIVATE streamctx::streamctx streamctx::jemalloc)
add_executable(inlined example.c)
target_compile_definitions(inlined PRIVATE SCTX_INLINE)
target_link_libraries(inlined PRIVATE streamctx::streamctx)
add_executable(archive example.c)
target_link_libraries(archive PRIVATE streamctx::streamctx-static)
add_executable(static example.c)
target_compile_definitions(static PRIVATE SCTX_INLINE)
target_link_libraries(static PRIVATE streamctx::streamctx-static -static)
add_library(plugin MODULE plugin.c)
target_link_libraries(plugin PRIVATE streamctx::streamctx)
C
moved=$tmp/moved
cp -a "$SCTX_TEST_STAGE/here" "$moved"
cmake -S "$tmp" -B "$tmp/b" -DCMAKE_C_COMPILER="${SCTX_TEST_CC:-cc}" -DCMAKE_PREFIX_PATH="$moved"
cmake --build "$tmp/b"
for program in example inlined archive static; do
	"$tmp/b/$program" | grep '^opens: 1$'
done
ldd "$tmp/b/inlined" | grep "$moved/lib/libstreamctx.so.0"
readelf -dW "$tmp/b/example" | grep 'NEEDED.*libstreamctx-jemalloc'
if readelf -dW "$tmp/b/libplugin.so" | grep 'NEEDED.*jemalloc'; then exit 1; fi
if readelf -dW "$tmp/b/archive" | grep 'NEEDED.*streamctx'; then exit 1; fi
if grep -rl "$SCTX_TEST_STAGE/here" "$tmp/b"; then exit 1; fi

# A version that is not there is not found.
for version in 0.2 0.9.9 1.0; do
	sed -i "s/^find_package.*/find_package(streamctx $version REQUIRED)/" "$tmp/CMakeLists.txt"
	if cmake -S "$tmp" -B "$tmp/no" -DCMAKE_PREFIX_PATH="$SCTX_TEST_STAGE/here" >"$tmp/log" 2>&1; then
		exit 1
	fi
	grep "requested version \"$version\"" "$tmp/log"
done
