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
#include <errno.h>
#include <stdlib.h>
#include <streamctx.h>

#define NOINLINE __attribute__((noinline))

static const char owner;
static struct sctx_registry *registry;
static struct sctx_stream s, *opened;
static struct sctx_context ctx, *owned;
static volatile int result;

static void lazy_free(struct sctx_stream *stream)
{
	(void)stream;
}

/* What is done first, and again; no tail calls. */
NOINLINE void insert_first(struct sctx_stream *on, struct sctx_context *c)
{
	result = sctx_insert(on, c);
}
NOINLINE void insert_again(struct sctx_stream *on, struct sctx_context *c)
{
	result = sctx_insert(on, c);
}
NOINLINE void put_first(struct sctx_context *c)
{
	result = sctx_put(c);
}
NOINLINE void put_again(struct sctx_context *c)
{
	result = sctx_put(c);
}
NOINLINE void close_first(void)
{
	result = sctx_close(opened);
}
NOINLINE void close_again(void)
{
	result = sctx_close(opened);
}
NOINLINE void retire_first(void)
{
	result = sctx_stream_retire(&s, lazy_free);
}
NOINLINE void retire_again(void)
{
	result = sctx_stream_retire(&s, lazy_free);
}
NOINLINE void *allocate(enum sctx_pool pool)
{
	void *p = sctx_alloc(pool, 100, SCTX_TAG('B', 'u', 'f', ' '));

	result = 0;
	return p;
}
NOINLINE void free_first(void *p, uint32_t tag)
{
	result = sctx_free(p, tag);
}
NOINLINE void free_again(void *p, uint32_t tag)
{
	result = sctx_free(p, tag);
}

int main(int argc, char **argv)
{
	const uint32_t tag = SCTX_TAG('B', 'u', 'f', ' ');
	const struct sctx_owner_ops ops = { .size = sizeof(ops), .name = "spy",
					    .tag = SCTX_TAG('S', 'p', 'y', ' ') };
	struct sctx_id id = { 1, { 2, 3 }, 4 };
	enum sctx_pool pool = argc > 2 ? SCTX_POOL_LOCKED : SCTX_POOL_PAGED;
	char *p = allocate(pool);
	struct sctx_owner *spy;

	sctx_stream_init(&s);
	sctx_context_init(&ctx, &owner, NULL, SCTX_NO_FREE);
	if (sctx_registry_create(&registry) || sctx_open(registry, &id, 0, &opened) ||
	    sctx_owner_register(registry, &ops, &spy) ||
	    sctx_context_alloc(spy, &owner, 0, &owned))
		return 1;
	insert_first(&s, &ctx);
	insert_first(opened, owned);
	switch (atoi(argv[1])) {
	case 1:
		insert_again(&s, &ctx);
		return 0;
	case 2:
		put_again(&ctx);
		return 0;
	case 3:
		sctx_read_lock();
		close_first();
		close_again();
		return 0;
	case 4:
		free_again(p, 'b');
		return 0;
	case 5:
		free_first(p, tag);
		/* What is freed and allocated meanwhile does not hide it. */
		for (int i = 0; i < 200; i++)
			sctx_free(allocate(pool), tag);
		free_again(p, tag);
		return 0;
	case 6:
		free_first(p, tag);
		p[99] = 1;
		for (int i = 0; i < 300; i++)
			sctx_free(allocate(pool), tag);
		return 0;
	case 7: /* nothing wrong */
		for (int i = 0; i < 1000; i++)
			sctx_free(sctx_alloc(pool, i * 100, 'a'), 'a');
		return sctx_free(p, tag);
	case 8:
		insert_again(&s, owned);
		return 0;
	case 9:
		sctx_read_lock();
		sctx_ref(&ctx);
		sctx_detach(&ctx);
		put_first(&ctx);
		put_again(&ctx);
		return 0;
	case 10:
		retire_first();
		retire_again();
		return 0;
	case 11:
		sctx_read_lock();
		sctx_ref(&ctx);
		sctx_detach(&ctx);
		put_first(&ctx);
		insert_again(&s, &ctx);
		return 0;
	case 12: /* no misuse: another holder may be first */
		sctx_ref(&ctx);
		insert_again(opened, &ctx);
		return result == -EBUSY && !sctx_put(&ctx) ? 0 : 1;
	case 13: /* nor this: the last put may come before a borrower's reference */
		sctx_read_lock();
		sctx_ref(&ctx);
		sctx_detach(&ctx);
		put_first(&ctx);
		sctx_ref(&ctx);
		insert_again(&s, &ctx);
		return result == -EBADF && !sctx_put(&ctx) ? 0 : 1;
	default:
		sctx_free(p, tag);
		return sctx_close(opened) || sctx_teardown_sync(&s) ||
		       sctx_owner_unregister(spy, NULL) || sctx_registry_destroy(registry) ||
		       sctx_barrier();
	}
}
C
$cc -Iinclude -rdynamic $b/misuse.c -o $b/misuse $b/libstreamctx.a -lurcu-memb -pthread

# expect "CASE [locked]" TEXT...: each stands in the report
expect() {
	misuse=$1
	status=0
	text=$($b/misuse $misuse 2>&1) || status=$?
	echo "case $misuse: status $status: $text"
	[ "$status" -eq 134 ] || exit 1
	shift
	for part in "$@"; do
		case $text in *"$part"*) ;; *) echo "not there: $part"; exit 1 ;; esac
	done
}

