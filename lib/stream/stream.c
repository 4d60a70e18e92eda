/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams: set-up, disabling, teardown, retiring; and streams behind a pointer.
 * Called by users and by registry.c.  context.c says what the stream's lock
 * covers.
 */
#include "stream/context.h"
#include "stream/list.h"
#include "base/pool.h"
#include "reclaim/private.h"
#include "stream/refs.h"
#include "memory/tag.h"
#include "thread/counter.h"

const struct sctx_stream sctx__no_stream;

int sctx_stream_init(struct sctx_stream *stream)
{
	if (!stream)
		return -EINVAL;
	sctx__stream_setup(stream, 0);
	return 0;
}

bool sctx_stream_supports_contexts(const struct sctx_stream *stream)
{
	return stream && sctx__load(&stream->state) & SCTX__READY;
}

/* The release orders the list's contents before it, as in every publish. */
int sctx_stream_disable(struct sctx_stream *stream)
{
	uint32_t state;

	if (!stream)
		return -EINVAL;
	sctx__update_begin();
	state = stream_lock(stream);
	if (state & SCTX__READY)
		list_publish(stream, stream->list | SCTX__LIST_HIDDEN, NULL);
	stream_unlock(stream, state & ~SCTX__READY);
	sctx__update_end();
	return 0;
}

struct report {
	void (*fn)(struct sctx_context *ctx, void *arg);
	void *arg;
	int count;
};

static void report_all(struct report *report, struct sctx__view all)
{
	while (all.count-- > 0) {
		struct sctx_context *ctx = all.entry[all.count].context;

		if (!ctx)
			continue;
		report->count++;
		if (report->fn)
			report->fn(ctx, report->arg);
	}
}

SCTX__INLINE void drop_all(struct sctx__retiring *r, struct sctx_stream *stream,
			   struct sctx__view all)
{
	int64_t removes = 0;

	for (const struct sctx_entry *e = all.entry; e < all.entry + all.count; e++) {
		struct sctx_context *ctx = e->context;
		bool last;

		if (!ctx)
			continue;
		last = sctx__unlinked_for_limbo(ctx);
		sctx__owned_unlinked(ctx, stream);
		sctx__put_unlinked(r, ctx, last);
		removes++;
	}
	sctx__count(SCTX__REMOVES, removes);
}

/*
 * Stream locked.  A tracker's walk finds the stream until it is off the list, so untrack it
 * before another thread can retire it.
 */
static __attribute__((noinline)) struct sctx__tracker *untrack(struct sctx_stream *stream)
{
	struct sctx__tracker *tracker = (struct sctx__tracker *)stream->next;

	tracker->untrack(tracker);
	return tracker;
}

static __attribute__((noinline)) void teardown_rest(struct sctx__array *array,
						    struct sctx__tracker *tracker)
{
	array_retire(array);
	if (tracker)
		sctx__retire_block(&tracker->block, tracker->bytes);
}

/*
 * Once the list is empty and the stream is torn down, no other thread changes
 * the entries, so the contexts are dropped without the lock.
 */
SCTX__INLINE int teardown_locked(struct sctx__retiring *r, struct sctx_stream *stream,
				 uint32_t state, uint32_t also, struct report *report)
{
	struct sctx__view all = list_all(stream);
	struct sctx__array *array = list_array(stream->list);
	struct sctx__tracker *tracker = NULL;

	list_publish(stream, 0, NULL);
	if (sctx__unlikely(state & SCTX__TRACKED))
		tracker = untrack(stream);
	stream_unlock(stream, (state & ~(SCTX__READY | SCTX__TRACKED)) | SCTX__TORN | also);
	sctx__probe2(teardown, stream, all.count);

	if (report)
		report_all(report, all);
	drop_all(r, stream, all);
	if (sctx__unlikely(array || tracker))
		teardown_rest(array, tracker);
	if (state & also)
		return sctx__misuse_stream(-EALREADY, "stream retired twice", stream);
	if (also)
		sctx__debug_did(stream, state & SCTX__MANAGED ? "closed" : "retired");
	return 0;
}

void sctx__node_teardown_locked(struct sctx_stream *stream, uint16_t state, size_t bytes)
{
	struct sctx__retiring r = sctx__retire_begin();

	teardown_locked(&r, stream, state, SCTX__RETIRED, NULL);
	sctx__retire_node(&r, stream, bytes);
	sctx__retire_end(&r);
}

void sctx__node_teardown(struct sctx_stream *stream, size_t bytes)
{
	sctx__node_teardown_locked(stream, stream_lock(stream), bytes);
}

/* A registry's stream is torn down only by the registry. */
static bool is_managed(const struct sctx_stream *stream)
{
	return sctx__load(&stream->state) & SCTX__MANAGED;
}

static int teardown_now(struct sctx_stream *stream, struct report *report)
{
	struct sctx__retiring r;

	sctx__update_begin();
	r = sctx__retire_begin();
	teardown_locked(&r, stream, stream_lock(stream), 0, report);
	sctx__retire_end(&r);
	sctx__update_end();
	return report ? report->count : 0;
}

int sctx_teardown(struct sctx_stream *stream)
{
	sctx__debug_enter();
	if (!stream)
		return -EINVAL;
	if (is_managed(stream))
		return -EPERM;
	return teardown_now(stream, NULL);
}

int sctx_teardown_report(struct sctx_stream *stream,
			 void (*fn)(struct sctx_context *ctx, void *arg), void *arg)
{
	struct report report = { .fn = fn, .arg = arg };

	sctx__debug_enter();
	if (!stream)
		return -EINVAL;
	if (is_managed(stream))
		return -EPERM;
	return teardown_now(stream, &report);
}

