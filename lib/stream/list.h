/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stream's list, for its writers: lib/stream/context.c, with the stream's lock
 * held.  The readers are in streamctx/inline.h.
 *
 *   stream                                    array (when inline is full)
 *   +----------------------------+            +----------------------------+
 *   | list: 0, 1, 2 or array  ---|----------->| block | count | capacity   |
 *   | inline_entry[0]            |            | tags                       |
 *   | inline_entry[1]            |            | entry[0] {owner, instance, |
 *   | state: lock and flags      |            |           context -> ...}  |
 *   +----------------------------+            | entry[1] ...               |
 *                                             +----------------------------+
 *
 * The list only grows: write an entry, then publish the count.  Unlinking
 * stores NULL over an entry's context.  A slot is never reused.  When the list
 * is full, the live entries are copied to a new array, oldest first, and the
 * old one is retired.  So readers see either a whole entry or none, and a reader
 * in an old array sees the list as it was when it began.
 */
#ifndef SCTX_LIST_H
#define SCTX_LIST_H

#include "base/pool.h"
#include "reclaim/reclaim.h"

#include <string.h>

static inline uint16_t stream_lock(struct sctx_stream *stream)
{
	return sctx__lock_u16(&stream->state);
}

static inline void stream_unlock(struct sctx_stream *stream, uint16_t state)
{
	sctx__unlock_u16(&stream->state, state);
}

static inline struct sctx__array *list_array(uintptr_t list)
{
	list &= ~SCTX__LIST_HIDDEN;
	return list >= SCTX__LIST_ARRAY ? (struct sctx__array *)list : NULL;
}

static inline uint64_t *array_tag(struct sctx__array *array)
{
	return (uint64_t *)(array + 1);
}

static inline struct sctx_entry *array_entry(struct sctx__array *array)
{
	return (struct sctx_entry *)(array_tag(array) + array->capacity / 8);
}

/* All entries of @stream, even if it is disabled.  Stream locked. */
static inline struct sctx__view list_all(struct sctx_stream *stream)
{
	uintptr_t list = stream->list & ~SCTX__LIST_HIDDEN;

	if (list >= SCTX__LIST_ARRAY)
		return sctx__array_view(list);
	return (struct sctx__view){ stream->inline_entry, NULL, list };
}

/* False if @owner has no entry, the common case of an insert.  Stream locked. */
static inline bool list_may_have(struct sctx_stream *stream, const void *owner)
{
	return stream->only ? stream->only == owner : stream->list != 0;
}

/* The newest match, even if @stream is disabled.  Stream locked. */
static inline const struct sctx_entry *list_match(struct sctx_stream *stream, const void *owner,
						  const void *instance, struct sctx_context **ctx)
{
	bool gone;

	return sctx__view_match(list_all(stream), owner, instance, ctx, &gone);
}

/* The field that readers load, for writers. */
static inline struct sctx_context **entry_context(const struct sctx_entry *entry)
{
	return (struct sctx_context **)&entry->context;
}

/* Lists shorter than this are never copied for the sake of what is gone from them. */
#ifndef SCTX__COMPACT_MIN
#define SCTX__COMPACT_MIN 32
#endif

/*
 * How many entries of @array have lost their context: kept in block.next, which has no
 * other use before the array is retired.  Stream locked.
 */
static inline uintptr_t array_gone(const struct sctx__array *array)
{
	return (uintptr_t)array->block.next;
}

/* More than half of the entries are gone, and readers still pass them.  Stream locked. */
static inline bool list_is_sparse(const struct sctx_stream *stream)
{
	const struct sctx__array *array = list_array(stream->list);

	return array && array->count >= SCTX__COMPACT_MIN && array_gone(array) > array->count / 2 &&
	       !(stream->list & SCTX__LIST_HIDDEN);
}

/*
 * Take @entry's context off @stream's list.  Stream locked; readers that have the context
 * keep it.  The release pairs with the acquire in sctx__entry_load(): a reader that sees
 * it gone sees what was inserted before.
 */
static inline void entry_clear(struct sctx_stream *stream, const struct sctx_entry *entry)
{
	struct sctx__array *array = list_array(stream->list);

	sctx__store_release(entry_context(entry), NULL);
	if (array)
		array->block.next = (struct sctx__block *)(array_gone(array) + 1);
}

/* A multiple of 64, so no array's address is one of list's small values. */
static inline size_t array_size(size_t capacity)
{
	return (sizeof(struct sctx__array) + capacity * (1 + sizeof(struct sctx_entry)) + 63) &
	       ~(size_t)63;
}

