/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The layout of a stream in streamctx without its synchronisation: id and
 * first entry on one line, lists of entries that are searched without
 * touching a context.  For the backends that bring a table of their own, in C
 * or in C++, and a lock for the stream.  Nothing here is thread-safe.
 */
#ifndef BENCH_COMPACT_STREAM_H
#define BENCH_COMPACT_STREAM_H

#include <assert.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "../harness/backend.h"
#include "lru.h"

OPS_DECLARE;	/* the includer's */

struct bench_context {
	const void *owner;
	const void *instance;
	void (*free_callback)(struct bench_context *ctx);
	uint64_t word;
};

/*
 *   0    32     36     38      40         64         88     96         104
 *   +----+------+------+-------+----------+----------+------+----------+------+
 *   | id | opens| lock | count | inline[0]| inline[1]| more | capacity | idle |
 *   +----+------+------+-------+----------+----------+------+----------+------+
 *
 * @more takes over from the inline entries when there are too many.  Its
 * size makes malloc() align it to a cache line.
 */
#define COMPACT_STREAM_SIZE 128

struct bench_stream {
	struct sctx_id id;
	uint32_t opens;
	uint16_t lock;
	uint16_t count;
	struct sctx_entry inline_entry[SCTX_INLINE_ENTRIES];
	struct sctx_entry *more;
	uint32_t capacity;
	struct lru_link idle; /* if the includer keeps idle streams */
};

static_assert(offsetof(struct bench_stream, inline_entry[1]) == 64, "one line");
static_assert(sizeof(struct bench_stream) <= COMPACT_STREAM_SIZE, "two lines");

static inline uint64_t compact_hash(const struct sctx_id *id)
{
	return XXH3_64bits_withSeed(id, sizeof(*id), 0x5eed);
}

static inline bool id_equal(const struct sctx_id *a, const struct sctx_id *b)
{
	return a->volume == b->volume && a->file[0] == b->file[0] && a->file[1] == b->file[1] &&
	       a->stream == b->stream;
}

/* ---------------------------------------------------------------- entries */

/* Oldest first, as in streamctx. */
static inline struct sctx_entry *entries(struct bench_stream *stream)
{
	return stream->count <= SCTX_INLINE_ENTRIES ? stream->inline_entry : stream->more;
}

/* Behind the entries of @more, a byte of each one's owner's hash: see tagged_find(). */
#define TAGS_STEP 16
#define TAGS_FROM 5	/* of fewer, comparing all owners is as quick */

static inline uint8_t owner_tag(const void *owner)
{
	return (uint8_t)((uint64_t)(uintptr_t)owner * 0x9e3779b97f4a7c15 >> 56);
}

static inline uint8_t *entry_tags(struct bench_stream *stream)
{
	return (uint8_t *)(stream->more + stream->capacity);
}

static inline size_t more_size(uint32_t capacity)
{
	return capacity * sizeof(struct sctx_entry) +
	       (capacity < TAGS_STEP ? TAGS_STEP : capacity);
}

/* A bit for each of TAGS_STEP tags that is @tag. */
static inline uint32_t tags_equal(const uint8_t *tags, uint8_t tag)
{
#ifdef __SSE2__
	__m128i x = _mm_loadu_si128((const __m128i *)(const void *)tags);

	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8((char)tag)));
#else
	uint32_t found = 0;

	for (int i = 0; i < TAGS_STEP; i++)
		found |= (uint32_t)(tags[i] == tag) << i;
	return found;
#endif
}

static inline bool entry_is(const struct sctx_entry *entry, const void *owner,
			    const void *instance)
{
	return entry->owner == owner && (!instance || entry->instance == instance);
}

/* Sixteen entries at a time, by their tags, as streamctx does. */
static inline struct sctx_entry *tagged_find(struct bench_stream *stream, const void *owner,
					     const void *instance)
{
	const uint8_t tag = owner_tag(owner);
	uint32_t first = (stream->count - 1u) & ~(TAGS_STEP - 1u);

	for (;; first -= TAGS_STEP) {
		uint32_t found = tags_equal(entry_tags(stream) + first, tag);

		while (found) {
			uint32_t bit = 31u ^ (uint32_t)__builtin_clz(found);
			struct sctx_entry *entry = &stream->more[first + bit];

			if (first + bit < stream->count && entry_is(entry, owner, instance))
				return entry;
			found ^= 1u << bit;
		}
		if (!first)
			return NULL;
	}
}

/* The newest match, or NULL.  sctx_entry.context holds a struct bench_context. */
static inline struct sctx_entry *entries_find(struct bench_stream *stream, const void *owner,
					      const void *instance)
{
	struct sctx_entry *first = entries(stream);

	if (stream->count >= TAGS_FROM)
		return tagged_find(stream, owner, instance);
	for (struct sctx_entry *entry = first + stream->count; entry-- > first;)
		if (entry_is(entry, owner, instance))
			return entry;
	return NULL;
}

