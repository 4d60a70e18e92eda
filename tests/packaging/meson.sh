#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A Meson project finds the installed library by dependency(), shared and static.
#
#   SCTX_TEST_STAGE  here/ is a PREFIX that can be used
#   SCTX_TEST_CC     the compiler

set -eu
command -v meson >/dev/null || { echo "skip: no meson"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

awk '/^```c$/ && !seen { inside = seen = 1; next } /^```/ { inside = 0 } inside' README.md >"$tmp/example.c"
cat >"$tmp/meson.build" <<'M'
project('consumer', 'c')
streamctx = dependency('streamctx', version: '>= 0.1')
executable('example', 'example.c', dependencies: [streamctx, dependency('streamctx-jemalloc')])
executable('inlined', 'example.c', dependencies: streamctx, c_args: '-DSCTX_INLINE')
executable('archive', 'example.c', dependencies: dependency('streamctx', static: true))
M
export PKG_CONFIG_PATH="$SCTX_TEST_STAGE/here/lib/pkgconfig" CC="${SCTX_TEST_CC:-cc}"
meson setup "$tmp/b" "$tmp"
meson compile -C "$tmp/b"
export LD_LIBRARY_PATH="$SCTX_TEST_STAGE/here/lib"
for program in example inlined archive; do
	"$tmp/b/$program" | grep '^opens: 1$'
done
if readelf -dW "$tmp/b/archive" | grep 'NEEDED.*streamctx'; then exit 1; fi
