#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# LeakSanitizer in a program of a user's: open streams, with contexts on them, are no
# leaks, with jemalloc or without; what the program loses is.
#
#   SCTX_TEST_B   has the library
#   SCTX_TEST_CC  the compiler

set -eu
cc=${SCTX_TEST_CC:-cc}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat >"$tmp/open.c" <<'C'
#include <stdlib.h>
#include <streamctx.h>

static struct sctx_registry *registry;
static const char owner;

static void context_free(struct sctx_context *ctx)
{
	free(ctx);
}

static void insert(struct sctx_stream *stream)
{
	struct sctx_context *ctx = malloc(sizeof(*ctx));

	if (!ctx || sctx_context_init(ctx, &owner, NULL, context_free) || sctx_insert(stream, ctx))
		exit(2);
}

/* Many streams; on some, more contexts than they have room for. */
static __attribute__((noinline)) void fill(void)
{
	for (uint64_t i = 0; i < 1000; i++) {
		struct sctx_id id = { .volume = i };
		struct sctx_stream *stream;

		if (sctx_open(registry, &id, 0, &stream))
			exit(2);
		for (int n = i % 50 ? 1 : 40; n > 0; n--)
			insert(stream);
	}
}

static __attribute__((noinline)) void lose(void)
{
	char *volatile p = malloc(77);

	*p = 1;
	p = NULL;
}

int main(int argc, char **argv)
{
	(void)argv;
	if (sctx_registry_create(&registry))
		return 2;
	fill();
	for (int i = 0; argc > 1 && i < 16; i++)
		lose(); /* a stale register or stack slot can hide the last one */
	return 0;
}
C
if ! echo 'int main(void) { return 0; }' | $cc -fsanitize=address -x c - -o "$tmp/none" || ! "$tmp/none"; then
	echo "skip: no LeakSanitizer here"
	exit 77
fi
export ASAN_OPTIONS=detect_leaks=1
for with in "" "-Wl,--no-as-needed -lstreamctx-jemalloc"; do
	for library in "-lstreamctx" "-l:libstreamctx.a -lurcu-memb"; do
		$cc -g -fsanitize=address -Iinclude "$tmp/open.c" -o "$tmp/open" -L"$SCTX_TEST_B" $library $with -pthread \
			-Wl,-rpath,"$(realpath "$SCTX_TEST_B")"
		"$tmp/open"
		if "$tmp/open" lose >"$tmp/report" 2>&1; then
			exit 1
		fi
		grep "SUMMARY: AddressSanitizer: [0-9]* byte(s) leaked in 1[0-9] allocation(s)" "$tmp/report"
	done
done