static inline struct bench_context *entry_context(struct sctx_entry *entry)
{
	return (struct bench_context *)(void *)entry->context;
}

static inline uint64_t *entries_lookup(struct bench_stream *stream, const void *owner,
				       const void *instance)
{
	struct sctx_entry *entry = entries_find(stream, owner, instance);

	return entry ? &entry_context(entry)->word : NULL;
}

/* One more than the present entries hold: move to a larger array. */
static void entries_grow(struct bench_stream *stream)
{
	uint32_t capacity = stream->more ? 2 * stream->capacity : 8;
	struct sctx_entry *more = (struct sctx_entry *)bench_alloc(more_size(capacity));

	memcpy(more, entries(stream), stream->count * sizeof(*more));
	free(stream->more);
	stream->more = more;
	stream->capacity = capacity;
	for (unsigned int i = 0; i < stream->count; i++)
		entry_tags(stream)[i] = owner_tag(more[i].owner);
}

/* From the inline entries to an array that is there from before. */
static inline void entries_move_out(struct bench_stream *stream)
{
	memcpy(stream->more, stream->inline_entry, sizeof(stream->inline_entry));
	for (unsigned int i = 0; i < SCTX_INLINE_ENTRIES; i++)
		entry_tags(stream)[i] = owner_tag(stream->inline_entry[i].owner);
}

static inline void entries_push(struct bench_stream *stream, struct bench_context *ctx)
{
	struct sctx_entry *entry = stream->inline_entry;

	if (stream->count >= SCTX_INLINE_ENTRIES) {
		if (!stream->more || stream->count == stream->capacity)
			entries_grow(stream);
		else if (stream->count == SCTX_INLINE_ENTRIES)
			entries_move_out(stream);
		entry = stream->more;
		entry_tags(stream)[stream->count] = owner_tag(ctx->owner);
	}
	entry += stream->count++;
	entry->owner = ctx->owner;
	entry->instance = ctx->instance;
	entry->context = (struct sctx_context *)(void *)ctx;
}

static inline struct bench_context *entries_remove(struct bench_stream *stream, const void *owner,
						   const void *instance)
{
	struct sctx_entry *entry = entries_find(stream, owner, instance);
	struct sctx_entry *end = entries(stream) + stream->count;
	struct bench_context *ctx;

	if (!entry)
		return NULL;
	ctx = entry_context(entry);
	memmove(entry, entry + 1, (size_t)((char *)end - (char *)(entry + 1)));
	if (stream->count > SCTX_INLINE_ENTRIES) {
		uint8_t *tag = entry_tags(stream) + (entry - stream->more);

		memmove(tag, tag + 1, (size_t)(end - (entry + 1)));
	}
	if (--stream->count == SCTX_INLINE_ENTRIES)
		memcpy(stream->inline_entry, stream->more, sizeof(stream->inline_entry));
	return ctx;
}

/* ---------------------------------------------------- contexts and streams */

static void context_free(struct bench_context *ctx)
{
	bench_freed(&ops, ctx->word);
	free(ctx);
}

static inline struct bench_context *context_new(const void *owner, const void *instance,
						uint64_t word)
{
	struct bench_context *ctx = (struct bench_context *)bench_alloc(BENCH_CONTEXT_SIZE);

	ctx->owner = owner;
	ctx->instance = instance;
	ctx->free_callback = context_free;
	ctx->word = word;
	bench_created(&ops, word);
	return ctx;
}

/* A new stream with one open reference, its lock free. */
static inline void stream_init(struct bench_stream *stream, const struct sctx_id *id)
{
	stream->id = *id;
	stream->opens = 1;
	stream->lock = 0;
	stream->count = 0;
	stream->more = NULL;
}

/* A stream's contexts and its array, but not the stream. */
static inline void stream_clear(struct bench_stream *stream)
{
	struct sctx_entry *entry = entries(stream);

	for (unsigned int i = 0; i < stream->count; i++) {
		struct bench_context *ctx = entry_context(&entry[i]);

		ctx->free_callback(ctx);
	}
	if (stream->more)
		free(stream->more);
}

static inline void stream_free(struct bench_stream *stream)
{
	stream_clear(stream);
	free(stream);
}

/* Add one to @owner's count; create its context if there is none. */
static inline void stream_bump(struct bench_stream *stream, const void *owner)
{
	uint64_t *word = entries_lookup(stream, owner, NULL);

	if (!word) {
		struct bench_context *ctx = context_new(owner, NULL, 0);

		entries_push(stream, ctx);
		word = &ctx->word;
	}
	++*word;
	bench_bumped(&ops);
}

#endif /* BENCH_COMPACT_STREAM_H */
