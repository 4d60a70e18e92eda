/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is ripe, and the threads that call it back.  Called by lib/reclaim/reclaim.c.
 *
 * The reclaimer's own thread does it while it keeps up.  When it does not, a
 * set that was retired on a CPU is called back on that CPU: the contexts are in
 * its caches, what their owners free goes to the allocator's caches from which
 * the next ones are allocated there, and callbacks scale with what retires.
 */
#ifndef SCTX_CALLBACKS_H
#define SCTX_CALLBACKS_H

#include "thread/thread.h"

/* -ENOMEM with nothing changed. */
int sctx__callbacks_init(void);

/*
 * After a grace period, by the reclaimer's thread: what was collected before
 * is ripe, and what threads have closed since is collected.  True if there
 * was either.
 */
bool sctx__callbacks_turn(void);

/*
 * Call back all that is ripe; returns when all callbacks have, or early when
 * a fork is under way, leaving the rest ripe.
 */
void sctx__callbacks_run(void);

/* The reclaimer's thread ends, or unloads: so do its helpers. */
void sctx__callbacks_stop(void);
void sctx__callbacks_fini(void);

void sctx__callbacks_before_fork(void);
void sctx__callbacks_after_fork(bool child);

uint64_t sctx__callbacks_count(void);

/* How often a context was ripe and went to limbo once more instead. */
uint64_t sctx__callbacks_dropped_again(void);

/*
 * Call back at most @max of what is ripe, on the calling thread alone.  Returns
 * how many.
 */
size_t sctx__callbacks_run_here(size_t max);
bool sctx__callbacks_are_ripe(void);
/* Collected or ripe. */
bool sctx__callbacks_are_left(void);

/* Since when something is collected and not yet called back, or 0. */
uint64_t sctx__callbacks_since(void);

/* In reclaim.c: take what was called back out of the account. */
void sctx__account_freed(size_t callbacks, size_t bytes);

#endif /* SCTX_CALLBACKS_H */
