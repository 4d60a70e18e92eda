/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private limbo: contexts that a thread retires, waits for and calls back itself, so it
 * does not wait for other callbacks.  Used by stream.c for sctx_teardown_sync(); barriers
 * and forks wait for it.
 */
#ifndef SCTX_PRIVATE_H
#define SCTX_PRIVATE_H

#include "reclaim/reclaim.h"

#include <pthread.h>

/* On its thread's stack.  reclaimer.lock covers all but @limbo. */
struct sctx__private {
	struct sctx__limbo limbo; /* used by its thread; contexts only */
	int64_t callbacks, bytes; /* that it added to the account */
	uint64_t number;          /* ascending in order of beginning */
	pthread_t thread;
	bool running; /* a callback may be */
	struct sctx__private *next;
	struct sctx__private **link;
};

/* Called before the update: a barrier may follow as soon as the contexts are unlinked. */
void sctx__private_begin(struct sctx__private *own);

/* Inside the update: from here on sctx__retire_context() adds to @own. */
static inline struct sctx__retiring sctx__private_retire_begin(struct sctx__private *own)
{
	return (struct sctx__retiring){ &own->limbo, 0, 0, 0 };
}

void sctx__private_retire_end(struct sctx__private *own, const struct sctx__retiring *r);

/*
 * After the update: wait for a grace period, run the callbacks, end.  False if a context
 * went to the threads' limbo instead, where the caller must wait for it.
 */
bool sctx__private_finish(struct sctx__private *own);

/* With reclaimer.lock held. */

/* Wait until all private limbos that began before the call have ended. */
void sctx__private_wait(void);

/* Whether another thread runs a callback of its private limbo. */
bool sctx__private_runs(void);

/* In a child: move the contexts of the parent's other threads to the orphans' limbo. */
void sctx__private_after_fork_child(void);

#endif /* SCTX_PRIVATE_H */
