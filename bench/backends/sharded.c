/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mutexes given every care: 256 tables, each with its mutex on one cache line,
 * over the layout of streamctx, and a small spinlock in each stream on the
 * line that holds its id.  The upper bits of the hash choose the table.
 */
#include <pthread.h>

#include "compact.h"
#include "stream-lock.h"

#define SHARD_BITS  8
#define SHARDS	    (1u << SHARD_BITS)
#define SHARD_SHIFT (TAG_SHIFT - SHARD_BITS)	/* bits that neither tag nor bucket use */

struct shard {
	pthread_mutex_t lock;
	struct buckets buckets;
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct shard, buckets.lru.ends) == 64, "one line, but for idle streams");

struct bench_table {
	struct shard shard[SHARDS];
};

static struct bench_table *table_create(uint64_t streams)
{
	struct bench_table *table = bench_alloc_lines(sizeof(*table));

	(void)streams;
	for (unsigned int i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&table->shard[i].lock, NULL);
		buckets_init(&table->shard[i].buckets);
	}
	return table;
}

static void table_destroy(struct bench_table *table)
{
	for (unsigned int i = 0; i < SHARDS; i++) {
		pthread_mutex_destroy(&table->shard[i].lock);
		buckets_free(&table->shard[i].buckets);
	}
	free(table);
}

static uint64_t table_count(struct bench_table *table)
{
	uint64_t streams = 0;

	for (unsigned int i = 0; i < SHARDS; i++)
		streams += table->shard[i].buckets.streams;
	return streams;
}

static inline struct shard *shard_of(struct bench_table *table, uint64_t hash)
{
	return &table->shard[(hash >> SHARD_SHIFT) % SHARDS];
}

static inline struct bench_stream *stream_open(struct bench_table *table, const struct sctx_id *id)
{
	uint64_t hash = compact_hash(id);
	struct shard *shard = shard_of(table, hash);
	struct bench_stream *stream;

	pthread_mutex_lock(&shard->lock);
	stream = buckets_find(&shard->buckets, hash, id);
	if (!stream)
		stream = buckets_add(&shard->buckets, hash, id);
	else if (stream->opens++ == 0)
		lru_remove(&shard->buckets.lru, &stream->idle);
	pthread_mutex_unlock(&shard->lock);
	return stream;
}

/* Out of the table by now.  A thread that found it before may still be inside: wait. */
static void stream_end(struct bench_stream *stream)
{
	stream_enter(stream);
	stream_free(stream);
}

static inline void stream_close(struct bench_table *table, struct bench_stream *stream)
{
	uint64_t hash = compact_hash(&stream->id);
	struct shard *shard = shard_of(table, hash);
	struct bench_stream *gone = NULL;

	pthread_mutex_lock(&shard->lock);
	if (--stream->opens == 0)
		gone = buckets_closed(&shard->buckets, stream);
	pthread_mutex_unlock(&shard->lock);
	if (gone)
		stream_end(gone);
}

/* Each shard keeps its part. */
static void keep_idle(struct bench_table *table, uint64_t limit)
{
	for (unsigned int i = 0; i < SHARDS; i++) {
		struct shard *shard = &table->shard[i];

		pthread_mutex_lock(&shard->lock);
		buckets_keep_idle(&shard->buckets, (limit + SHARDS - 1) / SHARDS, stream_end);
		pthread_mutex_unlock(&shard->lock);
	}
}

static inline struct bench_stream *stream_find(struct bench_table *table, const struct sctx_id *id)
{
	uint64_t hash = compact_hash(id);
	struct shard *shard = shard_of(table, hash);
	struct bench_stream *stream;

	pthread_mutex_lock(&shard->lock);
	stream = buckets_find(&shard->buckets, hash, id);
	if (stream)
		stream_enter(stream);
	pthread_mutex_unlock(&shard->lock);
	return stream;
}

static const struct backend_ops ops = {
	.name = "sharded",
	.lacks = "frees at once: no grace period, nothing stays valid outside the stream's lock",
	.table_create = table_create,
	.table_destroy = table_destroy,
	.table_count = table_count,
	.open = stream_open,
	.close = stream_close,
	.find = stream_find,
	.enter = stream_enter,
	.leave = stream_leave,
	.lookup = entries_lookup,
	.insert = context_insert,
	.del = context_del,
	.bump = context_bump,
	.keep_idle = keep_idle,
};

BENCH_BACKEND(ops);