static inline void array_free(struct sctx__array *array)
{
	sctx__pool_free(array, array_size(array->capacity));
}

static inline void array_retire(struct sctx__array *array)
{
	if (array)
		sctx__retire_memory(&array->block, array_size(array->capacity));
}

/* An array with room for @entries or more: 8, 16, 32 ... */
static inline struct sctx__array *array_alloc(size_t entries)
{
	struct sctx__array *array;
	size_t capacity = 8;

	if (entries > UINT32_MAX / 2)
		return NULL;
	while (capacity < entries)
		capacity *= 2;
	array = sctx__pool_alloc(array_size(capacity));
	if (!array)
		return NULL;
	/* Readers would take a pointer with this bit for a hidden list. */
	if ((uintptr_t)array & SCTX__LIST_HIDDEN) {
		sctx__pool_free(array, array_size(capacity));
		return NULL;
	}
	array->block.next = NULL;
	array->count = 0;
	array->capacity = (uint32_t)capacity;
	memset(array_tag(array), 0, capacity);
	return array;
}

static inline bool list_has_room(uintptr_t list)
{
	struct sctx__array *array = list_array(list);

	return array ? array->count < array->capacity : list < SCTX_INLINE_ENTRIES;
}

/* Live entries of @stream.  Stream locked. */
static inline size_t list_live(struct sctx_stream *stream)
{
	struct sctx__view view = list_all(stream);
	size_t live = 0;

	for (uintptr_t i = 0; i < view.count; i++)
		live += view.entry[i].context != NULL;
	return live;
}

static inline void entry_write(struct sctx_entry *entry, struct sctx_context *ctx)
{
	entry->owner = ctx->owner;
	entry->instance = ctx->instance;
	sctx__store(&entry->context, ctx);
}

/* The slot after the last entry, not published yet.  Readers may load the tag's word. */
static inline struct sctx_entry *array_next(struct sctx__array *array, const void *owner)
{
	uint64_t *word = &array_tag(array)[array->count / 8];

	sctx__store(word, *word | sctx__tag(owner) << array->count % 8 * 8);
	return &array_entry(array)[array->count];
}

/*
 * Publish @list, with @only if it is one inline entry of that owner.  stream->only
 * is NULL whenever it could disagree with the list, so a reader that matches it
 * sees the list of that moment.  The releases pair with the acquires in
 * sctx__lookup() and sctx__list_view().
 */
static inline void list_publish(struct sctx_stream *stream, uintptr_t list, const void *only)
{
	if (stream->only)
		sctx__store(&stream->only, NULL);
	sctx__store_release(&stream->list, list);
	if (only)
		sctx__store_release(&stream->only, only);
}

/* @list has room.  The release pairs with the acquire in sctx__array_view(). */
static inline void list_append(struct sctx_stream *stream, uintptr_t list, struct sctx_context *ctx)
{
	struct sctx__array *array = list_array(list);

	if (array) {
		entry_write(array_next(array, ctx->owner), ctx);
		sctx__store_release(&array->count, array->count + 1);
	} else {
		if (list >= SCTX_INLINE_ENTRIES) /* gcc -Os does not know */
			__builtin_unreachable();
		entry_write(&stream->inline_entry[list], ctx);
		list_publish(stream, list + 1, list ? NULL : ctx->owner);
	}
}

/* The array is not published yet. */
static inline void array_add(struct sctx__array *array, struct sctx_context *ctx)
{
	entry_write(array_next(array, ctx->owner), ctx);
	array->count++;
}

/*
 * Let @array take over: the live entries, with @ctx, if any, in the place of @replaced
 * or, without one, as the newest.  Returns the array to retire.
 */
static inline struct sctx__array *list_replace(struct sctx_stream *stream,
					       struct sctx__array *array,
					       const struct sctx_entry *replaced,
					       struct sctx_context *ctx)
{
	struct sctx__array *old = list_array(stream->list);
	struct sctx__view view = list_all(stream);

	for (uintptr_t i = 0; i < view.count; i++) {
		bool here = &view.entry[i] == replaced;

		if (here || view.entry[i].context)
			array_add(array, here ? ctx : view.entry[i].context);
	}
	if (ctx && !replaced)
		array_add(array, ctx);
	list_publish(stream, (uintptr_t)array, NULL);
	return old;
}

#endif /* SCTX_LIST_H */
