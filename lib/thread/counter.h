/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters.  Adding is a store to memory that only this thread writes; reading
 * sums over all threads.
 *
 * A few counters are fixed and part of the thread's record.  The others belong
 * to an owner or a tag: each has a slot in an array that a thread allocates at
 * first use.  If there is no memory for the array, the thread adds to the shared
 * base, which also keeps the counts of threads that have exited.
 */
#ifndef SCTX_COUNTER_H
#define SCTX_COUNTER_H

#include "thread/thread.h"

/* Events since the process began.  The calling thread is attached. */
static inline void sctx__count(enum sctx__event event, int64_t n)
{
	sctx__add_own(&sctx__self.event[event], n);
}

int64_t sctx__count_sum(enum sctx__event event);

/* A new counter, at 0.  Errors: -ENOMEM. */
int sctx__counter_new(uint32_t *slot);
/* The caller guarantees that no thread adds to it any more. */
void sctx__counter_delete(uint32_t slot);
void sctx__counter_add_slow(uint32_t slot, int64_t n);

/*
 * The release pairs with the acquire in value_in(): a thread that sees the
 * count sees what was done before it.
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
 * Exact if no thread adds meanwhile.  If threads only subtract, never below the
 * counter's true value.
 */
int64_t sctx__counter_sum(uint32_t slot);

/* @t exits: add its counts to the bases.  sctx__threads_lock held. */
void sctx__counters_fold(struct sctx__thread *t);
void sctx__counters_fini(void);

#endif /* SCTX_COUNTER_H */
