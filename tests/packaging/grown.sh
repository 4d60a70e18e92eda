#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The next release: every struct with a size has one more member at its end.
# Programs built today run with that library, and programs built for it run with
# today's, except where they set the member.
#
#   SCTX_TEST_B   has this release, and its test programs
#   SCTX_TEST_CC  the compiler

set -eu
cc=${SCTX_TEST_CC:-cc}
old=$(realpath "$SCTX_TEST_B")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# A copy of the sources in which `};` of a struct with a size adds a member.
mkdir "$tmp/src"
cp -r Makefile lib include tests "$tmp/src"
awk '/^struct [a-z_]* \{$/ { sized = 0 }
	/^\tsize_t size;/ || $0 == "struct sctx_tag_stats {" || $0 == "struct sctx_owner_stats {" { sized = 1 }
	/^\};$/ && sized { print "\tuint64_t added;"; sized = 0; n++ }
	{ print }
	END { exit n < 7 }' include/streamctx.h >"$tmp/src/include/streamctx.h"
diff include/streamctx.h "$tmp/src/include/streamctx.h" | grep -c 'uint64_t added;'
programs='sized stats owner idle'
make -s -C "$tmp/src" CC="$cc" RCU="${SCTX_TEST_RCU:-memb}" OPTIMISE=-O0 B=b -j2 \
	lib b/tests/unit/sized b/tests/unit/owner >/dev/null

# run WHAT LIBRARY PROGRAM BYTES: BYTES that the library's structs are longer by
run() {
	echo "== $1: $3"
	status=0
	SCTX_TEST_SCALE=0.2 SCTX_TEST_GROWN=$4 LD_LIBRARY_PATH=$2 "$3" >"$tmp/log" 2>&1 || status=$?
	tail -3 "$tmp/log"
	[ "$status" = 0 ] || { cat "$tmp/log"; exit 1; }
}
for program in $programs; do
	run "old program, new library" "$tmp/src/b" "$old/tests/unit/$program" 8
done
for program in sized owner; do
	run "new program, old library" "$old" "$tmp/src/b/tests/unit/$program" -8
	run "new program, new library" "$tmp/src/b" "$tmp/src/b/tests/unit/$program" 0
done
