/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Closing streams, and removing them from the registry.  Called by users and by idle.c.
 *
 * A close that is not the last is one compare-and-swap; so is a last close if the
 * registry keeps idle streams.  All other removals go through sctx__node_kill() or
 * forget_locked().
 */
#include "registry/registry.h"

#include "base/debug.h"
#include "base/probe.h"
#include "reclaim/reclaim.h"
#include "registry/opens.h"
#include "stream/context.h"

#include <limits.h>

/*
 * Make @stream dead if its count is @opens.  The same step takes the stream's lock, and
 * *@state is what the lock found; if another thread holds the lock, which must not be
 * waited for with a bucket locked, *@state is 0.  Two steps cost open_cold a tenth.
 *
 * The acquire pairs with the releases of earlier closes and of an insert's unlock: the
 * teardown sees what was done before them.
 */
static bool stream_kill(struct sctx_stream *stream, uint32_t opens, uint16_t *state)
{
	uint64_t unlocked = sctx__load(&stream->state) & (uint16_t)~SCTX__LOCKED;
	uint64_t age = (uint64_t)sctx__load(&stream->age) << 16;

	_Static_assert(offsetof(struct sctx_stream, state) % 8 == 0 &&
			       offsetof(struct sctx_stream, age) ==
				       offsetof(struct sctx_stream, state) + 2 &&
			       offsetof(struct sctx_stream, opens) ==
				       offsetof(struct sctx_stream, state) + 4,
		       "one word");
	*state = (uint16_t)unlocked;
	if (sctx__cas_whole_acq_rel(&stream->state, unlocked | age | (uint64_t)opens << 32,
				    unlocked | SCTX__LOCKED | age | (uint64_t)SCTX__DEAD << 32,
				    &stream->opens))
		return true;
	*state = 0;
	return sctx__cas_acq_rel(&stream->opens, &opens, SCTX__DEAD);
}

static uintptr_t slot_of(struct sctx__node *node, uint32_t opens)
{
	return opens & SCTX__FORGOTTEN ? sctx__slot_forgotten(node) : sctx__slot_make(node);
}

bool sctx__node_kill(struct sctx_registry *registry, struct sctx__node *node, uint32_t opens)
{
	struct sctx__place place =
		sctx__table_lock(sctx__load_acquire(&registry->table), node->hash);
	uint16_t state;

	if (!stream_kill(&node->stream, opens, &state)) {
		sctx__table_unlock(place);
		return false;
	}
	sctx__table_remove(place, slot_of(node, opens));
	if (sctx__likely(state))
		sctx__node_teardown_locked(&node->stream, state, sizeof(*node));
	else
		sctx__node_teardown(&node->stream, sizeof(*node));
	sctx__table_grow(&registry->table);
	return true;
}

/* ------------------------------------------------------------------- forget */

/*
 * With the bucket locked; unlocks it.  An idle @node is dropped; an open one is no longer
 * found by its id.
 */
static void forget_locked(struct sctx_registry *registry, struct sctx__place place,
			  struct sctx__node *node)
{
	uint32_t opens = sctx__load(&node->stream.opens), then;

	do
		then = sctx__references(opens) ? opens | SCTX__FORGOTTEN : SCTX__DEAD;
	while (!sctx__cas_acq_rel(&node->stream.opens, &opens, then));
	sctx__probe2(forget, &node->stream, opens);
	sctx__count(SCTX__FORGETS, 1);
	if (then == SCTX__DEAD) {
		sctx__tally_add(&registry->idle.streams, -1);
		sctx__table_remove(place, slot_of(node, opens));
		sctx__node_teardown(&node->stream, sizeof(*node));
	} else {
		sctx__table_forget(place, node);
		sctx__table_unlock(place);
	}
}

int sctx__forget_id(struct sctx_registry *registry, const struct sctx_id *id, uint64_t hash)
{
	struct sctx__place place = sctx__table_lock(sctx__load_acquire(&registry->table), hash);
	struct sctx__node *node = sctx__chain_find(place.bucket, hash, id);

	if (!node) {
		sctx__table_unlock(place);
		return -ENOENT;
	}
	forget_locked(registry, place, node);
	return 0;
}

/* The caller has an open reference. */
static void forget_open(struct sctx__node *node)
{
	struct sctx_registry *registry = node->stream.registry;
	struct sctx__place place;

	sctx__update_begin();
	place = sctx__table_lock(sctx__load_acquire(&registry->table), node->hash);
	if (sctx__load(&node->stream.opens) & SCTX__FORGOTTEN)
		sctx__table_unlock(place);
	else
		forget_locked(registry, place, node);
	sctx__update_end();
}

/* -------------------------------------------------------------------- close */

/* Not the last.  The release pairs with the acquires of opens and of the last close. */
SCTX__INLINE bool close_some(struct sctx_stream *stream, uint32_t *opens, uint32_t n)
{
	if (!sctx__cas_acq_rel(&stream->opens, opens, *opens - n))
		return false;
	sctx__probe2(close, stream, *opens);
	sctx__count(SCTX__OTHER_CLOSES, n);
	return true;
}

SCTX__INLINE void count_last(uint32_t n)
{
	sctx__count(SCTX__OTHER_CLOSES, n - 1);
	sctx__count(SCTX__LAST_CLOSES, 1);
}

