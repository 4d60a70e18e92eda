/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A daemon that is watched: streams come and go for a while.  Stopped in the
 * middle, with a breakpoint at middle(), there is some of everything: a
 * registry with two open streams, one of them with more contexts than fit
 * inline, contexts in limbo, and owners.
 *
 *   watched MILLISECONDS
 */
#include <stdlib.h>
#include <streamctx.h>
#include <time.h>

#define TAG SCTX_TAG('S', 'p', 'y', ' ')

const char plain_owner; /* any address can stand for a module */
struct sctx_registry *registry;
struct sctx_stream embedded;

static void plain_free(struct sctx_context *ctx)
{
	free(ctx);
}

static void must(int error)
{
	if (error < 0)
		abort();
}

static struct sctx_stream *open_id(uint64_t file, uint64_t stream)
{
	const struct sctx_id id = { 0x76, { file, 0x11 }, stream };
	struct sctx_stream *opened;

	must(sctx_open(registry, &id, 0, &opened));
	return opened;
}

static void hang(struct sctx_stream *stream, const void *instance)
{
	struct sctx_context *ctx = malloc(sizeof(*ctx));

	must(ctx ? sctx_context_init(ctx, &plain_owner, instance, plain_free) : -1);
	must(sctx_insert(stream, ctx));
}

__attribute__((noinline)) void middle(struct sctx_stream *few, struct sctx_stream *many)
{
	__asm__ volatile("" : : "r"(few), "r"(many) : "memory");
}

static void come_and_go(uint64_t n)
{
	struct sctx_stream *stream = open_id(n, 0), *again;

	hang(stream, NULL);
	must(sctx_open_many(registry, sctx_stream_id(stream), 1, 0, &again));
	must(sctx_close(again));
	must(sctx_close(stream));
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	const struct sctx_reclaim_options options = { .size = sizeof(options),
						      .limit_bytes = 1 << 20,
						      .limit_callbacks = 64 };
	const struct sctx_owner_ops ops = { .size = sizeof(ops), .name = "spy", .tag = TAG };
	const struct timespec nap = { .tv_nsec = 10000000 };
	double end = now() + (argc > 1 ? atof(argv[1]) : 0);
	struct sctx_stream *few, *many;
	struct sctx_context *ctx;
	struct sctx_owner *spy;

	must(sctx_reclaim_configure(&options));
	must(sctx_registry_create(&registry));
	must(sctx_owner_register(registry, &ops, &spy));
	must(sctx_stream_init(&embedded));
	must(sctx_stream_track(registry, &embedded));
	hang(&embedded, NULL);
	few = open_id(0x42, 0);
	many = open_id(0x43, 7);
	open_id(0x43, 7);
	must(sctx_context_alloc(spy, NULL, 0, &ctx));
	must(sctx_insert(few, ctx));
	for (uintptr_t i = 1; i <= 5; i++)
		hang(many, (void *)i);
	must(sctx_delete(many, &plain_owner, (void *)3));
	must(sctx_barrier());

	sctx_read_lock(); /* what is retired now stays in limbo */
	come_and_go(1);
	middle(few, many);
	sctx_read_unlock();
	for (uint64_t n = 2; n < 4 || now() < end; n++) {
		come_and_go(n);
		if (n % 300 == 0)
			nanosleep(&nap, NULL);
	}

	must(sctx_close(few));
	must(sctx_close(many));
	must(sctx_close(many));
	must(sctx_teardown_sync(&embedded));
	must(sctx_owner_unregister(spy, NULL));
	must(sctx_registry_destroy(registry));
	must(sctx_barrier());
	return 0;
}
