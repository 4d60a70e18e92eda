/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the work itself costs: the layout of streamctx, its search by tags and its
 * prefetches, and no synchronisation: each thread has a table to itself.  Not a bound,
 * but no backend that shares a table should come out far below it.
 */
#include "compact.h"

#define MANY_AT_A_TIME 16

struct bench_table {
	struct buckets buckets;
};

static struct bench_table *table_create(uint64_t streams)
{
	struct bench_table *table = bench_alloc_lines(sizeof(*table));

	(void)streams;
	buckets_init(&table->buckets);
	return table;
}

static void table_destroy(struct bench_table *table)
{
	buckets_free(&table->buckets);
	free(table);
}

static uint64_t table_count(struct bench_table *table)
{
	return table->buckets.streams;
}

static inline struct bench_stream *stream_find(struct bench_table *table, const struct sctx_id *id)
{
	return buckets_find(&table->buckets, compact_hash(id), id);
}

static inline struct bench_stream *open_hashed(struct bench_table *table, uint64_t hash,
					       const struct sctx_id *id)
{
	struct bench_stream *stream = buckets_find(&table->buckets, hash, id);

	if (!stream)
		return buckets_add(&table->buckets, hash, id);
	if (!stream->opens)
		lru_remove(&table->buckets.lru, &stream->idle);
	stream->opens++;
	return stream;
}

static inline struct bench_stream *stream_open(struct bench_table *table, const struct sctx_id *id)
{
	return open_hashed(table, compact_hash(id), id);
}

/* As sctx_open_many(): fetch the buckets, then the streams, then open and fetch the contexts. */
static inline void stream_open_many(struct bench_table *table, const struct sctx_id *id,
				    struct bench_stream **stream, unsigned int n)
{
	for (unsigned int done = 0; done < n; done += MANY_AT_A_TIME) {
		unsigned int part = n - done < MANY_AT_A_TIME ? n - done : MANY_AT_A_TIME;
		uint64_t hash[MANY_AT_A_TIME];

		for (unsigned int i = 0; i < part; i++) {
			hash[i] = compact_hash(&id[done + i]);
			buckets_prefetch(&table->buckets, hash[i]);
		}
		for (unsigned int i = 0; i < part; i++)
			buckets_prefetch_stream(&table->buckets, hash[i]);
		for (unsigned int i = 0; i < part; i++) {
			stream[done + i] = open_hashed(table, hash[i], &id[done + i]);
			__builtin_prefetch(entries(stream[done + i])->context);
		}
	}
}

static inline void stream_close(struct bench_table *table, struct bench_stream *stream)
{
	if (--stream->opens > 0)
		return;
	stream = buckets_closed(&table->buckets, stream);
	if (stream)
		stream_free(stream);
}

static void keep_idle(struct bench_table *table, uint64_t limit)
{
	buckets_keep_idle(&table->buckets, limit, stream_free);
}

static inline void no_section(struct bench_stream *stream)
{
	(void)stream;
}

static inline void context_insert(struct bench_stream *stream, const void *owner,
				  const void *instance, uint64_t word)
{
	entries_push(stream, context_new(owner, instance, word));
}

static inline void context_del(struct bench_stream *stream, const void *owner,
			       const void *instance)
{
	struct bench_context *ctx = entries_remove(stream, owner, instance);

	if (ctx)
		ctx->free_callback(ctx);
}

static const struct backend_ops ops = {
	.name = "floor",
	.lacks = "no synchronisation: every thread has a table to itself and shares nothing",
	.private_tables = true,
	.table_create = table_create,
	.table_destroy = table_destroy,
	.table_count = table_count,
	.open = stream_open,
	.close = stream_close,
	.find = stream_find,
	.enter = no_section,
	.leave = no_section,
	.lookup = entries_lookup,
	.insert = context_insert,
	.del = context_del,
	.bump = stream_bump,
	.keep_idle = keep_idle,
	.open_many = stream_open_many,
};

BENCH_BACKEND(ops);
