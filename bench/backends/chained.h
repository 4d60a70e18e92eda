/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The textbook: a hash table with chaining that doubles when it is full, and
 * a linked list of contexts on each stream.  Locking is the includer's, which
 * defines TABLE_LOCK and STREAM_LOCK, the types of a table's and a stream's
 * lock.  What is removed is freed at once.
 */
#ifndef BENCH_CHAINED_H
#define BENCH_CHAINED_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../harness/backend.h"
#include "lru.h"

OPS_DECLARE;	/* the includer's */

struct bench_context {
	const void *owner;
	const void *instance;
	void (*free_callback)(struct bench_context *ctx);
	struct bench_context *next;	/* older */
	uint64_t word;
};

struct bench_stream {
	struct sctx_id id;
	uint64_t hash;
	struct bench_stream *next;	/* in the chain */
	uint32_t opens;
	STREAM_LOCK lock;
	struct bench_context *newest;
	struct lru_link idle;		/* allocated where the table keeps idle streams */
};

struct bench_table {
	TABLE_LOCK lock;
	struct bench_stream **chain;
	uint64_t mask;
	uint64_t streams;
	struct lru lru;
};

#define CHAINED_FIRST_SIZE 64

static inline uint64_t chained_hash(const struct sctx_id *id)
{
	return XXH3_64bits_withSeed(id, sizeof(*id), 0x5eed);
}

static void chained_init(struct bench_table *table)
{
	table->mask = CHAINED_FIRST_SIZE - 1;
	table->streams = 0;
	lru_init(&table->lru);
	table->chain = bench_alloc_lines(CHAINED_FIRST_SIZE * sizeof(*table->chain));
}

static inline struct bench_stream *chained_find(struct bench_table *table, uint64_t hash,
						const struct sctx_id *id)
{
	struct bench_stream *stream = table->chain[hash & table->mask];

	while (stream && (stream->hash != hash || memcmp(&stream->id, id, sizeof(*id)) != 0))
		stream = stream->next;
	return stream;
}

static void chained_double(struct bench_table *table)
{
	struct bench_stream **old = table->chain;
	uint64_t old_size = table->mask + 1;

	table->mask = 2 * old_size - 1;
	table->chain = bench_alloc_lines(2 * old_size * sizeof(*table->chain));
	for (uint64_t i = 0; i < old_size; i++) {
		struct bench_stream *next;

		for (struct bench_stream *stream = old[i]; stream; stream = next) {
			struct bench_stream **head = &table->chain[stream->hash & table->mask];

			next = stream->next;
			stream->next = *head;
			*head = stream;
		}
	}
	free(old);
}

/* A new stream with one open reference; the includer sets up its lock. */
static inline struct bench_stream *chained_add(struct bench_table *table, uint64_t hash,
					       const struct sctx_id *id)
{
	struct bench_stream *stream = bench_alloc(table->lru.limit
		? sizeof(*stream) : offsetof(struct bench_stream, idle));
	struct bench_stream **head;

	if (table->streams++ > table->mask)
		chained_double(table);
	head = &table->chain[hash & table->mask];
	stream->id = *id;
	stream->hash = hash;
	stream->opens = 1;
	stream->newest = NULL;
	stream->next = *head;
	*head = stream;
	return stream;
}

static inline void chained_remove(struct bench_table *table, struct bench_stream *stream)
{
	struct bench_stream **link = &table->chain[stream->hash & table->mask];

	while (*link != stream)
		link = &(*link)->next;
	*link = stream->next;
	table->streams--;
}

/* The pointer that points to the match, or to the list's end. */
static inline struct bench_context **list_find(struct bench_stream *stream, const void *owner,
					       const void *instance)
{
	struct bench_context **link = &stream->newest;

	while (*link && ((*link)->owner != owner || (instance && (*link)->instance != instance)))
		link = &(*link)->next;
	return link;
}

static inline uint64_t *list_lookup(struct bench_stream *stream, const void *owner,
				    const void *instance)
{
	struct bench_context *ctx = *list_find(stream, owner, instance);

	return ctx ? &ctx->word : NULL;
}

static inline void list_push(struct bench_stream *stream, struct bench_context *ctx)
{
	ctx->next = stream->newest;
	stream->newest = ctx;
}

static inline struct bench_context *list_remove(struct bench_stream *stream, const void *owner,
						const void *instance)
{
	struct bench_context **link = list_find(stream, owner, instance);
	struct bench_context *ctx = *link;

	if (ctx)
		*link = ctx->next;
	return ctx;
}

static inline void list_free(struct bench_stream *stream)
{
	struct bench_context *next;

	for (struct bench_context *ctx = stream->newest; ctx; ctx = next) {
		next = ctx->next;
		ctx->free_callback(ctx);
	}
}

static void context_free(struct bench_context *ctx)
{
	bench_freed(&ops, ctx->word);
	free(ctx);
}

static inline struct bench_context *context_new(const void *owner, const void *instance,
						uint64_t word)
{
	struct bench_context *ctx = bench_alloc(BENCH_CONTEXT_SIZE);

	ctx->owner = owner;
	ctx->instance = instance;
	ctx->free_callback = context_free;
	ctx->word = word;
	bench_created(&ops, word);
	return ctx;
}

#endif /* BENCH_CHAINED_H */
