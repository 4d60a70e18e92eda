#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The filters of this folder compile without a warning under each compiler that
# is installed, in each dialect, and with what newer compilers make errors.
#
#   SCTX_TEST_CC  a compiler to try beside gcc and clang

set -u
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0
tried=

# As gcc 14 does, and without -D_GNU_SOURCE or any other help from the Makefile.
strict="-Wall -Wextra -Werror -Wstrict-prototypes -Werror=incompatible-pointer-types
	-Werror=int-conversion -Werror=implicit-function-declaration -Werror=implicit-int"

compile() # COMPILER FLAGS... FILE
{
	"$@" -Iinclude -Itests/fsrtl -c -o "$tmp/o" || { echo "FAILED: $*"; failed=1; }
}

for cc in $(printf '%s\n' gcc gcc-13 gcc-14 clang "${SCTX_TEST_CC:-gcc}" | sort -u); do
	command -v "$cc" >/dev/null || continue
	tried="$tried $cc"
	for filter in tests/fsrtl/*_filter.c; do
		for dialect in -std=gnu11 -std=gnu17 "-std=c11 -pedantic"; do
			for debug in "" -DDBG=1; do
				# shellcheck disable=SC2086 # several words each
				compile "$cc" $dialect $strict $debug "$filter"
			done
		done
	done
done

# The headers alone, in C++, which casts nothing from void.
echo '#include <streamctx/fsrtl.h>' >"$tmp/one.cc"
for cxx in g++ clang++; do
	command -v "$cxx" >/dev/null || continue
	tried="$tried $cxx"
	for dialect in -std=c++11 -std=c++17; do
		compile "$cxx" $dialect -Wall -Wextra -Werror "$tmp/one.cc"
	done
done
echo "compiled with:$tried"
exit $failed
