#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A DEBUG=1 build stops at misuse, with a message that says what it was.
#
#   SCTX_TEST_CC  the compiler

set -eu
cc=${SCTX_TEST_CC:-cc}
b=build/debug
make -s CC="$cc" DEBUG=1 B=$b $b/libstreamctx.a >/dev/null
cat >$b/misuse.c <<'C'
#include <stdlib.h>
#include <streamctx.h>

static const char owner;

int main(int argc, char **argv)
{
	struct sctx_registry *registry;
	struct sctx_stream s, *opened;
	struct sctx_context ctx;
	struct sctx_id id = { 1, { 2, 3 }, 4 };
	enum sctx_pool pool = argc > 2 ? SCTX_POOL_LOCKED : SCTX_POOL_PAGED;
	char *p = sctx_alloc(pool, 100, 'a');

	sctx_stream_init(&s);
	sctx_context_init(&ctx, &owner, NULL, SCTX_NO_FREE);
	if (sctx_insert(&s, &ctx) || sctx_registry_create(&registry) ||
	    sctx_open(registry, &id, 0, &opened))
		return 1;
	switch (atoi(argv[1])) {
	case 1:
		return sctx_insert(&s, &ctx);
	case 2:
		return sctx_put(&ctx);
	case 3:
		sctx_read_lock();
		sctx_close(opened);
		return sctx_close(opened);
	case 4:
		return sctx_free(p, 'b');
	case 5:
		sctx_free(p, 'a');
		/* What is freed and allocated meanwhile does not hide it. */
		for (int i = 0; i < 200; i++)
			sctx_free(sctx_alloc(pool, 100, 'a'), 'a');
		return sctx_free(p, 'a');
	case 6:
		sctx_free(p, 'a');
		p[99] = 1;
		for (int i = 0; i < 300; i++)
			sctx_free(sctx_alloc(pool, 100, 'a'), 'a');
		return 0;
	case 7: /* nothing wrong */
		for (int i = 0; i < 1000; i++)
			sctx_free(sctx_alloc(pool, i * 100, 'a'), 'a');
		return sctx_free(p, 'a');
	default:
		return sctx_close(opened) || sctx_teardown_sync(&s);
	}
}
C
$cc -Iinclude $b/misuse.c -o $b/misuse $b/libstreamctx.a -lurcu-memb -pthread

# expect "CASE [locked]" MESSAGE
expect() {
	status=0
	text=$($b/misuse $1 2>&1) || status=$?
	echo "case $1: status $status: $text"
	[ "$status" -eq 134 ] || exit 1
	case $text in *"$2"*) ;; *) exit 1 ;; esac
}

expect 1 "insert of a context that hangs on a stream"
expect 2 "put of a context that only its stream holds"
expect 3 "stream closed too often"
for pool in "" locked; do
	expect "4 $pool" "free with another tag than at allocation"
	expect "5 $pool" "free of memory that is not allocated"
	expect "6 $pool" "memory written after it was freed"
	$b/misuse 7 $pool
done
$b/misuse 0

# Leaks are reported with the code that took references.
cat >$b/leak.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <streamctx.h>

__attribute__((noinline)) struct sctx_context *forgetful(struct sctx_stream *s, const void *owner)
{
	struct sctx_context *ctx = sctx_get(s, owner, NULL);

	__asm__ volatile("" : "+r"(ctx)); /* no tail call */
	return ctx;
}

int main(void)
{
	const struct sctx_owner_ops ops = { .size = sizeof(ops), .name = "leaky", .tag = 'l' };
	struct sctx_leaks leaks = { .size = sizeof(leaks) };
	struct sctx_registry *registry;
	struct sctx_owner *owner;
	struct sctx_context *ctx;
	struct sctx_stream s;
	Dl_info info;

	sctx_stream_init(&s);
	if (sctx_registry_create(&registry) || sctx_owner_register(registry, &ops, &owner) ||
	    sctx_stream_track(registry, &s) || sctx_context_alloc(owner, NULL, 0, &ctx) ||
	    sctx_insert(&s, ctx))
		return 1;
	ctx = forgetful(&s, owner);
	if (sctx_owner_unregister(owner, &leaks) != -EBUSY || leaks.listed != 1)
		return 2;
	sctx_leaks_print(&leaks, stdout);
	if (!dladdr(leaks.leak[0].taken_at[0], &info) || strcmp(info.dli_sname, "forgetful"))
		return 3;
	sctx_put(ctx);
	return sctx_owner_unregister(owner, &leaks);
}
C
$cc -Iinclude -rdynamic -pthread $b/leak.c $b/libstreamctx.a -lurcu-memb -ldl -o $b/leak
$b/leak || { echo "leak: exit status $?"; exit 1; }
