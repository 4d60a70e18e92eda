/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * streamctx without SCTX_INLINE: each read section and lookup is three calls
 * into the shipped library.  For lookup_hot alone; the rest is in streamctx.c.
 */
#include "../harness/backend.h"

OPS_DECLARE;

struct user_context {
	struct sctx_context ctx;
	uint64_t word;
};

static inline struct sctx_stream *stream_of(struct bench_stream *stream)
{
	return (struct sctx_stream *)stream;
}

static void must(int error, const char *call)
{
	if (error)
		bench_die("%s: %s", call, strerror(-error));
}

static void context_free(struct sctx_context *ctx)
{
	bench_freed(&ops, ((struct user_context *)ctx)->word);
	free(ctx);
}

static void drain(void)
{
	must(sctx_barrier(), "sctx_barrier");
}

static struct bench_table *table_create(uint64_t streams)
{
	struct sctx_registry *registry;

	(void)streams;
	must(sctx_registry_create(&registry), "sctx_registry_create");
	return (struct bench_table *)registry;
}

static void table_destroy(struct bench_table *table)
{
	must(sctx_registry_destroy((struct sctx_registry *)table), "sctx_registry_destroy");
}

static uint64_t table_count(struct bench_table *table)
{
	struct sctx_registry_stats stats = { .size = sizeof(stats) };

	must(sctx_registry_stats_get((struct sctx_registry *)table, &stats),
	     "sctx_registry_stats_get");
	return stats.streams;
}

static struct bench_stream *stream_open(struct bench_table *table, const struct sctx_id *id)
{
	struct sctx_stream *stream;

	must(sctx_open((struct sctx_registry *)table, id, 0, &stream), "sctx_open");
	return (struct bench_stream *)stream;
}

static void stream_close(struct bench_table *table, struct bench_stream *stream)
{
	(void)table;
	must(sctx_close(stream_of(stream)), "sctx_close");
}

static inline void stream_enter(struct bench_stream *stream)
{
	(void)stream;
	sctx_read_lock();
}

static inline void stream_leave(struct bench_stream *stream)
{
	(void)stream;
	sctx_read_unlock();
}

static inline uint64_t *context_lookup(struct bench_stream *stream, const void *owner,
				       const void *instance)
{
	struct sctx_context *ctx = sctx_lookup(stream_of(stream), owner, instance);

	return ctx ? &((struct user_context *)ctx)->word : NULL;
}

static void context_insert(struct bench_stream *stream, const void *owner, const void *instance,
			   uint64_t word)
{
	struct user_context *user = bench_alloc(BENCH_CONTEXT_SIZE);

	must(sctx_context_init(&user->ctx, owner, instance, context_free), "sctx_context_init");
	user->word = word;
	bench_created(&ops, word);
	must(sctx_insert(stream_of(stream), &user->ctx), "sctx_insert");
}

static const struct backend_ops ops = {
	.name = "streamctx_so",
	.lacks = "nothing: streamctx called as a library, its read side not inlined",
	.only = 1u << WORKLOAD_lookup_hot,
	.drain = drain,
	.table_create = table_create,
	.table_destroy = table_destroy,
	.table_count = table_count,
	.open = stream_open,
	.close = stream_close,
	.enter = stream_enter,
	.leave = stream_leave,
	.lookup = context_lookup,
	.insert = context_insert,
};

BENCH_BACKEND(ops);
