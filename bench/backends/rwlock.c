/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The textbook with reader-writer locks.  Opens of what is open already, and
 * closes that are not the last, count with atomics and share the table.  A
 * section is the stream's lock held for reading.
 */
#include <pthread.h>

#define TABLE_LOCK  pthread_rwlock_t
#define STREAM_LOCK pthread_rwlock_t
#include "chained.h"

static struct bench_table *table_create(uint64_t streams)
{
	struct bench_table *table = bench_alloc_lines(sizeof(*table));

	(void)streams;
	pthread_rwlock_init(&table->lock, NULL);
	chained_init(table);
	return table;
}

static void table_destroy(struct bench_table *table)
{
	pthread_rwlock_destroy(&table->lock);
	free(table->chain);
	free(table);
}

static uint64_t table_count(struct bench_table *table)
{
	return table->streams;
}

static struct bench_stream *open_slow(struct bench_table *table, uint64_t hash,
				      const struct sctx_id *id)
{
	struct bench_stream *stream;

	pthread_rwlock_wrlock(&table->lock);
	stream = chained_find(table, hash, id);
	if (stream) {
		__atomic_fetch_add(&stream->opens, 1, __ATOMIC_RELAXED);
	} else {
		stream = chained_add(table, hash, id);
		pthread_rwlock_init(&stream->lock, NULL);
	}
	pthread_rwlock_unlock(&table->lock);
	return stream;
}

static inline struct bench_stream *stream_open(struct bench_table *table, const struct sctx_id *id)
{
	uint64_t hash = chained_hash(id);
	struct bench_stream *stream;

	pthread_rwlock_rdlock(&table->lock);
	stream = chained_find(table, hash, id);
	if (stream)
		__atomic_fetch_add(&stream->opens, 1, __ATOMIC_RELAXED);
	pthread_rwlock_unlock(&table->lock);
	return stream ? stream : open_slow(table, hash, id);
}

static void close_slow(struct bench_table *table, struct bench_stream *stream)
{
	bool last;

	pthread_rwlock_wrlock(&table->lock);
	last = __atomic_sub_fetch(&stream->opens, 1, __ATOMIC_ACQ_REL) == 0;
	if (last)
		chained_remove(table, stream);
	pthread_rwlock_unlock(&table->lock);
	if (!last)
		return;
	/* A thread that found it before may still be inside: wait. */
	pthread_rwlock_wrlock(&stream->lock);
	list_free(stream);
	pthread_rwlock_unlock(&stream->lock);
	pthread_rwlock_destroy(&stream->lock);
	free(stream);
}

/* From 1 to 0 only under the table's lock: else a reader could revive it. */
static inline void stream_close(struct bench_table *table, struct bench_stream *stream)
{
	uint32_t opens = __atomic_load_n(&stream->opens, __ATOMIC_RELAXED);

	while (opens > 1)
		if (__atomic_compare_exchange_n(&stream->opens, &opens, opens - 1, true,
						__ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return;
	close_slow(table, stream);
}

static inline struct bench_stream *stream_find(struct bench_table *table, const struct sctx_id *id)
{
	uint64_t hash = chained_hash(id);
	struct bench_stream *stream;

	pthread_rwlock_rdlock(&table->lock);
	stream = chained_find(table, hash, id);
	if (stream)
		pthread_rwlock_rdlock(&stream->lock);
	pthread_rwlock_unlock(&table->lock);
	return stream;
}

static inline void stream_enter(struct bench_stream *stream)
{
	pthread_rwlock_rdlock(&stream->lock);
}

static inline void stream_leave(struct bench_stream *stream)
{
	pthread_rwlock_unlock(&stream->lock);
}

static inline void context_insert(struct bench_stream *stream, const void *owner,
				  const void *instance, uint64_t word)
{
	struct bench_context *ctx = context_new(owner, instance, word);

	pthread_rwlock_wrlock(&stream->lock);
	list_push(stream, ctx);
	pthread_rwlock_unlock(&stream->lock);
}

static inline void context_del(struct bench_stream *stream, const void *owner,
			       const void *instance)
{
	struct bench_context *ctx;

	pthread_rwlock_wrlock(&stream->lock);
	ctx = list_remove(stream, owner, instance);
	pthread_rwlock_unlock(&stream->lock);
	if (ctx)
		ctx->free_callback(ctx);
}

static void bump_slow(struct bench_stream *stream, const void *owner)
{
	uint64_t *word;

	pthread_rwlock_wrlock(&stream->lock);
	word = list_lookup(stream, owner, NULL);
	if (!word) {
		struct bench_context *ctx = context_new(owner, NULL, 0);

		list_push(stream, ctx);
		word = &ctx->word;
	}
	++*word;
	pthread_rwlock_unlock(&stream->lock);
}

static inline void context_bump(struct bench_stream *stream, const void *owner)
{
	uint64_t *word;

	pthread_rwlock_rdlock(&stream->lock);
	word = list_lookup(stream, owner, NULL);
	if (word)
		__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
	pthread_rwlock_unlock(&stream->lock);
	if (!word)
		bump_slow(stream, owner);
	bench_bumped(&ops);
}

static const struct backend_ops ops = {
	.name = "rwlock",
	.lacks = "frees at once: no grace period, nothing stays valid outside the stream's lock",
	.table_create = table_create,
	.table_destroy = table_destroy,
	.table_count = table_count,
	.open = stream_open,
	.close = stream_close,
	.find = stream_find,
	.enter = stream_enter,
	.leave = stream_leave,
	.lookup = list_lookup,
	.insert = context_insert,
	.del = context_del,
	.bump = context_bump,
};

BENCH_BACKEND(ops);
