/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters that cost a store to memory of the thread's own, and are summed
 * over all threads when someone asks.  Called by everyone above.
 *
 * A few are fixed and stand in the thread's record.  Others come and go with
 * what they count (an owner, a tag): a slot in an array that each thread has
 * when it first needs it.  Without memory for the array the thread adds to
 * the shared base, which also keeps what threads that exited had counted.
 */
#ifndef SCTX_COUNTER_H
#define SCTX_COUNTER_H

#include "thread/thread.h"

/* Events since the process began.  By a thread that is attached, as in every update. */
static inline void sctx__count(enum sctx__event event, int64_t n)
{
	sctx__add_own(&sctx__self.event[event], n);
}

int64_t sctx__count_sum(enum sctx__event event);

/* A counter that stands at 0.  -ENOMEM. */
int sctx__counter_new(uint32_t *slot);
/* Nobody adds to it any more. */
void sctx__counter_delete(uint32_t slot);
void sctx__counter_add_slow(uint32_t slot, int64_t n);

/*
 * The release pairs with the acquire in sctx__counter_sum(): who sees what was
 * counted sees what was done before.
 */
static inline void sctx__counter_add(uint32_t slot, int64_t n)
{
	struct sctx__thread *self = &sctx__self;

	if (sctx__likely(slot < self->counters))
		sctx__store_release(&self->counter[slot], self->counter[slot] + n);
	else
		sctx__counter_add_slow(slot, n);
}

/*
 * Exact when nobody adds.  Never below the counter's value if, from some
 * moment before the call on, it is only taken from.
 */
int64_t sctx__counter_sum(uint32_t slot);

/* sctx__threads_lock held: @t exits. */
void sctx__counters_fold(struct sctx__thread *t);
void sctx__counters_fini(void);

#endif /* SCTX_COUNTER_H */
