/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A module leaves.  Called by users.
 *
 *   set leaving                new contexts, inserts and opens see it and do
 *                              without the owner
 *   wait for a grace period    sections that missed it are over, except opens
 *   wait for pins              that are in its attach: those are over too
 *   sweep all streams          each context is on a stream that the sweep finds,
 *                              or about to be dropped by a teardown, or
 *                              referenced by a holder
 *   wait for a grace period    contexts that teardowns were dropping are in limbo
 *   wait for callbacks         until none is left, or the rest is referenced
 *
 * After the pins the owner's count of contexts only falls.  The walk finds
 * streams that are open throughout; streams opened meanwhile have no context of
 * the owner; the last close tears down the others.
 */
#include "stream/context.h"
#include "owner/owner.h"
#include "reclaim/reclaim.h"
#include "registry/track.h"
#include "base/sized.h"

#include <time.h>

#define PIN_NAP_NS 100000

static void wait_for_pins(const struct sctx_owner *owner)
{
	const struct timespec nap = { .tv_nsec = PIN_NAP_NS };

	while (sctx__counter_sum(owner->pins) != 0) {
		sctx_thread_offline();
		nanosleep(&nap, NULL);
	}
}

static int sweep_node(struct sctx__node *node, void *owner)
{
	sctx__stream_sweep(&node->stream, owner);
	return 0;
}

static void sweep_tracked(struct sctx_stream *stream, void *owner)
{
	sctx__stream_sweep(stream, owner);
}

static int sweep(struct sctx_owner *owner)
{
	int error = sctx__registry_walk(owner->registry, sweep_node, owner, sctx__walk_throttle);

	if (!error)
		sctx__tracked_sweep(owner->registry, &owner->cursor, sweep_tracked, owner);
	return error;
}

/* Go on as long as the number falls: holders are putting their references. */
static int wait_for_callbacks(struct sctx_owner *owner, int64_t *left)
{
	int64_t before;
	int error;

	*left = sctx__counter_sum(owner->live);
	do {
		before = *left;
		error = sctx_barrier();
		*left = sctx__counter_sum(owner->live);
	} while (!error && *left != 0 && *left < before);
	return error;
}

static int leave(struct sctx_owner *owner, struct sctx_leaks *leaks)
{
	int64_t left;
	int error;

	sctx__synchronize();
	wait_for_pins(owner);
	error = sweep(owner);
	sctx__synchronize(); /* a barrier knows of what was retired before it */
	if (!error)
		error = wait_for_callbacks(owner, &left);
	if (error || left == 0)
		return error;
	leaks->held = (uint64_t)left;
	sctx__owned_report(owner, leaks);
	return -EBUSY;
}

static int unregister(struct sctx_owner *owner, struct sctx_leaks *leaks)
{
	int error;

	if (sctx__must_not_wait() || sctx__self.attaching)
		return -EDEADLK;
	error = sctx__owner_leave(owner);
	if (error)
		return error;
	error = leave(owner, leaks);
	if (error)
		sctx__owner_stay(owner);
	else
		sctx__owner_forget(owner);
	return error;
}

int sctx_owner_unregister(struct sctx_owner *owner, struct sctx_leaks *leaks)
{
	struct sctx_leaks found = { 0 };
	int error;

	sctx__debug_enter();
	if (!owner)
		return -EINVAL;
	if (!leaks)
		return unregister(owner, &found);
	error = sctx__size_check(leaks->size, SCTX__SIZE_TO(struct sctx_leaks, leak));
	if (error)
		return error;
	error = unregister(owner, &found);
	sctx__sized_write(leaks, &found, sizeof(found));
	return error;
}

int sctx_owner_drain(struct sctx_owner *owner)
{
	return owner ? sctx_barrier() : -EINVAL;
}