/* True if @stream was torn down before. */
static bool teardown_private(struct sctx_stream *stream, struct sctx__private *own)
{
	struct sctx__retiring r = sctx__private_retire_begin(own);
	uint32_t state;

	sctx__update_begin();
	state = stream_lock(stream);
	teardown_locked(&r, stream, state, 0, NULL);
	sctx__private_retire_end(own, &r);
	sctx__update_end();
	return state & SCTX__TORN;
}

/*
 * Contexts of an earlier teardown are in limbo, or in another thread's private limbo; the
 * barrier waits for both.
 */
static int teardown_and_wait(struct sctx_stream *stream)
{
	struct sctx__private own;
	bool torn, all_run;

	sctx__private_begin(&own);
	torn = teardown_private(stream, &own);
	all_run = sctx__private_finish(&own);
	return torn || !all_run ? sctx_barrier() : 0;
}

int sctx_teardown_sync(struct sctx_stream *stream)
{
	int error, cancel;

	sctx__debug_enter();
	if (!stream)
		return -EINVAL;
	if (is_managed(stream))
		return -EPERM;
	if (sctx__must_not_wait())
		return -EDEADLK;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	error = teardown_and_wait(stream);
	pthread_setcancelstate(cancel, NULL);
	return error;
}

/*
 * Teardown and retiring share one section, so the contexts reach limbo, and are
 * called back, no later than the stream.
 */
int sctx_stream_retire(struct sctx_stream *stream, void (*free_fn)(struct sctx_stream *stream))
{
	struct sctx__retiring r;
	int error;

	sctx__debug_enter();
	if (!stream || !free_fn)
		return -EINVAL;
	if (is_managed(stream))
		return -EPERM;
	sctx__update_begin();
	r = sctx__retire_begin();
	error = teardown_locked(&r, stream, stream_lock(stream), SCTX__RETIRED, NULL);
	if (!error) {
		stream->free_fn = free_fn;
		sctx__retire_stream(&r, stream);
	}
	sctx__retire_end(&r);
	sctx__update_end();
	return error;
}

/* ---------------------------------------------------------------- for each */

/* Contexts stay linked to a disabled stream, so it is walked as well. */
static struct sctx__view view_of_all(const struct sctx_stream *stream)
{
	/* Pairs with the releases that publish an entry or an array. */
	uintptr_t list = sctx__load_acquire(&stream->list) & ~SCTX__LIST_HIDDEN;

	if (list >= SCTX__LIST_ARRAY)
		return sctx__array_view(list);
	return (struct sctx__view){ stream->inline_entry, NULL, list };
}

size_t sctx__stream_bytes(const struct sctx_stream *stream)
{
	struct sctx__view view = view_of_all(stream);
	size_t bytes = view.tag ? array_size(view.count) : 0;

	while (view.count-- > 0) {
		struct sctx_context *ctx = sctx__load_acquire(&view.entry[view.count].context);

		if (ctx && sctx__load(&ctx->flags) & SCTX__ALLOCATED)
			bytes += sctx__alloc_size(ctx);
	}
	return bytes;
}

struct sctx_stream *sctx_context_stream(const struct sctx_context *ctx)
{
	struct sctx_stream *stream;

	/* Pairs with the releases in context_claim(): the caller sees what the inserter did. */
	stream = ctx ? sctx__load_acquire(&ctx->stream) : NULL;
	return stream == SCTX__IN_LIMBO ? NULL : stream;
}

int sctx_stream_for_each(const struct sctx_stream *stream,
			 int (*fn)(struct sctx_context *ctx, void *arg), void *arg)
{
	struct sctx__view view;
	int result = 0;

	if (!stream || !fn)
		return -EINVAL;
	sctx__rcu_read_lock();
	view = view_of_all(stream);
	while (view.count-- > 0 && !result) {
		struct sctx_context *ctx = sctx__load_acquire(&view.entry[view.count].context);

		if (ctx)
			result = fn(ctx, arg);
	}
	sctx__rcu_read_unlock();
	return result;
}

/* -------------------------------------------------------- behind a pointer */

#define LAZY_SIZE ((sizeof(struct sctx_stream) + 63) & ~(size_t)63)

static void lazy_free(struct sctx_stream *stream)
{
	sctx__pool_free(stream, LAZY_SIZE);
}

struct sctx_stream *sctx_stream_load(struct sctx_stream *const *slot)
{
	/* Pairs with the release in sctx_stream_create(). */
	return slot ? sctx__load_acquire(slot) : NULL;
}

int sctx_stream_create(struct sctx_stream **slot, struct sctx_stream **out)
{
	struct sctx_stream *created, *there = NULL;

	if (!out)
		return -EINVAL;
	*out = NULL;
	if (!slot)
		return -EINVAL;
	*out = sctx_stream_load(slot);
	if (*out)
		return 0;
	created = sctx__pool_alloc(LAZY_SIZE);
	if (!created)
		return -ENOMEM;
	sctx__stream_setup(created, 0);
	/* Pairs with the acquire in sctx_stream_load(). */
	if (sctx__cas_acq_rel(slot, &there, created)) {
		*out = created;
	} else {
		lazy_free(created);
		*out = there;
	}
	return 0;
}

int sctx_stream_drop(struct sctx_stream **slot)
{
	struct sctx_stream *stream;

	if (!slot)
		return -EINVAL;
	stream = sctx__exchange_acq_rel(slot, NULL);
	return stream ? sctx_stream_retire(stream, lazy_free) : 0;
}
