/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The data layout of streamctx without its synchronisation, for the backends
 * that are to differ from it in that alone: a table of cache-line buckets over
 * the streams of compact-stream.h.  Nothing here is thread-safe.
 */
#ifndef BENCH_COMPACT_H
#define BENCH_COMPACT_H

#include "compact-stream.h"

#define BUCKET_SLOTS 7

/* A slot is a stream's address with a tag of its hash in the upper 16 bits. */
struct bucket {
	uintptr_t slot[BUCKET_SLOTS];
	struct bucket *overflow;
};

struct buckets {
	struct bucket *bucket;
	uint32_t mask;
	uint32_t streams;
	struct lru lru;
};

#define BUCKETS_FIRST	1
#define BUCKET_FILL	4	/* streams a bucket, on average, at which to double */
#define TAG_SHIFT	48
#define SLOT_STREAM(s)	((struct bench_stream *)((s) & (((uintptr_t)1 << TAG_SHIFT) - 1)))

static void buckets_init(struct buckets *t)
{
	t->mask = BUCKETS_FIRST - 1;
	t->streams = 0;
	lru_init(&t->lru);
	t->bucket = bench_alloc_lines(BUCKETS_FIRST * sizeof(*t->bucket));
}

static void buckets_free(struct buckets *t)
{
	struct bucket *next;

	for (uint32_t i = 0; i <= t->mask; i++) {
		for (struct bucket *b = t->bucket[i].overflow; b; b = next) {
			next = b->overflow;
			free(b);
		}
	}
	free(t->bucket);
}

static inline struct bench_stream *buckets_find(const struct buckets *t, uint64_t hash,
						const struct sctx_id *id)
{
	const uint64_t tag = hash >> TAG_SHIFT;

	for (const struct bucket *b = &t->bucket[hash & t->mask]; b; b = b->overflow) {
		for (int i = 0; i < BUCKET_SLOTS; i++) {
			struct bench_stream *stream = SLOT_STREAM(b->slot[i]);

			if (b->slot[i] >> TAG_SHIFT == tag && stream && id_equal(&stream->id, id))
				return stream;
		}
	}
	return NULL;
}

static inline void buckets_prefetch(const struct buckets *t, uint64_t hash)
{
	__builtin_prefetch(&t->bucket[hash & t->mask]);
}

/* The first stream of @hash's tag, whose bucket has been prefetched. */
static inline void buckets_prefetch_stream(const struct buckets *t, uint64_t hash)
{
	const struct bucket *b = &t->bucket[hash & t->mask];

	for (int i = 0; i < BUCKET_SLOTS; i++)
		if (b->slot[i] >> TAG_SHIFT == hash >> TAG_SHIFT)
			__builtin_prefetch(SLOT_STREAM(b->slot[i]));
}

static void buckets_put(struct buckets *t, uint64_t hash, struct bench_stream *stream)
{
	const uintptr_t slot = (uintptr_t)stream | (hash >> TAG_SHIFT) << TAG_SHIFT;
	struct bucket *b = &t->bucket[hash & t->mask];

	for (;; b = b->overflow) {
		for (int i = 0; i < BUCKET_SLOTS; i++) {
			if (!SLOT_STREAM(b->slot[i])) {
				b->slot[i] = slot;
				return;
			}
		}
		if (!b->overflow)
			b->overflow = bench_alloc_lines(sizeof(*b));
	}
}

static void buckets_double(struct buckets *t)
{
	struct buckets old = *t;

	t->mask = 2 * old.mask + 1;
	t->bucket = bench_alloc_lines((t->mask + 1ul) * sizeof(*t->bucket));
	for (uint32_t i = 0; i <= old.mask; i++) {
		for (struct bucket *b = &old.bucket[i]; b; b = b->overflow) {
			for (int k = 0; k < BUCKET_SLOTS; k++) {
				struct bench_stream *stream = SLOT_STREAM(b->slot[k]);

				if (stream)
					buckets_put(t, compact_hash(&stream->id), stream);
			}
		}
	}
	buckets_free(&old);
}

/* A new stream with one open reference and its lock free. */
static inline struct bench_stream *buckets_add(struct buckets *t, uint64_t hash,
					       const struct sctx_id *id)
{
	struct bench_stream *stream = bench_alloc(COMPACT_STREAM_SIZE);

	stream_init(stream, id);
	if (t->streams++ >= BUCKET_FILL * (t->mask + 1))
		buckets_double(t);
	buckets_put(t, hash, stream);
	return stream;
}

static inline void buckets_remove(struct buckets *t, uint64_t hash, struct bench_stream *stream)
{
	const uintptr_t slot = (uintptr_t)stream | (hash >> TAG_SHIFT) << TAG_SHIFT;

	for (struct bucket *b = &t->bucket[hash & t->mask]; b; b = b->overflow) {
		for (int i = 0; i < BUCKET_SLOTS; i++) {
			if (b->slot[i] == slot) {
				b->slot[i] = 0;
				t->streams--;
				return;
			}
		}
	}
}

/* The last close of @stream: which one is to go, out of the table by now, or NULL. */
static inline struct bench_stream *buckets_closed(struct buckets *t, struct bench_stream *stream)
{
	struct lru_link *gone = lru_closed(&t->lru, &stream->idle);

	if (!gone)
		return NULL;
	stream = LRU_STREAM(gone);
	buckets_remove(t, compact_hash(&stream->id), stream);
	return stream;
}

/* The new limit; streams beyond it go, each through @end. */
static inline void buckets_keep_idle(struct buckets *t, uint64_t limit,
				     void (*end)(struct bench_stream *stream))
{
	struct lru_link *gone;

	t->lru.limit = (uint32_t)limit;
	while ((gone = lru_excess(&t->lru)) != NULL) {
		buckets_remove(t, compact_hash(&LRU_STREAM(gone)->id), LRU_STREAM(gone));
		end(LRU_STREAM(gone));
	}
}

#endif /* BENCH_COMPACT_H */
