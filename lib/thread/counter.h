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

/*
 * A counter that can be read without a walk over the threads, to within @step for each
 * thread: a thread flushes its delta into @flushed when it reaches @step in either
 * direction.
 */
struct sctx__tally {
	int64_t flushed __attribute__((aligned(64)));
	uint32_t slot; /* SCTX__NO_SLOT: it stands at 0 */
	uint32_t step;
};

#define SCTX__NO_SLOT UINT32_MAX

/* A slot for @tally, which gets the deltas of threads that exit.  Errors: -ENOMEM. */
int sctx__tally_new(struct sctx__tally *tally, uint32_t *slot);
int64_t sctx__tally_sum(const struct sctx__tally *tally);
void sctx__tally_add_slow(struct sctx__tally *tally, int64_t n);

static inline void sctx__tally_add(struct sctx__tally *tally, int64_t n)
{
	struct sctx__thread *self = &sctx__self;
	int64_t *share = &self->counter[tally->slot];
	int64_t most = sctx__load(&tally->step);

	if (sctx__likely(tally->slot < self->counters && *share + n < most && *share + n > -most))
		sctx__store_release(share, *share + n);
	else
		sctx__tally_add_slow(tally, n);
}

/* The flushed total, or 0 if it is negative. */
static inline uint64_t sctx__tally_near(const struct sctx__tally *tally)
{
	int64_t flushed = sctx__load(&tally->flushed);

	return flushed > 0 ? (uint64_t)flushed : 0;
}

/* @t exits: add its counts to the bases.  sctx__threads_lock held. */
void sctx__counters_fold(struct sctx__thread *t);
void sctx__counters_fini(void);

#endif /* SCTX_COUNTER_H */
