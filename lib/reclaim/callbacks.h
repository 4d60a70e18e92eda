/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Running callbacks after their grace period.  Called by the thread that runs the
 * reclaimer's cycle, one at a time.
 */
#ifndef SCTX_CALLBACKS_H
#define SCTX_CALLBACKS_H

#include "thread/thread.h"

/*
 * After a grace period: the collected set becomes ripe, and the sets that the phase flip
 * closed are collected; with @all also what threads keep to free themselves.  True if
 * there was anything.
 */
bool sctx__callbacks_turn(bool all);

/* Run at most @max ripe callbacks, fewer if a fork is under way.  Returns the number run. */
size_t sctx__callbacks_run(size_t max);

/* The same for the contexts of @set, which belongs to the calling thread. */
void sctx__callbacks_run_set(struct sctx__limbo *set);
/* Update the account for what was freed of @set before a callback ended the thread. */
void sctx__callbacks_account(struct sctx__limbo *set);

bool sctx__callbacks_are_ripe(void);
/* Whether anything is collected or ripe. */
bool sctx__callbacks_are_left(void);
/* In a fork's child: the lists may be half moved, so abandon what is on them. */
void sctx__callbacks_abandon(void);

/* When the oldest object that is collected or ripe was retired, or 0. */
uint64_t sctx__callbacks_since(void);
uint64_t sctx__callbacks_count(void);

/* How many ripe contexts went back to limbo instead of being freed. */
uint64_t sctx__callbacks_dropped_again(void);

/* In reclaim.c: subtract what was freed from the account. */
void sctx__account_freed(size_t callbacks, size_t bytes);
/* Flush the pending counts of @self, the calling thread, to the account. */
void sctx__account_flush(struct sctx__thread *self);

#endif /* SCTX_CALLBACKS_H */
