/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The list of a registry's tracked streams.  Called by users and by unload.c, and by
 * a stream's teardown through its tracker.
 */
#include "registry/track.h"

#include "stream/context.h"
#include "stream/list.h"

#include <errno.h>

/* ---------------------------------------------------------------- the list */

/* In this section the lock is held. */

static void link_after(struct sctx__tracked *record, struct sctx__tracked *before)
{
	struct sctx__tracked **place = before ? &before->next : &record->registry->tracked;

	record->prev = before;
	record->next = *place;
	if (record->next)
		record->next->prev = record;
	*place = record;
}

static void unlink_record(struct sctx__tracked *record)
{
	if (record->prev)
		record->prev->next = record->next;
	else
		record->registry->tracked = record->next;
	if (record->next)
		record->next->prev = record->prev;
}

/* --------------------------------------------------------- track, untrack */

static void record_free(struct sctx__block *block)
{
	_Static_assert(offsetof(struct sctx__tracked, tracker.block) == 0, "a record is its block");
	sctx__pool_free(block, sizeof(struct sctx__tracked));
}

/* At the stream's teardown. */
static void untrack(struct sctx__tracker *tracker)
{
	struct sctx__tracked *record = (struct sctx__tracked *)tracker;
	struct sctx_registry *registry = record->registry;

	sctx__lock_u32(&registry->tracked_lock);
	unlink_record(record);
	sctx__store(&registry->tracked_count, registry->tracked_count - 1);
	sctx__unlock_u32(&registry->tracked_lock, 0);
}

static int track(struct sctx__tracked *record)
{
	struct sctx_stream *stream = record->stream;
	uint32_t state = stream_lock(stream);
	int error = state & SCTX__TRACKED ? -EALREADY : sctx__stream_refuses(state);

	if (!error) {
		sctx__lock_u32(&record->registry->tracked_lock);
		link_after(record, NULL);
		sctx__store(&record->registry->tracked_count, record->registry->tracked_count + 1);
		sctx__unlock_u32(&record->registry->tracked_lock, 0);
		stream->next = (struct sctx_stream *)record;
		state |= SCTX__TRACKED;
	}
	stream_unlock(stream, state);
	return error;
}

int sctx_stream_track(struct sctx_registry *registry, struct sctx_stream *stream)
{
	struct sctx__tracked *record;
	int error;

	if (!registry || !stream)
		return -EINVAL;
	if (sctx__load(&stream->state) & SCTX__MANAGED)
		return -EPERM;
	record = sctx__pool_alloc(sizeof(*record));
	if (!record)
		return -ENOMEM;
	*record = (struct sctx__tracked){ .tracker = { .block.free_fn = record_free,
						       .bytes = sizeof(*record),
						       .untrack = untrack },
					  .stream = stream,
					  .registry = registry };
	sctx__update_begin();
	error = track(record);
	sctx__update_end();
	if (error)
		sctx__pool_free(record, sizeof(*record));
	return error;
}

/* ------------------------------------------------------------------- sweep */

#define AT_ONCE 16

/* Move @cursor past the next few streams, which stay valid until the update ends. */
static int next_streams(struct sctx__tracked *cursor, struct sctx_stream **stream)
{
	struct sctx__tracked *last = cursor;
	int n = 0;

	sctx__lock_u32(&cursor->registry->tracked_lock);
	while (last->next && n < AT_ONCE) {
		last = last->next;
		if (last->stream)
			stream[n++] = last->stream;
	}
	if (last != cursor) {
		unlink_record(cursor);
		link_after(cursor, last);
	}
	sctx__unlock_u32(&cursor->registry->tracked_lock, 0);
	return n;
}

static void cursor_begin(struct sctx__tracked *cursor, struct sctx_registry *registry)
{
	sctx__update_begin();
	sctx__lock_u32(&registry->tracked_lock);
	if (cursor->registry)
		unlink_record(cursor);
	cursor->registry = registry;
	link_after(cursor, NULL);
	sctx__unlock_u32(&registry->tracked_lock, 0);
	sctx__update_end();
}

static void cursor_end(struct sctx__tracked *cursor)
{
	sctx__update_begin();
	sctx__lock_u32(&cursor->registry->tracked_lock);
	unlink_record(cursor);
	sctx__unlock_u32(&cursor->registry->tracked_lock, 0);
	sctx__update_end();
	cursor->registry = NULL;
}

void sctx__tracked_sweep(struct sctx_registry *registry, struct sctx__tracked *cursor,
			 void (*fn)(struct sctx_stream *stream, void *arg), void *arg)
{
	struct sctx_stream *stream[AT_ONCE];
	int n;

	cursor_begin(cursor, registry);
	do {
		sctx__admit(false); /* goes on after an error: unregister must not fail */
		sctx__update_begin();
		n = next_streams(cursor, stream);
		for (int i = 0; i < n; i++)
			fn(stream[i], arg);
		sctx__update_end();
	} while (n);
	cursor_end(cursor);
}