# Whose, on which stream, called from where, and where the other call was.
id='id 0000000000000001:00000000000000030000000000000002:4'
expect 1 "insert of a context that hangs on a stream: EBUSY" "(insert_again+" "inserted  $b/misuse(insert_first+"
expect 2 "put of a context that only its stream holds: EBUSY" "(put_again+" "inserted  $b/misuse(insert_first+"
expect 3 "stream closed too often: EBADF" "$id closed" "(close_again+" "closed    $b/misuse(close_first+"
expect 8 "insert of a context that hangs on a stream" 'owner "spy"[Spy ] instance 0x' "$id opens 1" \
	"(insert_again+" "(insert_first+"
expect 9 "put of a context whose last reference was put: EBADF" "(put_again+" "put       $b/misuse(put_first+"
expect 10 "stream retired twice: EALREADY" "(retire_again+" "retired   $b/misuse(retire_first+"
expect 11 "insert of a context that was put: EBADF" "(insert_again+" "put       $b/misuse(put_first+"
for pool in "" locked; do
	expect "4 $pool" "free with another tag than at allocation: EINVAL" "tag [Buf ]" "(free_again+" \
		"allocated $b/misuse(allocate+"
	expect "5 $pool" "free of memory that is not allocated" "(free_again+" "freed     $b/misuse(free_first+"
	expect "6 $pool" "memory written after it was freed" "tag [Buf ]" "freed     $b/misuse(free_first+"
	$b/misuse 7 $pool
done
for correct in 0 12 13; do
	$b/misuse $correct || { echo "case $correct: stops, or another result"; exit 1; }
done

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

# AddressSanitizer and Valgrind see the use of what was freed, though the
# library keeps the memory: streams for the next opens, blocks in quarantine.
cat >$b/stale.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <streamctx.h>

#define N 200

int main(int argc, char **argv)
{
	const struct sctx_owner_ops ops = { .size = sizeof(ops), .name = "spy", .tag = 's' };
	int misuse = argc > 1 ? atoi(argv[1]) : 0, rest = 0;
	char *p = sctx_alloc(SCTX_POOL_PAGED, 100, 'a');
	struct sctx_stream *stream[N];
	struct sctx_registry *registry;
	struct sctx_owner *spy;
	struct sctx_context *ctx;

	if (sctx_registry_create(&registry) || sctx_owner_register(registry, &ops, &spy) ||
	    sctx_context_alloc(spy, NULL, 0, &ctx) || sctx_put(ctx))
		return 1;
	for (uint64_t round = 0; round < 3; round++) { /* each uses memory of the one before */
		for (uint64_t i = 0; i < N; i++) {
			struct sctx_id id = { round, { i, 0 }, 0 };

			if (sctx_open(registry, &id, 0, &stream[i]))
				return 1;
		}
		for (uint64_t i = 0; i < N; i++)
			if (sctx_close(stream[i]))
				return 1;
		if (sctx_barrier() || sctx_barrier())
			return 1;
	}
	p[99] = 1;
	sctx_free(p, 'a');
	if (misuse == 1)
		rest = (int)stream[0]->opens;
	if (misuse == 2)
		rest = sctx_close(stream[0]);
	if (misuse == 3)
		rest = p[99];
	if (misuse == 4)
		rest = (int)ctx->refs;
	printf("%d\n", rest);
	if (sctx_owner_unregister(spy, NULL) || sctx_registry_destroy(registry) || sctx_barrier())
		return 1;
	return 0;
}
C

# seen_by COMMAND...: run with each misuse
seen_by() {
	for misuse in 0 1 2 3 4; do
		status=0
		"$@" $misuse >$b/seen 2>&1 || status=$?
		echo "$* $misuse: status $status: $(grep -E 'Invalid|ERROR:' $b/seen | head -1)"
		if [ $misuse = 0 ]; then
			[ $status = 0 ] || { cat $b/seen; exit 1; }
		else
			grep -qE 'Invalid read of size|use-after-poison' $b/seen || { cat $b/seen; exit 1; }
		fi
	done
}
if command -v valgrind >/dev/null && [ -e /usr/include/valgrind/memcheck.h ]; then
	$cc -g -Iinclude $b/stale.c -o $b/stale $b/libstreamctx.a -lurcu-memb -pthread
	seen_by valgrind -q --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=9 $b/stale
	# A plugin is closed, and nothing that the library keeps of it is lost.
	make -s CC="$cc" DEBUG=1 B=$b $b/libstreamctx.so >/dev/null
	$cc -g -shared -fPIC -Dmain=plugin_main -Iinclude $b/stale.c -o $b/stale.so -L$b -lstreamctx \
		-Wl,-rpath,"$PWD/$b"
	cat >$b/closes.c <<'C'
#include <dlfcn.h>

int main(int argc, char **argv)
{
	for (int i = 0; i < 3; i++) {
		void *plugin = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL);
		int (*run)(int, char **) = plugin ? dlsym(plugin, "plugin_main") : 0;

		if (!run || run(1, argv) || dlclose(plugin))
			return 1;
	}
	return 0;
}
C
	$cc -g $b/closes.c -o $b/closes
	valgrind -q --leak-check=full --errors-for-leak-kinds=definite,indirect,possible --error-exitcode=9 \
		$b/closes "$PWD/$b/stale.so"
else
	echo "[  SKIPPED ] valgrind: not installed"
fi
[ -n "${SCTX_TEST_DEBUG_ASAN:-}" ] || exit 0
make -s CC="$cc" DEBUG=1 B=$b/asan CFLAGS="-O1 -g -fsanitize=address" $b/asan/libstreamctx.a >/dev/null
$cc -g -fsanitize=address -Iinclude $b/stale.c -o $b/asan/stale $b/asan/libstreamctx.a -lurcu-memb -pthread
seen_by $b/asan/stale
