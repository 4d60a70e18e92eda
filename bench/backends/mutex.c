/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What most daemons do: one mutex for the table, one for each stream.  A
 * section is the stream's mutex held; find takes it before it lets go of the
 * table's, so that the last close cannot free the stream in between.
 */
#include <pthread.h>

#define TABLE_LOCK  pthread_mutex_t
#define STREAM_LOCK pthread_mutex_t
#include "chained.h"

static struct bench_table *table_create(uint64_t streams)
{
	struct bench_table *table = bench_alloc_lines(sizeof(*table));

	(void)streams;
	pthread_mutex_init(&table->lock, NULL);
	chained_init(table);
	return table;
}

static void table_destroy(struct bench_table *table)
{
	pthread_mutex_destroy(&table->lock);
	free(table->chain);
	free(table);
}

static uint64_t table_count(struct bench_table *table)
{
	return table->streams;
}

static inline struct bench_stream *stream_open(struct bench_table *table, const struct sctx_id *id)
{
	uint64_t hash = chained_hash(id);
	struct bench_stream *stream;

	pthread_mutex_lock(&table->lock);
	stream = chained_find(table, hash, id);
	if (stream) {
		if (stream->opens++ == 0)
			lru_remove(&table->lru, &stream->idle);
	} else {
		stream = chained_add(table, hash, id);
		pthread_mutex_init(&stream->lock, NULL);
	}
	pthread_mutex_unlock(&table->lock);
	return stream;
}

/* Out of the table by now.  A thread that found it before may still be inside: wait. */
static void stream_end(struct bench_stream *stream)
{
	pthread_mutex_lock(&stream->lock);
	list_free(stream);
	pthread_mutex_unlock(&stream->lock);
	pthread_mutex_destroy(&stream->lock);
	free(stream);
}

static inline void stream_close(struct bench_table *table, struct bench_stream *stream)
{
	struct lru_link *gone = NULL;

	pthread_mutex_lock(&table->lock);
	if (--stream->opens == 0)
		gone = lru_closed(&table->lru, &stream->idle);
	if (gone)
		chained_remove(table, LRU_STREAM(gone));
	pthread_mutex_unlock(&table->lock);
	if (gone)
		stream_end(LRU_STREAM(gone));
}

static void keep_idle(struct bench_table *table, uint64_t limit)
{
	struct lru_link *gone;

	pthread_mutex_lock(&table->lock);
	table->lru.limit = (uint32_t)limit;
	while ((gone = lru_excess(&table->lru)) != NULL) {
		chained_remove(table, LRU_STREAM(gone));
		stream_end(LRU_STREAM(gone));
	}
	pthread_mutex_unlock(&table->lock);
}

static inline struct bench_stream *stream_find(struct bench_table *table, const struct sctx_id *id)
{
	uint64_t hash = chained_hash(id);
	struct bench_stream *stream;

	pthread_mutex_lock(&table->lock);
	stream = chained_find(table, hash, id);
	if (stream)
		pthread_mutex_lock(&stream->lock);
	pthread_mutex_unlock(&table->lock);
	return stream;
}

static inline void stream_enter(struct bench_stream *stream)
{
	pthread_mutex_lock(&stream->lock);
}

static inline void stream_leave(struct bench_stream *stream)
{
	pthread_mutex_unlock(&stream->lock);
}

static inline void context_insert(struct bench_stream *stream, const void *owner,
				  const void *instance, uint64_t word)
{
	struct bench_context *ctx = context_new(owner, instance, word);

	pthread_mutex_lock(&stream->lock);
	list_push(stream, ctx);
	pthread_mutex_unlock(&stream->lock);
}

static inline void context_del(struct bench_stream *stream, const void *owner,
			       const void *instance)
{
	struct bench_context *ctx;

	pthread_mutex_lock(&stream->lock);
	ctx = list_remove(stream, owner, instance);
	pthread_mutex_unlock(&stream->lock);
	if (ctx)
		ctx->free_callback(ctx);
}

static inline void context_bump(struct bench_stream *stream, const void *owner)
{
	uint64_t *word;

	pthread_mutex_lock(&stream->lock);
	word = list_lookup(stream, owner, NULL);
	if (!word) {
		struct bench_context *ctx = context_new(owner, NULL, 0);

		list_push(stream, ctx);
		word = &ctx->word;
	}
	++*word;
	pthread_mutex_unlock(&stream->lock);
	bench_bumped(&ops);
}

static const void *owner_register(struct bench_table *table)
{
	(void)table;
	return bench_alloc(1);
}

static void owner_insert(struct bench_stream *stream, const void *owner, uint64_t word)
{
	context_insert(stream, owner, NULL, word);
}

/* With the table locked throughout: what else can be done with one mutex. */
static void owner_unregister(struct bench_table *table, const void *owner)
{
	pthread_mutex_lock(&table->lock);
	for (uint64_t i = 0; i <= table->mask; i++) {
		for (struct bench_stream *s = table->chain[i]; s; s = s->next) {
			struct bench_context *ctx;

			pthread_mutex_lock(&s->lock);
			while ((ctx = list_remove(s, owner, NULL)) != NULL)
				ctx->free_callback(ctx);
			pthread_mutex_unlock(&s->lock);
		}
	}
	pthread_mutex_unlock(&table->lock);
	free((void *)owner);
}

static const struct backend_ops ops = {
	.name = "mutex",
	.lacks = "frees at once: no grace period, nothing stays valid outside the stream's mutex",
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
	.keep_idle = keep_idle,
	.owner_register = owner_register,
	.owner_insert = owner_insert,
	.owner_unregister = owner_unregister,
};

BENCH_BACKEND(ops);
