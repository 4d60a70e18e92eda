#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The headers, as strict compilers and the tools of other languages read them.
#
#   SCTX_TEST_CC  the compiler
#   SCTX_TEST_SO  the library

set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat >"$tmp/user.c" <<'C'
#include <streamctx.h>

static struct sctx_stream stream;

int main(void)
{
	void *found;

	sctx_stream_init(&stream);
	sctx_read_lock();
	found = sctx_lookup(&stream, &stream, NULL);
	sctx_read_unlock();
	return found != NULL || sctx_version_number() == 0;
}
C
cp "$tmp/user.c" "$tmp/user.cc"

# reads LANGUAGES COMPILER SOURCE
n=0
reads() {
	for language in $1; do
		for inline in "" -DSCTX_INLINE; do
			if [ -n "$inline" ] && [ "$3" = user.cc ] &&
				! "$2" -std="$language" -fsyntax-only "$tmp/liburcu.cc" 2>/dev/null; then
				echo "[  SKIPPED ] $2 -std=$language: liburcu's headers do not compile"
				continue
			fi
			"$2" -std="$language" -Wall -Wextra -Wpedantic -Werror $inline -Iinclude -fsyntax-only \
				"$tmp/$3" || { echo "$2 -std=$language $inline"; exit 1; }
			n=$((n + 1))
		done
	done
}
for cc in "${SCTX_TEST_CC:-cc}" gcc clang; do
	command -v "$cc" >/dev/null || continue
	reads "c99 c11 c17 c2x gnu99 gnu17" "$cc" user.c
done
# liburcu's headers are C++98 in some versions only.
echo '#define _LGPL_SOURCE
#include <urcu/urcu-memb.h>' >"$tmp/liburcu.cc"
for cxx in g++ clang++; do
	command -v $cxx >/dev/null || continue
	# clang warns of liburcu's C in its own headers from C++17 on.
	reads "c++98 c++11 c++14" $cxx user.cc
	[ $cxx = clang++ ] || reads "c++17 c++20 c++2b" $cxx user.cc
done
echo "$n compilations"

# A flavour at a time, and what only a compilation to the end shows.
for flavour in "" -DSCTX_RCU_BP -DSCTX_RCU_QSBR; do
	for level in -Og -Os -O2 -O3; do
		"${SCTX_TEST_CC:-cc}" -std=c11 -Wall -Wextra -Werror $level -DSCTX_INLINE $flavour -Iinclude -c \
			"$tmp/user.c" -o "$tmp/user.o"
	done
done

if "${SCTX_TEST_CC:-cc}" -ffreestanding -U__UINTPTR_MAX__ -D__UINTPTR_MAX__=0xffffffffu -Iinclude -fsyntax-only \
	"$tmp/user.c" 2>"$tmp/errors"; then
	exit 1
fi
grep "streamctx needs a 64-bit system" "$tmp/errors"

if command -v castxml >/dev/null; then
	castxml --castxml-output=1 -Iinclude -o "$tmp/header.xml" include/streamctx.h
	grep -c '<Function.* name="sctx_' "$tmp/header.xml"
	grep -q 'name="sctx_context_data"' "$tmp/header.xml"
else
	echo "[  SKIPPED ] castxml: not installed"
fi

# cffi parses declarations only; it calls the library by them.
if /usr/bin/python3 -c 'import cffi' 2>/dev/null; then
	mkdir "$tmp/none"
	for header in stdbool stddef stdint stdio; do
		: >"$tmp/none/$header.h"
	done
	echo 'typedef struct FILE FILE;' >"$tmp/header.i"
	"${SCTX_TEST_CC:-cc}" -E -P -nostdinc -I"$tmp/none" -U__GNUC__ -DUINTPTR_MAX=1 -DUINT64_MAX=1 \
		include/streamctx.h >>"$tmp/header.i"
	/usr/bin/python3 - "$tmp/header.i" "$SCTX_TEST_SO" <<'P'
import sys
import cffi
ffi = cffi.FFI()
ffi.cdef(open(sys.argv[1]).read())
sctx = ffi.dlopen(sys.argv[2])
assert sctx.sctx_version_number() and ffi.string(sctx.sctx_version())
registry, stream, owner, ctx = (ffi.new(t) for t in ("struct sctx_registry **", "struct sctx_stream **",
                                                      "struct sctx_owner **", "struct sctx_context **"))
name = ffi.new("char[]", b"python")
ops = ffi.new("struct sctx_owner_ops *", {"name": name, "tag": 0x20207950, "context_size": 8})
ops.size = ffi.sizeof(ops[0])
assert sctx.sctx_registry_create(registry) == 0
assert sctx.sctx_owner_register(registry[0], ops, owner) == 0
assert sctx.sctx_open(registry[0], ffi.new("struct sctx_id *", {"volume": 1}), 0, stream) == 0
assert sctx.sctx_context_alloc(owner[0], ffi.NULL, 0, ctx) == 0
ffi.cast("uint64_t *", sctx.sctx_context_data(ctx[0]))[0] = 42
assert sctx.sctx_insert(stream[0], ctx[0]) == 0
sctx.sctx_read_lock()
found = sctx.sctx_lookup(stream[0], owner[0], ffi.NULL)
assert found == ctx[0] and ffi.cast("uint64_t *", sctx.sctx_context_data(found))[0] == 42
sctx.sctx_read_unlock()
assert sctx.sctx_close(stream[0]) == 0 and sctx.sctx_owner_unregister(owner[0], ffi.NULL) == 0
assert sctx.sctx_registry_destroy(registry[0]) == 0
print("cffi:", ffi.string(sctx.sctx_version()).decode())
P
else
	echo "[  SKIPPED ] cffi: not installed"
fi

if command -v bindgen >/dev/null; then
	bindgen include/streamctx.h --allowlist-function 'sctx_.*' >"$tmp/header.rs"
	grep -q 'pub fn sctx_context_data' "$tmp/header.rs"
else
	echo "[  SKIPPED ] bindgen: not installed"
fi