/*
 * Leave @stream idle.  Another thread may drop it right away, or change the limit; the
 * update keeps the stream and its registry valid.
 */
SCTX__INLINE bool close_into_idle(struct sctx_stream *stream, uint32_t opens, uint32_t n)
{
	struct sctx_registry *registry = stream->registry;
	bool last;

	sctx__update_begin();
	sctx__idle_note(registry, stream);
	last = sctx__load(&registry->keeps) && sctx__cas_acq_rel(&stream->opens, &opens, 0);
	if (last) {
		sctx__probe2(close, stream, n);
		sctx__probe1(idle, stream);
		sctx__tally_add(&registry->idle.streams, 1);
		count_last(n);
		sctx__registry_tell(registry, stream);
	}
	sctx__update_end();
	return last;
}

static bool close_and_kill(struct sctx_stream *stream, uint32_t opens, uint32_t n)
{
	bool last;

	sctx__update_begin();
	last = sctx__node_kill(stream->registry, sctx__node_of(stream), opens);
	if (last) {
		sctx__probe2(close, stream, n);
		count_last(n);
	}
	sctx__update_end();
	return last;
}

/* Drop the last @n open references.  False if another thread opens meanwhile. */
SCTX__INLINE bool close_last(struct sctx_stream *stream, uint32_t opens, uint32_t n)
{
	if (!(opens & SCTX__FORGOTTEN) && sctx__load(&stream->registry->keeps))
		return close_into_idle(stream, opens, n);
	return close_and_kill(stream, opens, n);
}

/*
 * Opens add without a compare-and-swap and never lose a race, so a close that lost one
 * (@lost) backs off for longer.
 */
static int close_slow(struct sctx_stream *stream, uint32_t n, bool lost)
{
	uint32_t opens;

	if (!(sctx__load(&stream->state) & SCTX__MANAGED))
		return -EPERM;
	sctx__thread_self();
	if (lost)
		sctx__back_off(2);
	for (unsigned int round = 0;; sctx__back_off(round++)) {
		opens = sctx__load(&stream->opens);
		if (sctx__references(opens) < n)
			return sctx__misuse_stream(-EBADF, "stream closed too often", stream);
		if (sctx__references(opens) == n ? close_last(stream, opens, n)
						 : close_some(stream, &opens, n))
			return sctx__references(opens) == n;
	}
}

static __attribute__((noinline)) int close_one_slow(struct sctx_stream *stream, bool lost)
{
	int last = close_slow(stream, 1, lost);

	return last < 0 ? last : 0;
}

/* The only open reference, it seems. */
static __attribute__((noinline)) int close_only(struct sctx_stream *stream)
{
	if (sctx__load(&stream->state) & SCTX__MANAGED && close_last(stream, 1, 1))
		return 0;
	return close_one_slow(stream, true);
}

int sctx_close(struct sctx_stream *stream)
{
	uint32_t opens;

	sctx__debug_enter();
	if (!stream)
		return -EINVAL;
	/* An embedded stream's count is 1. */
	opens = sctx__load(&stream->opens);
	if (sctx__unlikely(opens - 2 >= SCTX__OPENS_MAX || !sctx__self.attached))
		return opens == 1 && sctx__self.attached ? close_only(stream)
							 : close_one_slow(stream, false);
	return sctx__likely(close_some(stream, &opens, 1)) ? 0 : close_one_slow(stream, true);
}

int sctx_close_many(struct sctx_stream *stream, uint32_t n)
{
	sctx__debug_enter();
	if (!stream || n == 0)
		return -EINVAL;
	return close_slow(stream, n, false);
}

int sctx_close_flags(struct sctx_stream *stream, unsigned int flags)
{
	sctx__debug_enter();
	if (!stream || flags & ~SCTX_CLOSE_FORGET)
		return -EINVAL;
	if (!(sctx__load(&stream->state) & SCTX__MANAGED))
		return -EPERM;
	if (!sctx__references(sctx__load(&stream->opens)))
		return sctx__misuse_stream(-EBADF, "stream closed too often", stream);
	sctx__thread_self();
	if (flags & SCTX_CLOSE_FORGET)
		forget_open(sctx__node_of(stream));
	return close_slow(stream, 1, false);
}

/* ---------------------------------------------------------------- close all */

struct close_all {
	struct sctx_registry *registry;
	void (*fn)(struct sctx_stream *stream, void *arg);
	void *arg;
	int closed;
};

static int close_all_of(struct sctx__node *node, void *arg)
{
	struct close_all *all = arg;
	uint32_t opens = sctx__load(&node->stream.opens);

	if (!sctx__references(opens))
		return 0;
	if (all->fn)
		all->fn(&node->stream, all->arg);
	/* Other threads may open and close it meanwhile. */
	while (sctx__references(opens = sctx__load(&node->stream.opens))) {
		if (!sctx__node_kill(all->registry, node, opens))
			continue;
		count_last(sctx__references(opens));
		all->closed += all->closed < INT_MAX;
		break;
	}
	return 0;
}

int sctx_registry_close_all(struct sctx_registry *registry,
			    void (*fn)(struct sctx_stream *stream, void *arg), void *arg)
{
	struct close_all all = { registry, fn, arg, 0 };
	int error;

	if (!registry)
		return -EINVAL;
	error = sctx__registry_walk(registry, close_all_of, &all, sctx__walk_throttle);
	return error ? error : all.closed;
}
