#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make uninstall takes away what make install gave, all of it and nothing else.
#
#   SCTX_TEST_B  where the library was built

set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# try DESTDIR PREFIX [SETTING...]
try() {
	root=$1$2
	dest=$1
	shift
	prefix=$1
	shift
	mkdir -p "$root/include/streamctx" "$root/lib"
	echo theirs >"$root/include/streamctx/theirs.h"
	echo theirs >"$root/lib/libstreamctx-tools.so"
	make -s B="$SCTX_TEST_B" DESTDIR="$dest" PREFIX="$prefix" "$@" install
	(cd "$root" && find . ! -type d | sort) >"$tmp/installed"
	[ "$(wc -l <"$tmp/installed")" -gt 15 ] || { cat "$tmp/installed"; exit 1; }
	make -s B="$SCTX_TEST_B" DESTDIR="$dest" PREFIX="$prefix" "$@" uninstall
	(cd "$root" && find . ! -type d | sort) >"$tmp/left"
	printf '%s\n' ./include/streamctx/theirs.h ./lib/libstreamctx-tools.so | diff - "$tmp/left"
	[ ! -e "$root/lib/cmake/streamctx" ]
	echo "$(wc -l <"$tmp/installed") files came and went: $*"
}

try "" "$tmp/here"
try "$tmp/a root" /usr LIBDIR=/usr/lib/some-triplet
try "$tmp/b" /usr libdir=/usr/lib/some-triplet
# Twice does no harm.
make -s B="$SCTX_TEST_B" PREFIX="$tmp/here" uninstall
