/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* streamctx as a daemon would use it: the shipped library, the read side inlined. */
#define SCTX_INLINE
#include <streamctx.h>

#include "../harness/backend.h"

OPS_DECLARE;

#ifndef NAME
#define NAME	"streamctx"
#define LACKS	""
#define ONLY	0
#endif

struct user_context {
	struct sctx_context ctx;
	uint64_t word;
};

_Static_assert(sizeof(struct user_context) <= BENCH_CONTEXT_SIZE, "as in every backend");

static inline struct sctx_registry *registry_of(struct bench_table *table)
{
	return (struct sctx_registry *)table;
}

static inline struct sctx_stream *stream_of(struct bench_stream *stream)
{
	return (struct sctx_stream *)stream;
}

static inline uint64_t *word_of(struct sctx_context *ctx)
{
	return &((struct user_context *)ctx)->word;
}

static inline void must(int error, const char *call)
{
	if (__builtin_expect(error != 0, 0))
		bench_die("%s: %s", call, strerror(-error));
}

static void context_free(struct sctx_context *ctx)
{
	bench_freed(&ops, *word_of(ctx));
	free(ctx);
}

static inline struct sctx_context *context_new(const void *owner, const void *instance,
					       uint64_t word)
{
	struct user_context *user = bench_alloc(BENCH_CONTEXT_SIZE);

	must(sctx_context_init(&user->ctx, owner, instance, context_free), "sctx_context_init");
	user->word = word;
	bench_created(&ops, word);
	return &user->ctx;
}

static void thread_enter(void)
{
	must(sctx_thread_attach(), "sctx_thread_attach");
}

static void thread_exit(void)
{
	must(sctx_thread_detach(), "sctx_thread_detach");
}

static void drain(void)
{
	must(sctx_barrier(), "sctx_barrier");
}

static uint64_t limbo_bytes(void)
{
	struct sctx_stats stats = { .size = sizeof(stats) };

	must(sctx_stats_get(&stats), "sctx_stats_get");
	return stats.limbo_bytes;
}

/* The mode is the process's: each backend sets its own before it measures. */
static struct bench_table *table_create(uint64_t streams)
{
	const struct sctx_reclaim_options options = {
		.size = sizeof(options),
		.limit_bytes = SCTX_LIMIT_BYTES_DEFAULT,
		.limit_callbacks = SCTX_LIMIT_CALLBACKS_DEFAULT,
		.mode = SCTX_RECLAIM_THREAD,
	};
	struct sctx_registry *registry;

	(void)streams;
	must(sctx_reclaim_configure(&options), "sctx_reclaim_configure");
	must(sctx_registry_create(&registry), "sctx_registry_create");
	return (struct bench_table *)registry;
}

static void keep_idle(struct bench_table *table, uint64_t limit)
{
	const struct sctx_idle_options options = {
		.size = sizeof(options),
		.limit_streams = limit,
	};

	must(sctx_registry_idle(registry_of(table), &options), "sctx_registry_idle");
}

static void table_destroy(struct bench_table *table)
{
	must(sctx_registry_destroy(registry_of(table)), "sctx_registry_destroy");
}

static int count_one(struct sctx_stream *stream, void *arg)
{
	(void)stream;
	++*(uint64_t *)arg;
	return 0;
}

static uint64_t table_count(struct bench_table *table)
{
	uint64_t count = 0;

	must(sctx_registry_for_each(registry_of(table), count_one, &count),
	     "sctx_registry_for_each");
	return count;
}

static inline struct bench_stream *stream_open(struct bench_table *table, const struct sctx_id *id)
{
	struct sctx_stream *stream;

	must(sctx_open(registry_of(table), id, 0, &stream), "sctx_open");
	return (struct bench_stream *)stream;
}

static void stream_open_many(struct bench_table *table, const struct sctx_id *id,
			     struct bench_stream **stream, unsigned int n)
{
	must(sctx_open_many(registry_of(table), id, n, 0, (struct sctx_stream **)stream),
	     "sctx_open_many");
}

