/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Running the callbacks of what a grace period has passed for.  Called by the
 * thread that runs the reclaimer's cycles, one at a time.
 */
#ifndef SCTX_CALLBACKS_H
#define SCTX_CALLBACKS_H

#include "thread/thread.h"

/*
 * After a grace period: what was collected before is ripe, and what threads
 * have closed since is collected, with @all also what they have at home.  True if
 * there was either.
 */
bool sctx__callbacks_turn(bool all);

/* Run at most @max callbacks of what is ripe, fewer when a fork is under way.  Returns how many. */
size_t sctx__callbacks_run(size_t max);

/* The same for the contexts of another set, which is the calling thread's own. */
void sctx__callbacks_run_set(struct sctx__limbo *set);
/* Take out of the account what was freed of it, where a callback ended the thread. */
void sctx__callbacks_account(struct sctx__limbo *set);

bool sctx__callbacks_are_ripe(void);
/* Collected or ripe. */
bool sctx__callbacks_are_left(void);
/* In a fork's child: the lists may be half moved.  Leave what is on them alone. */
void sctx__callbacks_abandon(void);

/* Since when something is collected and its callback has not run, or 0. */
uint64_t sctx__callbacks_since(void);
uint64_t sctx__callbacks_count(void);

/* How often a ripe context went to limbo once more instead of being freed. */
uint64_t sctx__callbacks_dropped_again(void);

/* In reclaim.c: take what was freed out of the account. */
void sctx__account_freed(size_t callbacks, size_t bytes);
/* Add what @self, the calling thread, has not added to it yet. */
void sctx__account_flush(struct sctx__thread *self);

#endif /* SCTX_CALLBACKS_H */