static inline void stream_close(struct bench_table *table, struct bench_stream *stream)
{
	(void)table;
	must(sctx_close(stream_of(stream)), "sctx_close");
}

static inline struct bench_stream *stream_find(struct bench_table *table, const struct sctx_id *id)
{
	struct sctx_stream *stream;

	sctx_read_lock();
	stream = sctx_find(registry_of(table), id);
	if (!stream)
		sctx_read_unlock();
	return (struct bench_stream *)stream;
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

	return ctx ? word_of(ctx) : NULL;
}

static inline void context_insert(struct bench_stream *stream, const void *owner,
				  const void *instance, uint64_t word)
{
	must(sctx_insert(stream_of(stream), context_new(owner, instance, word)), "sctx_insert");
}

static inline void context_del(struct bench_stream *stream, const void *owner, const void *instance)
{
	must(sctx_delete(stream_of(stream), owner, instance), "sctx_delete");
}

static void bump_other(struct sctx_context *mine, struct sctx_context *ctx)
{
	__atomic_fetch_add(word_of(ctx), 1, __ATOMIC_RELAXED);
	must(sctx_put(ctx), "sctx_put");
	*word_of(mine) = 0;
	must(sctx_put(mine), "sctx_put");
}

static void bump_slow(struct bench_stream *stream, const void *owner)
{
	struct sctx_context *mine = context_new(owner, NULL, 0), *ctx;
	int error;

	*word_of(mine) = 1;
	error = sctx_insert_unique(stream_of(stream), mine, &ctx);
	if (error == -EEXIST)
		bump_other(mine, ctx);
	else
		must(error, "sctx_insert_unique");
}

static inline void context_bump(struct bench_stream *stream, const void *owner)
{
	struct sctx_context *ctx;

	sctx_read_lock();
	ctx = sctx_lookup(stream_of(stream), owner, NULL);
	if (ctx)
		__atomic_fetch_add(word_of(ctx), 1, __ATOMIC_RELAXED);
	sctx_read_unlock();
	if (!ctx)
		bump_slow(stream, owner);
	bench_bumped(&ops);
}

static const void *owner_register(struct bench_table *table)
{
	static const struct sctx_owner_ops module = {
		.size = sizeof(module),
		.name = "bench",
		.tag = SCTX_TAG('B', 'n', 'c', 'h'),
		.free = context_free,
	};
	struct sctx_owner *owner;

	must(sctx_owner_register(registry_of(table), &module, &owner), "sctx_owner_register");
	return owner;
}

static void owner_insert(struct bench_stream *stream, const void *owner, uint64_t word)
{
	struct user_context *user = bench_alloc(BENCH_CONTEXT_SIZE);

	must(sctx_owner_context_init((struct sctx_owner *)owner, &user->ctx, NULL),
	     "sctx_owner_context_init");
	user->word = word;
	bench_created(&ops, word);
	must(sctx_insert(stream_of(stream), &user->ctx), "sctx_insert");
}

static void owner_unregister(struct bench_table *table, const void *owner)
{
	(void)table;
	must(sctx_owner_unregister((struct sctx_owner *)owner, NULL), "sctx_owner_unregister");
}

static const struct backend_ops ops = {
	.name = NAME,
	.lacks = LACKS,
	.only = ONLY,
	.thread_enter = thread_enter,
	.thread_exit = thread_exit,
	.thread_idle = sctx_thread_offline,
	.drain = drain,
	.limbo_bytes = limbo_bytes,
	.table_create = table_create,
	.table_destroy = table_destroy,
	.table_count = table_count,
	.open = stream_open,
	.close = stream_close,
	.find = stream_find,
	.enter = stream_enter,
	.leave = stream_leave,
	.lookup = context_lookup,
	.insert = context_insert,
	.del = context_del,
	.bump = context_bump,
	.keep_idle = keep_idle,
	.open_many = stream_open_many,
	.owner_register = owner_register,
	.owner_insert = owner_insert,
	.owner_unregister = owner_unregister,
};

BENCH_BACKEND(ops);
